"""Running sums over an epoch; losses are read from the device in bulk."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dale.errors import NotFiniteError
from dale.train.trajectory import Trajectory


@dataclass
class EpochSums:
    """The loss and the errors of an epoch so far, over all processes.

    Args:
        loss: Sum of the losses of the examples.
        wrong: Examples whose class was not the likeliest.
        examples: Examples seen.
        labelled: Those of them that have a label; all unless given.
        waiting: Step, examples, those without a label, mean loss and errors of
            updates not yet read from the device; the last two are this process's
            share of them.
    """

    loss: float = 0.0
    wrong: int = 0
    examples: int = 0
    labelled: int | None = None
    waiting: list[tuple[int, int, int, Tensor, Tensor]] = field(default_factory=list)

    def add(
        self, step: int, size: int, unknown: int, loss: Tensor, wrong: Tensor
    ) -> None:
        """Note an update; nothing is read from the device yet."""
        self.waiting.append((step, size, unknown, loss, wrong))

    @property
    def mean_loss(self) -> float:
        """Of the examples seen."""
        return self.loss / max(self.examples, 1)

    @property
    def error(self) -> float:
        """Of the labelled examples seen."""
        known = self.examples if self.labelled is None else self.labelled
        return self.wrong / max(known, 1)

    def flush(self, trajectory: Trajectory, total: Callable[[Tensor], Tensor]) -> None:
        """Read what waits.

        Args:
            trajectory: For the message.
            total: Sum of a tensor over all processes.

        Raises:
            NotFiniteError: A loss is NaN or infinite, in whichever process.
        """
        if not self.waiting:
            return
        losses = total(torch.stack([entry[3] for entry in self.waiting])).tolist()
        wrongs = total(torch.stack([entry[4] for entry in self.waiting])).tolist()
        for (step, size, unknown, _, _), loss, wrong in zip(
            self.waiting, losses, wrongs, strict=True
        ):
            self.note(trajectory, step, size, loss, wrong, unknown)
        self.waiting.clear()

    def note(
        self,
        trajectory: Trajectory,
        step: int,
        size: int,
        loss: float,
        wrong: int,
        unknown: int = 0,
    ) -> None:
        """Note an update that was read from the device.

        Raises:
            NotFiniteError: The loss is NaN or infinite.
        """
        if loss - loss != 0.0:  # NaN or infinite
            rate = trajectory.schedule(step)
            raise NotFiniteError(trajectory.name, step, rate, loss)
        self.loss += loss * size
        # no class is right where none is known
        self.wrong += wrong - unknown
        if unknown or self.labelled is not None:
            known = self.examples if self.labelled is None else self.labelled
            self.labelled = known + size - unknown
        self.examples += size
