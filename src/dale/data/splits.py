"""Stratified splits: each class keeps its share, and the seed decides who goes where.

Shape suffixes: N examples, C classes.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from dale.errors import DataError
from dale.keys import key


def make_splits(
    targets_N: Tensor, sizes: Mapping[str, int | float], seed: int = 0
) -> dict[str, Tensor]:
    """Divide examples among splits so that each class keeps its share in each.

    The examples of a class are put in an order drawn from the seed and the class; each
    named split takes its quota (`quotas`) from the front of what is left, and what
    remains is ``"train"``. So a split named later changes none named before it.

    Args:
        targets_N: int64 classes.
        sizes: Split to its size: a number of examples (int), or a share of all in
            ``(0, 1)`` (float), rounded.
        seed: Of the order within each class.

    Returns:
        Increasing int64 positions of each split, ``"train"`` last.

    Raises:
        DataError: A size is out of range, or no training example would be left.

    Example:
        >>> targets = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
        >>> parts = make_splits(targets, {"test": 2, "val": 0.25})
        >>> {name: targets[rows].tolist() for name, rows in parts.items()}
        {'test': [0, 1], 'val': [0, 1], 'train': [0, 0, 1, 1]}
    """
    wanted = {name: _count(name, size, len(targets_N)) for name, size in sizes.items()}
    if sum(wanted.values()) >= len(targets_N):
        raise DataError(
            f"splits {wanted} leave no training example of {len(targets_N)}"
        )
    queues = _queues(targets_N, seed)
    parts = {}
    for name, count in wanted.items():
        left_C = [len(queue) for queue in queues]
        taken_C = quotas(left_C, count)
        pairs = list(zip(queues, taken_C, strict=True))
        parts[name] = _joined([queue[:taken] for queue, taken in pairs])
        queues = [queue[taken:] for queue, taken in pairs]
    parts["train"] = _joined(queues)
    return parts


def quotas(counts_C: list[int], total: int) -> list[int]:
    """How many examples each class gives to a split of `total`.

    A class's ideal is its share ``total · n_c / N``. Ideals are rounded down and the
    remaining places go to the largest remainders (Hamilton's method). Then, as long as
    places allow, each class with two or more examples gives at least one and keeps at
    least one; the places move from or to the classes that are furthest on the other
    side of their ideals.

    Args:
        counts_C: Examples n_c of each class.
        total: Size of the split, at most their sum.

    Returns:
        Quotas that sum to `total`, none above its class's count.

    Example:
        >>> quotas([90, 9, 1], 10)
        [9, 1, 0]
        >>> quotas([50, 50, 2], 10)
        [5, 4, 1]
    """
    everyone = sum(counts_C)
    low_C = [min(1, max(0, count - 1)) for count in counts_C]
    high_C = [max(0, count - 1) for count in counts_C]
    if sum(low_C) > total:
        low_C = [0] * len(counts_C)
    if sum(high_C) < total:
        high_C = list(counts_C)
    taken_C = [
        min(max(total * count // everyone, low), high)
        for count, low, high in zip(counts_C, low_C, high_C, strict=True)
    ]
    while missing := total - sum(taken_C):
        step = 1 if missing > 0 else -1
        bound_C = high_C if step > 0 else low_C
        # how far each class is on the wrong side of its ideal, in units of 1/N
        gap_C = [
            step * (total * count - taken * everyone)
            for count, taken in zip(counts_C, taken_C, strict=True)
        ]
        free = [c for c, taken in enumerate(taken_C) if taken != bound_C[c]]
        taken_C[max(free, key=gap_C.__getitem__)] += step
    return taken_C


def _count(name: str, size: int | float, everyone: int) -> int:
    if isinstance(size, float):
        if not 0 < size < 1:
            raise DataError(
                f"the share of {name} is {size}; expected a value in (0, 1)"
            )
        return max(1, round(size * everyone))
    if isinstance(size, bool) or size < 1:
        raise DataError(f"the size of {name} is {size}; expected at least 1 example")
    return size


def _queues(targets_N: Tensor, seed: int) -> list[Tensor]:
    """Positions of each class, in an order drawn from the seed and the class."""
    queues = []
    for target in targets_N.unique().tolist():
        positions = (targets_N == target).nonzero().flatten()
        generator = torch.Generator().manual_seed(key(seed, "splits", target))
        queues.append(positions[torch.randperm(len(positions), generator=generator)])
    return queues


def _joined(pieces: list[Tensor]) -> Tensor:
    return torch.cat(pieces).sort().values
