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
        share: Least share of an epoch that goes to these, in [0, 1); where they are
            fewer, they are shown several times, each as often as the others.
    """

    examples: int
    size: int
    labelled: int | None = None
    share: float = 0.0

    @classmethod
    def of(cls, split: Split, size: int, share: float = 0.0) -> "Batches":
        """Those of a split, which knows what has a label."""
        labelled = split.labelled_count if isinstance(split, Joined) else None
        return cls(len(split), size, labelled, share)

    @property
    def per_epoch(self) -> int:
        """Batches in one pass: the examples over the size, rounded up."""
        return -(-self.examples // self.size)

    @property
    def smallest(self) -> int:
        """Examples in the smallest batch."""
        return self.examples // self.per_epoch

    @property
    def shown(self) -> int:
        """Labelled examples that an epoch shows."""
        if self.labelled is None or self.labelled == self.examples:
            return self.examples
        least = min(round(self.share * self.examples), self.examples - 1)
        return max(self.labelled, least)

    def order(self, seed: int, epoch: int) -> Tensor:
        """The order of the examples in one epoch."""
        shown, everyone = self.shown, self.examples
        if shown == everyone:
            return _turns(seed, everyone, epoch * everyone, everyone)
        assert self.labelled is not None
        rest, other = everyone - shown, everyone - self.labelled
        # at equal distances: every part of an epoch has its share of labels
        places = (2 * torch.arange(shown) + 1) * everyone // (2 * shown)
        others = torch.ones(everyone, dtype=torch.bool)
        others[places] = False
        found = torch.empty(everyone, dtype=torch.int64)
        found[places] = _turns(seed, self.labelled, epoch * shown, shown)
        found[others] = self.labelled + _turns(
            seed, other, epoch * rest, rest, "unlabelled"
        )
        return found

    def bounds(self, index: int) -> tuple[int, int]:
        """Where one batch of an epoch begins and ends in the order."""
        return share(self.examples, self.per_epoch, index)


def _turns(seed: int, count: int, start: int, length: int, *more: str) -> Tensor:
    """A part of an endless row of random orders of so many things."""
    pieces = []
    while length:
        turn, place = divmod(start, count)
        generator = torch.Generator().manual_seed(key(seed, "order", turn, *more))
        order = torch.randperm(count, generator=generator)[place : place + length]
        pieces.append(order)
        start, length = start + len(order), length - len(order)
    return torch.cat(pieces)
