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
        waiting: Step, examples, mean loss and errors of updates not yet read from
            the device; the last two are this process's share of them.
    """

    loss: float = 0.0
    wrong: int = 0
    examples: int = 0
    waiting: list[tuple[int, int, Tensor, Tensor]] = field(default_factory=list)

    def add(self, step: int, size: int, loss: Tensor, wrong: Tensor) -> None:
        """Note an update; nothing is read from the device yet."""
        self.waiting.append((step, size, loss, wrong))

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
        losses = total(torch.stack([entry[2] for entry in self.waiting])).tolist()
        wrongs = total(torch.stack([entry[3] for entry in self.waiting])).tolist()
        for (step, size, _, _), loss, wrong in zip(
            self.waiting, losses, wrongs, strict=True
        ):
            self.note(trajectory, step, size, loss, wrong)
        self.waiting.clear()

    def note(
        self, trajectory: Trajectory, step: int, size: int, loss: float, wrong: int
    ) -> None:
        """Note an update that was read from the device.

        Raises:
            NotFiniteError: The loss is NaN or infinite.
        """
        if loss - loss != 0.0:  # NaN or infinite
            rate = trajectory.schedule(step)
            raise NotFiniteError(trajectory.name, step, rate, loss)
        self.loss += loss * size
        self.wrong += wrong
        self.examples += size
