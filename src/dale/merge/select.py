"""The k-th largest of many numbers, exactly, without sorting or holding them."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

_DIGIT = 16
_BINS = 1 << _DIGIT
_BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


def kth_largest(
    parts: Callable[[], Iterable[Tensor]], k: int, dtype: torch.dtype = torch.float32
) -> float:
    """The k-th largest value of several tensors taken together.

    Numbers that are not negative are ordered as their bit patterns are. The pattern is
    found 16 bits at a time from histograms: two walks over the numbers in float32, four
    in float64, with one part in memory at a time.

    Args:
        parts: Starts a walk over tensors of the type, without negative values. Every
            walk must give the same numbers. NaN counts as the largest.
        k: From 1 to the number of values.
        dtype: float32 or float64.

    Returns:
        The value, as in the sorted list.

    Example:
        >>> parts = [torch.tensor([5.0, 1.0]), torch.tensor([3.0, 3.0])]
        >>> [kth_largest(lambda: parts, k) for k in (1, 2, 3, 4)]
        [5.0, 3.0, 3.0, 1.0]
    """
    pattern = 0
    for shift in range(dtype.itemsize * 8 - _DIGIT, -1, -_DIGIT):
        counts = torch.zeros(_BINS, dtype=torch.int64)
        for part in parts():
            bits = part.reshape(-1).view(_BITS[dtype])
            counts += _histogram(bits, pattern, shift)
        digit, k = _locate(counts, k)
        pattern = pattern << _DIGIT | digit
    return torch.tensor(pattern, dtype=_BITS[dtype]).view(dtype).item()


def _histogram(bits: Tensor, pattern: int, shift: int) -> Tensor:
    """How often each next digit follows the digits known so far."""
    top = shift + _DIGIT
    if top < bits.dtype.itemsize * 8:
        bits = bits[(bits >> top) == pattern]
    digits = (bits >> shift) & (_BINS - 1)
    return torch.bincount(digits, minlength=_BINS).cpu()


def _locate(counts: Tensor, k: int) -> tuple[int, int]:
    """The digit of the k-th largest, and its rank among those with this digit."""
    reached = counts.flip(0).cumsum(0)
    place = int(torch.searchsorted(reached, k))
    before = int(reached[place - 1]) if place else 0
    return _BINS - 1 - place, k - before


def largest(magnitudes: Tensor, k: int) -> Tensor:
    """A mask of exactly k elements, the largest; of equal ones the first in order.

    Args:
        magnitudes: float32 or float64 without negative values, any shape.
        k: How many; below 1 none, above the number of elements all.

    Returns:
        Booleans of the same shape.

    Example:
        >>> largest(torch.tensor([2.0, 7.0, 2.0, 2.0]), 3)
        tensor([ True,  True,  True, False])
    """
    if not 0 < k < magnitudes.numel():
        return torch.full(magnitudes.shape, k > 0, device=magnitudes.device)
    values = magnitudes.reshape(-1)
    threshold = kth_largest(lambda: [values], k, values.dtype)
    chosen = values > threshold
    equal = (values == threshold).nonzero()[:, 0]
    chosen[equal[: k - int(chosen.count_nonzero())]] = True
    return chosen.view(magnitudes.shape)
