"""DELLA: drop elements of task vectors at random, small ones more often.

Kernels see one tensor of every model and of their common base. Shape suffix: K, models.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Generator, Tensor

from dale.errors import InputError
from dale.merge.sparse import chances, dropped
from dale.merge.steps import Each, Rescale, deltas, each, elected, shifted, summed, way


def della(
    tensors_K: Sequence[Tensor],
    base: Tensor,
    generators_K: Sequence[Generator],
    *,
    weight: Each = 1.0,
    density: Each = 1.0,
    epsilon: Each = 0.15,
    rescale: Rescale = "l1",
    lambda_: float = 1.0,
    normalize: bool = True,
) -> Tensor:
    """Task vectors thinned by magnitude, merged where signs agree.

    ::

        p = d_k − ε_k + 2 ε_k · rank / (n − 1)      m_k ~ Bernoulli(p)
        δ_k = m_k ⊙ (x_k − base) · s_k              s_k = 1 / p  or  Σ |τ| / Σ |m ⊙ τ|

    with ranks of magnitudes within rows, then signs elected as in `dale.merge.ties`.

    Args:
        tensors_K: One tensor of each model, of one shape. A row is all but the first
            axis; of a vector, all of it.
        base: That of their common ancestor.
        generators_K: One on the CPU for each model.
        weight: One number for all or one for each.
        density: Mean chance of being kept, in ``[0, 1]``; at 0 and 1 ranks play no
            part.
        epsilon: Half the range of the chances; ``density ± epsilon`` in ``[0, 1]``.
        rescale: ``"l1"`` keeps the sum of absolute values, ``"inverse"`` divides by
            the chance as published, ``"none"`` leaves the rest as it is.
        lambda_: Scale of the merged task vector, ``lambda`` in YAML.
        normalize: Divide by the weights of the models that agree.

    Returns:
        The result, in float32 or wider.

    Raises:
        InputError: Weights, densities or ranges that do not fit.

    Example:
        >>> import torch
        >>> x_K, generators = [torch.arange(5.0)], [torch.Generator().manual_seed(0)]
        >>> della(x_K, torch.zeros(5), generators, density=0.5, epsilon=0.5)
        tensor([0.0000, 0.0000, 2.2222, 3.3333, 4.4444])

    References:
        Deep et al. (2024), DELLA-Merging, arXiv 2406.11617.
    """
    weights = each("weight", weight, len(tensors_K))
    thin = _thinned(tensors_K, base, generators_K, density, epsilon, rescale)
    return shifted(base, elected(thin, weights, normalize), lambda_)


def della_linear(
    tensors_K: Sequence[Tensor],
    base: Tensor,
    generators_K: Sequence[Generator],
    *,
    weight: Each = 1.0,
    density: Each = 1.0,
    epsilon: Each = 0.15,
    rescale: Rescale = "l1",
    lambda_: float = 1.0,
    normalize: bool = False,
) -> Tensor:
    """The base plus a weighted sum of task vectors thinned by magnitude.

    Elements are dropped as in `della`; signs play no part.

    Args:
        tensors_K: One tensor of each model, of one shape.
        base: That of their common ancestor.
        generators_K: One on the CPU for each model.
        weight: One number for all or one for each.
        density: Mean chance of being kept, in ``[0, 1]``.
        epsilon: Half the range of the chances; ``density ± epsilon`` in ``[0, 1]``.
        rescale: What makes up for the dropped elements, see `della`.
        lambda_: Scale of the sum, ``lambda`` in YAML.
        normalize: Divide by the sum of the weights.

    Returns:
        The result, in float32 or wider.

    Raises:
        InputError: Weights, densities or ranges that do not fit.

    Example:
        >>> import torch
        >>> x_K, generators = [torch.arange(5.0)], [torch.Generator().manual_seed(0)]
        >>> della_linear(x_K, torch.zeros(5), generators, density=0.5, epsilon=0.5)
        tensor([0.0000, 0.0000, 2.2222, 3.3333, 4.4444])

    References:
        Deep et al. (2024), DELLA-Merging, arXiv 2406.11617.
    """
    weights = each("weight", weight, len(tensors_K))
    thin = _thinned(tensors_K, base, generators_K, density, epsilon, rescale)
    return shifted(base, summed(thin, weights, normalize), lambda_)


def _thinned(
    tensors_K: Sequence[Tensor],
    base: Tensor,
    generators_K: Sequence[Generator],
    density: Each,
    epsilon: Each,
    rescale: Rescale,
) -> Iterator[Tensor]:
    count = len(tensors_K)
    shares = each("density", density, count, share=True)
    ranges = each("epsilon", epsilon, count, share=True)
    for share, half in zip(shares, ranges, strict=True):
        # ends of the range that rounding alone pushes out are meant to be 0 or 1
        if 0 < share < 1 and not -1e-9 <= share - half <= share + half <= 1 + 1e-9:
            raise InputError(
                f"density ± epsilon must be in [0, 1], got {share} ± {half}"
            )
    parts = zip(deltas(tensors_K, base), shares, ranges, generators_K, strict=True)
    return (_drop(*part, rescale) for part in parts)


def _drop(
    delta: Tensor, share: float, half: float, generator: Generator, rescale: Rescale
) -> Tensor:
    if share == 1:
        way(rescale, "none", "l1", "inverse")
        return delta
    chance = chances(delta, share, half) if share else torch.zeros_like(delta)
    return dropped(delta, chance, generator, rescale)
