"""How an epoch is cut into batches, and in which order."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dale.data import Joined, Split
from dale.keys import key


def share(count: int, parts: int, index: int) -> tuple[int, int]:
    """Where one of nearly equal parts begins and ends."""
    return count * index // parts, count * (index + 1) // parts


def shares(count: int, parts: int) -> list[tuple[int, int]]:
    """Cut so many things into nearly equal parts.

    Args:
        count: How many there are.
        parts: How many parts, at least 1.

    Returns:
        Where each part begins and ends.

    Example:
        >>> shares(10, 3)
        [(0, 3), (3, 6), (6, 10)]
    """
    return [share(count, parts, index) for index in range(parts)]


@dataclass(frozen=True)
class Batches:
    """How a split is cut into batches: nearly equal ones, so that none is tiny.

    Args:
        examples: Size of the split.
        size: Largest batch.
        labelled: The first so many of the examples have a label, and are spread
            evenly over an epoch; None for all.
    """

    examples: int
    size: int
    labelled: int | None = None

    @classmethod
    def of(cls, split: Split, size: int) -> "Batches":
        """Those of a split, which knows what has a label."""
        labelled = split.labelled_count if isinstance(split, Joined) else None
        return cls(len(split), size, labelled)

    @property
    def per_epoch(self) -> int:
        """Batches in one pass: the examples over the size, rounded up."""
        return -(-self.examples // self.size)

    @property
    def smallest(self) -> int:
        """Examples in the smallest batch."""
        return self.examples // self.per_epoch

    def order(self, seed: int, epoch: int) -> Tensor:
        """The order of the examples in one epoch."""
        first = self.examples if self.labelled is None else self.labelled
        generator = torch.Generator().manual_seed(key(seed, "order", epoch))
        order = torch.randperm(first, generator=generator)
        if first == self.examples:
            return order
        others = torch.Generator().manual_seed(key(seed, "order", epoch, "unlabelled"))
        rest = torch.randperm(self.examples - first, generator=others)
        # at equal distances: every part of an epoch has its share of labels
        places = (2 * torch.arange(first) + 1) * self.examples // (2 * first)
        mixed = torch.ones(self.examples, dtype=torch.bool)
        mixed[places] = False
        found = torch.empty(self.examples, dtype=torch.int64)
        found[places], found[mixed] = order, first + rest
        return found

    def bounds(self, index: int) -> tuple[int, int]:
        """Where one batch of an epoch begins and ends in the order."""
        return share(self.examples, self.per_epoch, index)
