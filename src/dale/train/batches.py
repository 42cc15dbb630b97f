"""How an epoch is cut into batches, and in which order."""

from dataclasses import dataclass

import torch
from torch import Tensor

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
    """

    examples: int
    size: int

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
        generator = torch.Generator().manual_seed(key(seed, "order", epoch))
        return torch.randperm(self.examples, generator=generator)

    def bounds(self, index: int) -> tuple[int, int]:
        """Where one batch of an epoch begins and ends in the order."""
        return share(self.examples, self.per_epoch, index)
