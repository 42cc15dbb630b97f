"""Task vectors added, and TIES: added after trimming and the election of signs.

Kernels see one tensor of every model and of their common base. Shape suffix: K, models.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from dale.merge.blocks import BLOCK, elementwise, flat, piecewise, spans
from dale.merge.select import kth_largest, reaching
from dale.merge.sparse import trims
from dale.merge.steps import (
    Each,
    Rescale,
    deltas,
    each,
    elected,
    is_finite,
    shifted,
    summed,
)
from dale.weights import wide

Walk = Callable[[], Iterable[tuple[Sequence[Tensor], Tensor]]]
"""Starts a walk over all tensors: those of the K models, and that of the base."""


@elementwise
def task_arithmetic(
    tensors_K: Sequence[Tensor],
    base: Tensor,
    *,
    weight: Each = 1.0,
    lambda_: float = 1.0,
    normalize: bool = False,
) -> Tensor:
    """The base plus a weighted sum of task vectors.

    ::

        base + λ Σ w_k (x_k − base)        divided by Σ w_k with `normalize`

    Args:
        tensors_K: One tensor of each model, of one shape.
        base: That of their common ancestor.
        weight: One number for all or one for each; negative ones lead away.
        lambda_: Scale of the sum, ``lambda`` in YAML; 0 gives the base.
        normalize: Divide by the sum of the weights.

    Returns:
        The result, in float32 or wider.

    Raises:
        InputError: Weights that do not fit, or a sum of 0 to be divided by.

    Example:
        >>> import torch
        >>> x_K = [torch.tensor(3.0), torch.tensor(0.0)]
        >>> task_arithmetic(x_K, torch.tensor(1.0), weight=(0.5, 1.0))
        tensor(1.)

    References:
        Ilharco et al. (2023), Editing models with task arithmetic, arXiv 2212.04089.
    """
    weights = each("weight", weight, len(tensors_K))
    origin = wide(base)
    change = summed(deltas(tensors_K, origin), weights, normalize)
    return shifted(origin, change, lambda_)


@piecewise
def ties(
    tensors_K: Sequence[Tensor],
    base: Tensor,
    *,
    weight: Each = 1.0,
    density: Each = 1.0,
    rescale: Rescale = "none",
    lambda_: float = 1.0,
    normalize: bool = True,
) -> Iterator[Tensor]:
    """TIES, trimmed tensor by tensor: trim, elect signs, merge what agrees.

    ::

        δ_k = the ⌊d_k n⌋ largest magnitudes of x_k − base
        γ = sign(Σ w_k δ_k)        A = {k : sign(w_k δ_k) = γ}, for every element
        base + λ Σ_{k ∈ A} w_k δ_k / Σ_{k ∈ A} w_k

    Args:
        tensors_K: One tensor of each model, of one shape.
        base: That of their common ancestor.
        weight: One number for all or one for each.
        density: Share of the elements of a task vector that is kept, in ``[0, 1]``.
            Of equal magnitudes the first in order is kept.
        rescale: ``"l1"`` keeps the sum of absolute values of each task vector,
            ``"none"`` leaves what is kept as it is.
        lambda_: Scale of the merged task vector, ``lambda`` in YAML.
        normalize: Divide by the weights of the models that agree.

    Yields:
        The result in flat pieces, which a call joins, in float32 or wider.

    Raises:
        InputError: Weights or densities that do not fit.

    Example:
        >>> import torch
        >>> x_K = [torch.tensor([4.0, 1.0]), torch.tensor([-1.0, 3.0])]
        >>> ties(x_K, torch.zeros(2))
        tensor([4., 2.])

    References:
        Yadav et al. (2023), TIES-merging, arXiv 2306.01708. The paper trims over all
        parameters at once, see `ties_global`, keeps a fifth and does not weight.
    """
    count = len(tensors_K)
    weights = each("weight", weight, count)
    shares = each("density", density, count, share=True)
    *rows_K, origin = flat([*tensors_K, base])
    pairs = zip(rows_K, shares, strict=True)
    trims_K = [trims(row, origin, share, rescale) for row, share in pairs]
    for place in spans(len(origin)):
        start = wide(origin[place])
        here = deltas((row[place] for row in rows_K), start)
        kept = (trim(delta) for trim, delta in zip(trims_K, here, strict=True))
        yield shifted(start, elected(kept, weights, normalize), lambda_)


@elementwise
def ties_global(
    tensors_K: Sequence[Tensor],
    base: Tensor,
    thresholds_K: Sequence[float],
    *,
    weight: Each = 1.0,
    lambda_: float = 1.0,
    normalize: bool = True,
) -> Tensor:
    """TIES as published: trimmed over all parameters of a model at once.

    As `ties`, but what is kept of a task vector are the magnitudes that reach a
    threshold; see `thresholds`, which is measured over all tensors beforehand.

    Args:
        tensors_K: One tensor of each model, of one shape.
        base: That of their common ancestor.
        thresholds_K: The smallest magnitude kept of each model.
        weight: One number for all or one for each.
        lambda_: Scale of the merged task vector, ``lambda`` in YAML.
        normalize: Divide by the weights of the models that agree.

    Returns:
        The result, in float32 or wider.

    Raises:
        InputError: Weights that do not fit.

    Example:
        >>> import torch
        >>> x_K = [torch.tensor([4.0, 1.0]), torch.tensor([-1.0, 3.0])]
        >>> ties_global(x_K, torch.zeros(2), (2.0, 2.0))
        tensor([4., 3.])

    References:
        Yadav et al. (2023), TIES-merging, arXiv 2306.01708, Algorithm 1. The authors'
        code keeps one parameter more than the share says.
    """
    weights = each("weight", weight, len(tensors_K))
    origin = wide(base)
    parts = zip(deltas(tensors_K, origin), thresholds_K, strict=True)
    sparse = (reaching(delta, least, is_finite(delta)) for delta, least in parts)
    return shifted(origin, elected(sparse, weights, normalize), lambda_)


def thresholds(walk: Walk, *, density: Each = 0.2) -> tuple[float, ...]:
    """The magnitude that the ``⌊d D⌋`` largest of D parameters reach, for each model.

    Args:
        walk: Starts a walk over all tensors: those of the K models, and the base's.
        density: Share of the parameters of a model that is kept, in ``[0, 1]``.
            Parameters as large as the smallest kept one are kept too.

    Returns:
        K numbers, infinite where nothing is kept; none if there are no tensors.

    Raises:
        InputError: Densities that do not fit.

    Example:
        >>> import torch
        >>> layers = [([torch.tensor([9.0, 1.0])], torch.zeros(2)),
        ...           ([torch.tensor([5.0])], torch.zeros(1))]
        >>> thresholds(lambda: layers, density=0.7)
        (5.0,)
    """
    size, types_K = _survey(walk)
    if not types_K:
        return ()
    shares = each("density", density, len(types_K), share=True)
    ranks = [max(1, int(share * size)) if share and size else 0 for share in shares]
    found = []
    for k, (rank, dtype) in enumerate(zip(ranks, types_K, strict=True)):
        parts = partial(_magnitudes, walk, k, dtype)
        found.append(kth_largest(parts, rank, dtype) if rank else math.inf)
    return tuple(found)


def _survey(walk: Walk) -> tuple[int, list[torch.dtype]]:
    """How many parameters a model has, and the type of each one's task vector."""
    size, types_K = 0, []
    for tensors_K, base in walk():
        size += base.numel()
        types_K = types_K or [torch.float32] * len(tensors_K)
        for k, tensor in enumerate(tensors_K):
            for part in (tensor, base):
                types_K[k] = torch.promote_types(types_K[k], part.dtype)
    return size, types_K


def _magnitudes(walk: Walk, k: int, dtype: torch.dtype) -> Iterator[Tensor]:
    for tensors_K, base in walk():
        tensor = tensors_K[k]
        if tensor.dtype == base.dtype and torch.equal(tensor, base):
            # masks of −∞ did not change either
            yield torch.zeros(base.shape, dtype=dtype, device=base.device)
            continue
        row, origin = flat([tensor, base])
        for place in spans(len(row), 4 * BLOCK):
            yield next(deltas([row[place]], origin[place])).abs_().to(dtype)
