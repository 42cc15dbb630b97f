"""The k-th largest of many numbers, exactly, without sorting or holding them."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_DIGIT = 16
_HELD = 1 << 21
"""The most numbers of an interval that are held."""
_BINS = 1 << _DIGIT
_BITS = {torch.float32: torch.int32, torch.float64: torch.int64}
_INFINITE = {torch.float32: 0x7F80, torch.float64: 0x7FF0}
"""The first sixteen bits of infinity; those of NaN are not less."""


@dataclass(frozen=True)
class Rank:
    """The k-th largest of many numbers.

    Attributes:
        value: The number.
        taken: How many of those equal to it are among the k largest.
        equal: How many are equal to it.
        finite: Whether all numbers are.
    """

    value: float
    taken: int
    equal: int
    finite: bool


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
    return ranked(parts, k, dtype).value


def ranked(
    parts: Callable[[], Iterable[Tensor]],
    k: int,
    dtype: torch.dtype = torch.float32,
    between: tuple[float, float] | None = None,
) -> Rank:
    """As `kth_largest`, with what else is learned on the way.

    Args:
        parts: As there.
        k: As there.
        dtype: As there.
        between: Where the number probably is, see `bracket`: one walk is enough if it
            is there and not too many others are, and only the time depends on it.
    """
    if between is not None:
        found = _between(parts(), k, dtype, *between)
        if found is not None:
            return found
    pattern, taken, finite = 0, k, True
    counts = torch.zeros(_BINS, dtype=torch.int64)
    for shift in range(dtype.itemsize * 8 - _DIGIT, -1, -_DIGIT):
        counts = torch.zeros(_BINS, dtype=torch.int64)
        for part in parts():
            bits = part.reshape(-1).view(_BITS[dtype])
            found = _histogram(bits, pattern, shift)
            counts[: len(found)] += found
        if not pattern and shift == dtype.itemsize * 8 - _DIGIT:
            finite = not counts[_INFINITE[dtype] :].any()
        digit, taken = _locate(counts, taken)
        pattern = pattern << _DIGIT | digit
    value = torch.tensor(pattern, dtype=_BITS[dtype]).view(dtype).item()
    return Rank(value, taken, int(counts[pattern & (_BINS - 1)]), finite)


def bracket(sample: Tensor, share: float) -> tuple[float, float]:
    """Between which numbers the one probably is that a share of all numbers reaches.

    Five standard deviations of the rank in a random sample to either side::

        r = m p ± 5 √(m p (1 − p)) ± 1        m numbers, share p

    Args:
        sample: m of the numbers, a vector without negative values.
        share: In ``[0, 1]``.

    Returns:
        The smaller and the larger one; 0 and infinity beyond the ends of the sample.

    Example:
        >>> bracket(torch.arange(1000.0), 0.5)
        (419.0, 581.0)
        >>> bracket(torch.arange(10.0), 0.5)
        (0.0, inf)
    """
    values, count = sample.numpy(), len(sample)
    middle = count * (1 - share)
    around = 5 * math.sqrt(count * share * (1 - share)) + 1
    low, high = math.floor(middle - around), math.ceil(middle + around)
    inside = [place for place in (low, high) if 0 <= place < count]
    ordered = np.partition(values, inside) if inside else values
    return (
        float(ordered[low]) if low >= 0 else 0.0,
        float(ordered[high]) if high < count else math.inf,
    )


def _between(
    parts: Iterable[Tensor], k: int, dtype: torch.dtype, low: float, high: float
) -> Rank | None:
    """The k-th largest, from the numbers of an interval and how many lie above it."""
    least, most = torch.tensor([low, high], dtype=dtype).view(_BITS[dtype]).tolist()
    # small arrays that stay would break up the memory that parts leave behind
    held = np.empty(_HELD, f"i{dtype.itemsize}")
    above, inside, finite = 0, 0, True
    for part in parts:
        if part.device.type != "cpu":
            return None
        bits = part.reshape(-1).view(_BITS[dtype]).numpy()
        if not len(bits):
            continue
        above += np.count_nonzero(bits > most)
        finite = (
            finite
            and int(bits.max()) >> (dtype.itemsize * 8 - _DIGIT) < (_INFINITE[dtype])
        )
        if least == most:
            inside += np.count_nonzero(bits == least)
            continue
        # what is below the interval becomes large without a sign
        size = (bits - least).view(f"u{dtype.itemsize}")
        found = bits[np.flatnonzero(size <= most - least)]
        if inside + len(found) > _HELD:
            return None
        held[inside : inside + len(found)] = found
        inside += len(found)
    taken = k - above
    if not 0 < taken <= inside:
        return None
    if least < most:
        values = held[:inside]
        least = int(np.partition(values, inside - taken)[inside - taken])
        taken -= np.count_nonzero(values > least)
        inside = np.count_nonzero(values == least)
    value = torch.tensor(least, dtype=_BITS[dtype]).view(dtype).item()
    return Rank(value, int(taken), int(inside), finite)


def _histogram(bits: Tensor, pattern: int, shift: int) -> Tensor:
    """How often each next digit follows the digits known so far."""
    top = shift + _DIGIT
    if top == bits.dtype.itemsize * 8:
        # the sign is 0, so nothing is to be masked
        return torch.bincount(bits >> shift).cpu()
    if bits.device.type == "cpu":
        # Booleans are quick in NumPy
        plain = bits.numpy()
        plain = plain[np.flatnonzero((plain >> top) == pattern)]
        bits = torch.from_numpy(plain)
    else:
        bits = bits[(bits >> top) == pattern]
    return torch.bincount((bits >> shift) & (_BINS - 1)).cpu()


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


class Cut:
    """Keeps the k elements of largest magnitude of a tensor that is shown in parts.

    Of equal magnitudes the first in order are kept.

    Args:
        rank: Of the k-th largest magnitude; None to keep nothing.

    Example:
        >>> parts = [torch.tensor([2.0, -7.0]), torch.tensor([2.0, 2.0])]
        >>> cut = Cut(ranked(lambda: (part.abs() for part in parts), 3))
        >>> [cut(part) for part in parts]
        [tensor([ 2., -7.]), tensor([2., 0.])]
    """

    def __init__(self, rank: Rank | None) -> None:
        self.rank = rank
        self.left = math.inf
        if rank is not None and rank.taken < rank.equal:
            self.left = rank.taken

    def __call__(self, part: Tensor) -> Tensor:
        """The next part, with 0 in place of what is not kept."""
        if self.rank is None:
            return torch.zeros_like(part)
        value, finite = self.rank.value, self.rank.finite
        if not self.left and finite and value:
            return torch.nn.functional.hardshrink(part, value)
        kept = reaching(part, value, finite)
        if self.left < math.inf and value:
            alike = part.abs() == value
            count = int(alike.count_nonzero())
            if count > self.left:
                places = alike.nonzero()[:, 0]
                kept[places[int(self.left) :]] = 0
            self.left = max(0, self.left - count)
        return kept


def reaching(tensor: Tensor, least: float, finite: bool) -> Tensor:
    """The elements of at least some magnitude, and 0 in place of the rest.

    Args:
        tensor: Any numbers.
        least: The magnitude.
        finite: Whether all of them are; NaN is kept otherwise.

    Example:
        >>> reaching(torch.tensor([1.0, -2.0, 3.0]), 2.0, finite=True)
        tensor([ 0., -2.,  3.])
    """
    if not finite or not math.isfinite(least):
        size = tensor.abs()
        return torch.where((size >= least) | size.isnan(), tensor, 0)
    if least <= 0:
        return tensor.clone()
    # what exceeds the number just below reaches the number itself
    kind = np.float64 if tensor.dtype == torch.float64 else np.float32
    below = float(np.nextafter(kind(least), kind(0)))
    return torch.nn.functional.hardshrink(tensor, below)
