"""The loop of one member of a stack: everything but the updates."""

from typing import Any

from torch import Tensor

from dale.train.sums import EpochSums
from dale.train.track import Track


class Seat(Track):
    """A member's own order, rate, collectors, scores and log lines.

    Its arguments are those of `Track`, whose methods follow each update; the
    updates themselves and the saved states are the stack's.
    """

    def open(self) -> None:
        """Make everything ready for the first update."""
        self.engine.prepare(self.model, self.optimizer)
        self._open()
        self._rows_N = self.trajectory.rows(len(self.split))

    def order(self, epoch: int) -> Tensor:
        """The rows that the member sees in an epoch, in order; training mode is on."""
        order_N = self._batches.order(self.trajectory.seed, epoch)
        self.model.train()
        return order_N if self._rows_N is None else self._rows_N[order_N]

    def rate(self, step: int) -> float:
        """Of the coming update; 0 for a member that is done."""
        if step >= self.trajectory.steps:
            return 0.0
        if self.plateau is not None:
            self.plateau.used = self.plateau.scale
        return self._rate(step + 1)

    def stirs(self, step: int) -> bool:
        """Whether anything happens after so many updates."""
        if step > self.trajectory.steps:
            return False
        ended = step % self._batches.per_epoch == 0 or step == self.trajectory.steps
        return ended or any(c.wants(step) or c.emits(step) for c in self._collectors)

    def note(self, step: int, size: int, loss: float, wrong: int) -> None:
        """Note the loss of an update, counted from 0, and the errors in it."""
        if step < self.trajectory.steps:
            self._sums.note(self.trajectory, step, size, loss, wrong)

    def after(self, step: int) -> None:
        """Everything that follows an update: what is noted, taken, scored, logged."""
        last = step == self.trajectory.steps
        self._ended = last or step % self._batches.per_epoch == 0
        self._observe(step, step - 1)
        if self._ended or any(c.emits(step) for c in self._collectors):
            self._derive(step)

    @property
    def loss(self) -> float:
        """Mean training loss of the epoch so far."""
        return self._sums.loss / max(self._sums.examples, 1)

    def memory(self) -> dict[str, Any]:
        """What a saved state must hold beside weights and optimiser."""
        sums = self._sums
        return {
            "collectors": [c.state() for c in self._collectors],
            "epoch": [sums.loss, sums.wrong, sums.examples],
            **self._watched(),
        }

    def remember(self, memory: dict[str, Any]) -> None:
        """Go on from a saved state."""
        saved = zip(self._collectors, memory["collectors"], strict=True)
        for collector, carried in saved:
            collector.load_state(carried)
        self._sums = EpochSums(*memory["epoch"])
        self._load_watched(memory)
