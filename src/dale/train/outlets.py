"""What the loop tells and hands over: progress to whoever watches, the rest to keep."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from dale.data import Split
from dale.store import Member
from dale.train.collect import Collector

Evaluate = Callable[[nn.Module, Split], Mapping[str, float]]


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


@dataclass(frozen=True)
class Watcher:
    """Who is told of progress, and who may stop it.

    Args:
        progress: Called now and then with where training stands.
        member: Called with each member taken.
        stop: Asked after each update whether to stop.
        say: Called with a line that is worth knowing.
        record: Called with each line of the log.
        warn: Called with what does not stop training.
    """

    progress: Callable[[Progress], None] = lambda progress: None
    member: Callable[[Member], None] = lambda member: None
    stop: Callable[[], bool] = lambda: False
    say: Callable[[str], None] = lambda line: None
    record: Callable[[Mapping[str, Any]], None] = lambda record: None
    warn: Callable[[str], None] = lambda words: None


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
