"""Task vectors thinned at random, piece by piece, every element with one chance."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from dale.merge.blocks import spans
from dale.merge.sparse import TINY, walked
from dale.merge.steps import Rescale, is_finite, way

Bits = NDArray[np.uint8]
"""Booleans, eight in a byte, the first in the highest bit."""


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
        tensor([2., 2., 2., 0., 2., 0., 2., 2.])
    """
    name = way(rescale, "none", "l1", "inverse")
    if chance == 1:
        return lambda delta: delta
    if name != "l1":
        scale = 1.0 if name == "none" else 1 / max(chance, TINY)
        return lambda delta: _only(
            delta, drawn(len(delta), chance, generator), scale, is_finite(delta)
        )
    # in one array: small ones that stay would break up the memory of pieces
    kept = np.empty(len(tensor) + 7 >> 3, np.uint8)
    before, after, start = 0.0, 0.0, 0
    for delta in walked(tensor, base):
        bits, size = drawn(len(delta), chance, generator), delta.abs_()
        kept[start : start + len(bits)] = bits
        start += len(bits)
        part = size.sum().item()
        before += part
        after += _only(size, bits, 1.0, math.isfinite(part)).sum().item()
    scale, finite = before / after if after else 1.0, math.isfinite(before)
    rest = iter(spans(len(tensor)))

    def drop(delta: Tensor) -> Tensor:
        start = next(rest).start >> 3
        bits = kept[start : start + (len(delta) + 7 >> 3)]
        return _only(delta, bits, scale, finite)

    return drop


def drawn(count: int, chance: float, generator: Generator) -> Bits:
    """Booleans that are true with one chance each, eight in a byte.

    Each is a number from ``[0, 1)``, bit by bit, held against the chance: from the last
    bit to the first, what is below stays or comes to be below where the chance has a 1
    and the number a 0, and stays below no longer where it is the other way round. So
    one random bit for each binary digit of the chance is enough, and a half takes one.
    Of other chances the first eight digits are taken. Where a number agrees with all of
    them, about once in 256 times, a draw decides by the rest, so the chance is exact.

    Args:
        count: How many.
        chance: In ``[0, 1]``.
        generator: On the CPU.

    Returns:
        An array as `numpy.packbits` makes it, the last bits of it arbitrary.

    Example:
        >>> bits = drawn(5, 0.5, torch.Generator().manual_seed(1))
        >>> np.unpackbits(bits, count=5)
        array([1, 1, 1, 0, 1], dtype=uint8)
    """
    size, used = -(-count // 64), count + 7 >> 3
    if chance <= 0 or chance >= 1:
        return np.full(used, 255 if chance >= 1 else 0, np.uint8)
    digits = math.floor(chance * 256)
    rest = chance * 256 - digits
    below, level = np.zeros(size, np.int64), np.full(size, -1)
    words = torch.empty(size, dtype=torch.int64)
    # without a rest, all before the last 1 is not below
    last = 0 if rest else (digits & -digits).bit_length() - 1
    for place in range(last, 8):
        bits = words.random_(-(2**63), None, generator=generator).numpy()
        one = digits >> place & 1
        below = below | bits if one else below & bits
        if rest:
            level &= ~bits if one else bits
    found = below.view(np.uint8)[:used]
    if rest:
        even = np.flatnonzero(np.unpackbits(level.view(np.uint8), count=count))
        draws = torch.rand(len(even), generator=generator, dtype=torch.float64)
        more = np.zeros(count, dtype=bool)
        more[even] = draws.numpy() < rest
        found |= np.packbits(more)
    return found


def _only(delta: Tensor, bits: Bits, scale: float, finite: bool) -> Tensor:
    """The elements whose bits are set times a number, else 0; the piece is used up."""
    kept = torch.from_numpy(np.unpackbits(bits, count=len(delta))).to(delta.device)
    if not finite:
        return torch.where(kept.bool(), delta, 0).mul_(scale)
    factors = kept.to(delta.dtype)  # a product is much faster than a choice
    return delta.mul_(factors if scale == 1 else factors.mul_(scale))
