"""A budget of updates, and one path through weight space that spends it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dale.data import Data, Split, training_split
from dale.keys import key
from dale.schedules import Schedule
from dale.train.batches import Batches
from dale.train.collect import Collector, SnapshotCollector
from dale.train.consistency import Consistency


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
        collectors: Makes the collectors, afresh for each (re)start: the strategy's
            own, then those that the recipe adds.
        bootstrap: Whether it trains on rows drawn with replacement, see `rows`.
        fold: The fold, from 1, that it does not see; None where there are none.
        consistency: What it asks of its predictions; with it, it learns from examples
            without a label too.
    """

    name: str
    group: str
    seed: int
    schedule: Schedule
    collectors: Callable[[], tuple[Collector, ...]]
    bootstrap: bool = False
    fold: int | None = None
    consistency: Consistency | None = None

    @property
    def steps(self) -> int:
        """Number of updates."""
        return self.schedule.steps

    def member_steps(self) -> list[int]:
        """The steps, counted as updates done, at which it takes its own members."""
        collectors = [c for c in self.collectors() if not c.added]
        steps = range(1, self.steps + 1)
        return [s for s in steps if any(c.emits(s) for c in collectors)]

    def member_count(self) -> int:
        """Number of all its members, those of added collectors too."""
        collectors, steps = self.collectors(), range(1, self.steps + 1)
        return sum(len(c.emits(step)) for c in collectors for step in steps)

    def named(self, collector: Collector) -> tuple[str, str]:
        """Start of the labels, and the group, of a collector's members."""
        suffix = f"-{collector.added}" if collector.added else ""
        return self.name + suffix, self.group + suffix

    def groups(self) -> list[str]:
        """The groups of all its members."""
        return list(dict.fromkeys(self.named(c)[1] for c in self.collectors()))

    def split(self, data: Data) -> Split:
        """The examples that it trains on."""
        return training_split(data, unlabelled=self.consistency is not None)

    def batches(self, split: Split, size: int) -> Batches:
        """How these examples are cut into batches."""
        asked = self.consistency
        return Batches.of(split, size, 0.0 if asked is None else asked.share)

    def rows(self, examples: int) -> Tensor | None:
        """The training rows it sees in each epoch, or None for every row once."""
        return bootstrap_rows(self.seed, examples) if self.bootstrap else None


def bootstrap_rows(seed: int, examples: int) -> Tensor:
    """As many rows as there are, drawn with replacement.

    Args:
        seed: Of the trajectory: a member's seed gives its rows again.
        examples: Number of training examples.

    Returns:
        Sorted positions, int64 ``[examples]``. The out-of-bag rows, about ``1/e`` of
        all, are those that are missing.

    Example:
        >>> rows = bootstrap_rows(seed=0, examples=1000)
        >>> len(rows), len(rows.unique())
        (1000, 619)
    """
    generator = torch.Generator().manual_seed(key(seed, "bootstrap"))
    return torch.randint(examples, (examples,), generator=generator).sort().values


def with_snapshots(
    name: str,
    group: str,
    seed: int,
    rate: Schedule,
    ends: tuple[int, ...],
    bootstrap: bool = False,
) -> Trajectory:
    """A trajectory whose live weights are taken at these steps."""

    def collectors() -> tuple[Collector, ...]:
        return (SnapshotCollector(ends),)

    return Trajectory(name, group, seed, rate, collectors, bootstrap)
