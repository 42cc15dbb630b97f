"""A budget of updates, and one path through weight space that spends it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dale.keys import key
from dale.schedules import Schedule
from dale.train.collect import Collector, SnapshotCollector, Span


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
        own: Makes the strategy's collectors, afresh for each (re)start.
        further: Makes the collectors that the recipe adds, given the span.
        bootstrap: Whether it trains on as many rows, drawn with replacement.
    """

    name: str
    group: str
    seed: int
    schedule: Schedule
    own: Callable[[], tuple[Collector, ...]]
    further: tuple[Callable[[Span], Collector], ...] = ()
    bootstrap: bool = False

    @property
    def steps(self) -> int:
        """Number of updates."""
        return self.schedule.steps

    def collectors(self, per_epoch: int = 1) -> tuple[Collector, ...]:
        """All collectors, afresh; first the strategy's own, then those added."""
        raise NotImplementedError
