"""A budget of updates, and one path through weight space that spends it."""

from collections.abc import Callable
from dataclasses import dataclass

from dale.schedules import Schedule
from dale.train.collect import Collector, SnapshotCollector


@dataclass(frozen=True)
class Budget:
    """What a strategy may spend.

    Args:
        steps: Updates.
        per_epoch: Updates in one epoch.
        seed: The recipe's seed.
    """

    steps: int
    per_epoch: int
    seed: int


@dataclass(frozen=True)
class Trajectory:
    """One path through weight space and what is taken out of it.

    Args:
        name: Unique name in the run.
        group: The strategy it belongs to.
        seed: Seed of its initial weights, order of examples and augmentation.
        schedule: Learning rate for every update; its length is the trajectory's.
        collectors: Makes the collectors, afresh for each (re)start.
    """

    name: str
    group: str
    seed: int
    schedule: Schedule
    collectors: Callable[[], tuple[Collector, ...]]

    @property
    def steps(self) -> int:
        """Number of updates."""
        return self.schedule.steps

    def member_steps(self) -> list[int]:
        """The steps, counted as updates done, at which members are taken."""
        collectors = self.collectors()
        steps = range(1, self.steps + 1)
        return [s for s in steps if any(c.emits(s) is not None for c in collectors)]


def with_snapshots(
    name: str, group: str, seed: int, rate: Schedule, ends: tuple[int, ...]
) -> Trajectory:
    """A trajectory whose live weights are taken at these steps."""
    return Trajectory(name, group, seed, rate, lambda: (SnapshotCollector(ends),))
