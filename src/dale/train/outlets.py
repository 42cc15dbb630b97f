"""What the loop tells and hands over: progress to whoever watches, the rest to keep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from dale.train.collect import Collector


@dataclass(frozen=True)
class Progress:
    """Where training stands, for whoever watches.

    Args:
        trajectory: Name of the trajectory.
        step: Updates done.
        steps: Updates in all.
        epoch: Epoch in progress, from 1.
        cycle: Cycle in progress, from 1; 0 when the schedule has none.
        loss: Mean training loss of the epoch so far.
        rate: Learning rate of the last update.
    """

    trajectory: str
    step: int
    steps: int
    epoch: int
    cycle: int
    loss: float
    rate: float


class Keeper(Protocol):
    """Keeps what a trajectory produces; the loop does not know folders."""

    def load(self) -> Mapping[str, Any] | None:
        """The last saved state, if any."""
        ...

    def due(self, seconds: float) -> bool:
        """Whether a state should be saved, this long after the last one."""
        ...

    def save(self, state: Mapping[str, Any]) -> None:
        """Save a state."""
        ...

    def log(self, record: Mapping[str, Any]) -> None:
        """Add a line to the log."""
        ...

    def score_member(
        self, collector: Collector, index: int, model: nn.Module
    ) -> Mapping[str, float]:
        """Validation scores of what a collector would give now."""
        ...

    def members(
        self, taken: Sequence[tuple[Collector, int]], step: int, model: nn.Module
    ) -> None:
        """Take these members of these collectors, given the model's weights."""
        ...
