"""Task vectors made sparse: by magnitude, between two magnitudes, or at random."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from dale.merge.blocks import spans
from dale.merge.select import Cut, bracket, largest, ranked
from dale.merge.steps import Rescale, is_finite, total, way
from dale.weights import wide

Mask = NDArray[np.bool_]

_TINY = 1e-30
_SAMPLE = 1 << 16
"""About how many magnitudes a threshold is guessed from."""


def preserved(delta: Tensor, kept: Tensor, rescale: Rescale) -> Tensor:
    """Scale what was kept of a task vector to the same sum of absolute values, or not.

    Raises:
        InputError: `rescale` is neither ``"l1"`` nor ``"none"``.
    """
    if way(rescale, "none", "l1") == "none":
        return kept
    before, after = total(delta.abs()), total(kept.abs())
    return kept * (before / after) if after else kept


def trims(
    tensor: Tensor, base: Tensor, density: float, rescale: Rescale
) -> Callable[[Tensor], Tensor]:
    """What trims a task vector that is shown in pieces, in order.

    Args:
        tensor: Of the model, a vector.
        base: Of the base, a vector.
        density: Share of the magnitudes that is kept: of n elements the largest
            ``max(1, ⌊density · n⌋)``, none at 0.
        rescale: ``"l1"`` or ``"none"``.

    Raises:
        InputError: Another `rescale`.

    Example:
        >>> x, base = torch.tensor([1.0, -3.0, 2.0, 0.5]), torch.zeros(4)
        >>> trims(x, base, 0.5, "none")(x)
        tensor([ 0., -3.,  2.,  0.])
    """
    name = way(rescale, "none", "l1")
    if density == 1 or not len(tensor):
        return lambda delta: delta
    count = max(1, int(density * len(tensor))) if density else 0
    dtype = (wide(tensor[:0]) - wide(base[:0])).dtype
    rank = None
    if count:
        near = bracket(_sample(tensor, base), count / len(tensor))
        rank = ranked(lambda: _sizes(tensor, base), count, dtype, near)
    if name == "none":
        return Cut(rank)
    cut, before, after = Cut(rank), 0.0, 0.0
    for delta in _walked(tensor, base):
        before += total(delta.abs())
        after += total(cut(delta).abs())
    final = Cut(rank)
    scale = before / after if after else 1.0
    return lambda delta: final(delta) * scale


def _walked(tensor: Tensor, base: Tensor, *size: int) -> Iterator[Tensor]:
    for place in spans(len(tensor), *size):
        yield wide(tensor[place]) - wide(base[place])


def _sample(tensor: Tensor, base: Tensor) -> Tensor:
    """Every so many magnitudes; the step is odd, so that it meets every column."""
    step = max(1, len(tensor) // _SAMPLE) | 1
    return (wide(tensor[::step]) - wide(base[::step])).abs_().cpu()


def _sizes(tensor: Tensor, base: Tensor) -> Iterator[Tensor]:
    return (delta.abs_() for delta in _walked(tensor, base))


def without_outliers(
    delta: Tensor, density: float, gamma: float, rescale: Rescale = "none"
) -> Tensor:
    """Keep ``⌊density · n⌋`` magnitudes below the ``⌊gamma · n⌋`` largest.

    Where fewer than that lie below, the largest are spared until the count is right.

    Example:
        >>> without_outliers(torch.tensor([1.0, -3.0, 2.0, 0.5]), 0.5, 0.25)
        tensor([1., 0., 2., 0.])
    """
    way(rescale, "none", "l1")
    if density == 1:
        return delta
    count, magnitudes = delta.numel(), delta.abs()
    share, top = int(density * count), int(gamma * count)
    lowest = count - max(0, count - share - top)
    chosen = largest(magnitudes, lowest) & ~largest(magnitudes, lowest - share)
    return preserved(delta, torch.where(chosen, delta, 0), rescale)


def dropped(
    delta: Tensor, chances: Tensor, generator: Generator, rescale: Rescale
) -> Tensor:
    """Keep every element with a chance of its own, and make up for the rest.

    Args:
        delta: Any shape.
        chances: Of being kept, in ``[0, 1]``, for each element.
        generator: On the CPU, so that every device draws the same.
        rescale: ``"l1"`` multiplies by ``Σ |δ| / Σ |kept|``, ``"inverse"`` divides by
            the chance.

    Returns:
        The task vector with zeros in it.

    Example:
        >>> delta, generator = torch.ones(8), torch.Generator().manual_seed(0)
        >>> kept = dropped(delta, 0.5 * delta, generator, "l1")
        >>> int(kept.count_nonzero()), kept.sum()
        (5, tensor(8.))
    """
    name = way(rescale, "none", "l1", "inverse")
    draws = torch.rand(delta.shape, generator=generator).to(delta.device)
    kept = torch.where(draws < chances, delta, 0)
    if name == "inverse":
        # what has no chance is 0 already, and stays so
        return kept / chances.clamp(min=_TINY)
    return preserved(delta, kept, rescale)


def drops(
    tensor: Tensor,
    base: Tensor,
    chance: float,
    generator: Generator,
    rescale: Rescale,
) -> Callable[[Tensor], Tensor]:
    """What drops elements of a task vector that is shown in pieces, in order.

    Every element is kept with the same chance.

    Args:
        tensor: Of the model, a vector.
        base: Of the base, a vector.
        chance: Of being kept, in ``[0, 1]``.
        generator: On the CPU, so that every device draws the same.
        rescale: As for `dropped`.

    Raises:
        InputError: `rescale` is none of these.

    Example:
        >>> x, generator = torch.ones(8), torch.Generator().manual_seed(1)
        >>> drops(x, torch.zeros(8), 0.5, generator, "inverse")(x)
        tensor([2., 2., 0., 2., 0., 2., 2., 0.])
    """
    name = way(rescale, "none", "l1", "inverse")
    if chance == 1:
        return lambda delta: delta
    if name != "l1":
        scale = 1.0 if name == "none" else 1 / max(chance, _TINY)
        return lambda delta: _only(
            delta, drawn(len(delta), chance, generator), scale, is_finite(delta)
        )
    # in one array: small ones that stay would break up the memory of pieces
    kept = np.empty(len(tensor) + 7 >> 3, np.uint8)
    before, after, start = 0.0, 0.0, 0
    for delta in _walked(tensor, base):
        mask, size = drawn(len(delta), chance, generator), delta.abs_()
        packed = np.packbits(mask)
        kept[start : start + len(packed)] = packed
        start += len(packed)
        part = size.sum().item()
        before += part
        after += _only(size, mask, 1.0, math.isfinite(part)).sum().item()
    scale, finite = before / after if after else 1.0, math.isfinite(before)
    rest = iter(spans(len(tensor)))

    def drop(delta: Tensor) -> Tensor:
        start = next(rest).start >> 3
        bits = kept[start : start + (len(delta) + 7 >> 3)]
        mask = np.unpackbits(bits, count=len(delta)).view(bool)
        return _only(delta, mask, scale, finite)

    return drop


def drawn(count: int, chance: float, generator: Generator) -> Mask:
    """Booleans that are true with one chance each.

    Eight draws of 8 bits are taken from every 64-bit number of the generator; a draw is
    held against the first 8 bits of the chance. Where it equals them, about once in 256
    times, a draw from ``[0, 1)`` decides by the rest, so the chance is exact.

    Args:
        count: How many.
        chance: In ``[0, 1]``.
        generator: On the CPU.

    Returns:
        An array.

    Example:
        >>> drawn(5, 0.5, torch.Generator().manual_seed(1))
        array([ True,  True, False,  True, False])
    """
    words = torch.empty(-(-count // 8), dtype=torch.int64)
    words.random_(-(2**63), None, generator=generator)
    draws = words.numpy().view(np.int8)[:count]
    if chance >= 1:
        return np.ones(count, dtype=bool)
    step = math.floor(chance * 256)
    mask = draws < step - 128
    if rest := chance * 256 - step:
        edge = np.flatnonzero(draws == step - 128)
        draw = torch.rand(len(edge), generator=generator, dtype=torch.float64)
        mask[edge] = draw.numpy() < rest
    return mask


def _only(delta: Tensor, mask: Mask, scale: float, finite: bool) -> Tensor:
    """The elements under a mask times a number, and 0 elsewhere."""
    if delta.device.type == "cpu" and finite:
        kept = torch.from_numpy(np.multiply(delta.numpy(), mask))
    else:
        kept = torch.where(torch.from_numpy(mask).to(delta.device), delta, 0)
    return kept if scale == 1 else kept.mul_(scale)


def chances(delta: Tensor, density: float, epsilon: float) -> Tensor:
    """Chances of being kept that grow with the rank of the magnitude in its row.

    ::

        p = density − epsilon + 2 · epsilon · rank / (n − 1)        rank = 0 … n − 1

    A row is what feeds one output: all but the first axis. Equal magnitudes rank in
    order; the only element of a row has the chance `density`.

    Example:
        >>> chances(torch.tensor([[1.0, -9.0, 4.0]]), 0.5, 0.25)
        tensor([[0.2500, 0.7500, 0.5000]])
    """
    rows = delta.abs()
    rows = rows.flatten(1) if rows.ndim > 1 else rows.reshape(1, -1)
    if rows.shape[1] < 2:
        return torch.full_like(delta, density)
    order = rows.argsort(dim=1, stable=True)
    ranks = torch.empty_like(order)
    steps = torch.arange(rows.shape[1], device=rows.device)
    ranks.scatter_(1, order, steps.expand_as(order))
    share = ranks.to(rows.dtype) / (rows.shape[1] - 1)
    return (density - epsilon + 2 * epsilon * share).view(delta.shape)
