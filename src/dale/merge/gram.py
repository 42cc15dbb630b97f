"""Combinations whose coefficients depend on lengths and angles alone.

A kernel of this kind measures the inner products of its tensors once, in float64,
works out K coefficients from them, and combines once. Shape suffixes: K, models; R,
parts of a tensor that are treated alike, such as rows.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from dale.merge.blocks import BLOCK, flat, spans
from dale.merge.steps import precise
from dale.weights import linear, wide


def grams(tensors_K: Sequence[Tensor], base: Tensor | None = None) -> Tensor:
    """Inner products of K tensors, or of their differences from a base.

    Args:
        tensors_K: Tensors ``[R, *]``.
        base: A tensor ``[R, *]``.

    Returns:
        float64, ``[R, K, K]``.

    Example:
        >>> grams([torch.ones(1, 3), torch.zeros(1, 3)], torch.full((1, 3), 2.0))
        tensor([[[ 3.,  6.],
                 [ 6., 12.]]], dtype=torch.float64)
    """
    rows = [tensor.reshape(len(tensor), -1) for tensor in tensors_K]
    origin = None if base is None else base.reshape(len(base), -1)
    count, width = rows[0].shape
    if count == 1:
        return _gram([row[0] for row in rows], None if origin is None else origin[0])
    height = max(1, BLOCK // max(1, width))
    found = torch.zeros(count, len(rows), len(rows), dtype=torch.float64)
    for top in range(0, count, height):
        for left in range(0, width, BLOCK):
            place = slice(top, top + height), slice(left, left + BLOCK)
            chunk = torch.stack([precise(row[place]) for row in rows], dim=1)
            if origin is not None:
                chunk -= precise(origin[place])[:, None]
            found[place[0]] += (chunk @ chunk.mT).cpu()
    return found


def _gram(rows_K: Sequence[Tensor], base: Tensor | None) -> Tensor:
    """Inner products of vectors, ``[1, K, K]``."""
    count = len(rows_K)
    found = torch.zeros(count, count, dtype=torch.float64)
    for place in spans(rows_K[0].numel()):
        parts = [precise(row[place]) for row in rows_K]
        if base is not None:
            origin = precise(base[place])
            parts = [part - origin for part in parts]
        for i, one in enumerate(parts):
            for j in range(i + 1):
                found[i, j] += torch.dot(one, parts[j]).cpu()
    return (found.tril() + found.tril(-1).mT)[None]


def along(
    tensors_K: Sequence[Tensor],
    base: Tensor | None,
    coefficients_of: Callable[[Tensor], Tensor],
    dim: int | None = None,
) -> Iterator[Tensor]:
    """Combine tensors by coefficients that depend on their inner products.

    Args:
        tensors_K: K tensors of one shape; if all are equal, the result is the first.
        base: Origin of lengths and angles; 0 if None.
        coefficients_of: From ``[R, K, K]`` to ``[R, K]``, both float64.
        dim: The axis along which vectors lie, treated each on its own; if None, the
            whole tensor is one vector.

    Yields:
        Flat pieces of ``base + Σ c_k (x_k − base)``, in float32 or wider; with `dim`,
        all in one. NaN where tensors that are not finite have no length or angle.
    """
    first = tensors_K[0]
    everyone = [*tensors_K] if base is None else [*tensors_K, base]
    if all(x.dtype == first.dtype and torch.equal(x, first) for x in tensors_K):
        yield from (wide(first.reshape(-1)[place]) for place in spans(first.numel()))
        return
    if dim is None or first.ndim < 2:
        row = [tensor.reshape(1, -1) for tensor in everyone]
    else:
        row = [tensor.movedim(dim, -1).flatten(0, -2) for tensor in everyone]
    inner = grams(row[: len(tensors_K)], None if base is None else row[-1])
    coefficients = coefficients_of(inner)
    if base is not None:
        rest = 1 - coefficients.sum(1, keepdim=True)
        coefficients = torch.cat([coefficients, rest], dim=1)
    if len(coefficients) == 1:
        scales, rows = coefficients[0].tolist(), flat(everyone)
        known = all(map(math.isfinite, scales))
        for place in spans(first.numel()):
            parts = [row[place] for row in rows]
            yield linear(parts, scales) if known else wide(parts[0]) * math.nan
        return
    total = torch.zeros((), device=first.device)
    for x, scales_R in zip(row, coefficients.unbind(1), strict=True):
        total = total + wide(x) * scales_R.to(wide(x))[:, None]
    moved = first.movedim(dim or 0, -1).shape
    yield total.view(moved).movedim(-1, dim or 0).reshape(-1)


def cosines(grams_RKK: Tensor) -> Tensor:
    """Cosines of all pairs; 0 with a vector of zeros."""
    norms = grams_RKK.diagonal(dim1=1, dim2=2).sqrt()
    below = norms[:, :, None] * norms[:, None, :]
    return torch.where(below > 0, grams_RKK / below, 0).clamp(-1, 1)


def length(coefficients: Tensor, inner: Tensor) -> Tensor:
    """Length of a combination of vectors with these inner products."""
    return (coefficients @ inner @ coefficients).clamp(min=0).sqrt()
