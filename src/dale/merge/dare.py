"""DARE: drop elements of task vectors at random and make up for them.

Kernels see one tensor of every model and of their common base. Shape suffix: K, models.
"""

from collections.abc import Iterator, Sequence

from torch import Generator, Tensor

from dale.merge.blocks import flat, piecewise, spans
from dale.merge.steps import Each, Rescale, deltas, each, elected, shifted, summed
from dale.merge.thin import drops
from dale.weights import wide


@piecewise
def dare_linear(
    tensors_K: Sequence[Tensor],
    base: Tensor,
    generators_K: Sequence[Generator],
    *,
    weight: Each = 1.0,
    density: Each = 1.0,
    rescale: Rescale = "l1",
    lambda_: float = 1.0,
    normalize: bool = False,
) -> Iterator[Tensor]:
    """The base plus a weighted sum of thinned task vectors.

    ::

        m_k ~ Bernoulli(d_k)        δ_k = m_k ⊙ (x_k − base) · s_k
        base + λ Σ w_k δ_k          s_k = 1 / d_k  or  Σ |τ_k| / Σ |m_k ⊙ τ_k|

    Args:
        tensors_K: One tensor of each model, of one shape.
        base: That of their common ancestor.
        generators_K: One on the CPU for each model.
        weight: One number for all or one for each.
        density: Chance of each element to be kept, in ``[0, 1]``.
        rescale: ``"l1"`` keeps the sum of absolute values, ``"inverse"`` divides by
            the density as published, ``"none"`` leaves the rest as it is.
        lambda_: Scale of the sum, ``lambda`` in YAML.
        normalize: Divide by the sum of the weights.

    Yields:
        The result in flat pieces, which a call joins, in float32 or wider.

    Raises:
        InputError: Weights or densities that do not fit.

    Example:
        >>> import torch
        >>> x_K, generators = [torch.ones(8)], [torch.Generator().manual_seed(0)]
        >>> dare_linear(x_K, torch.zeros(8), generators, density=0.5)
        tensor([0.0000, 0.0000, 1.6000, 0.0000, 1.6000, 1.6000, 1.6000, 1.6000])

    References:
        Yu et al. (2024), Language models are super Mario, arXiv 2311.03099. There the
        rest is divided by the density; ``"l1"`` differs from it by the luck of the
        draw.
    """
    weights = each("weight", weight, len(tensors_K))
    for start, thin_K in _thinned(tensors_K, base, generators_K, density, rescale):
        yield shifted(start, summed(thin_K, weights, normalize), lambda_)


@piecewise
def dare_ties(
    tensors_K: Sequence[Tensor],
    base: Tensor,
    generators_K: Sequence[Generator],
    *,
    weight: Each = 1.0,
    density: Each = 1.0,
    rescale: Rescale = "l1",
    lambda_: float = 1.0,
    normalize: bool = False,
) -> Iterator[Tensor]:
    """Thinned task vectors, merged where their signs agree with the elected one.

    Elements are dropped as in `dare_linear` and merged as in `dale.merge.ties`.

    Args:
        tensors_K: One tensor of each model, of one shape.
        base: That of their common ancestor.
        generators_K: One on the CPU for each model.
        weight: One number for all or one for each.
        density: Chance of each element to be kept, in ``[0, 1]``.
        rescale: What makes up for the dropped elements, see `dare_linear`.
        lambda_: Scale of the merged task vector, ``lambda`` in YAML.
        normalize: Divide by the weights of the models that agree.

    Yields:
        The result in flat pieces, which a call joins, in float32 or wider.

    Raises:
        InputError: Weights or densities that do not fit.

    Example:
        >>> import torch
        >>> x_K = [torch.tensor([4.0, 1.0]), torch.tensor([-1.0, 3.0])]
        >>> generators = [torch.Generator().manual_seed(k) for k in range(2)]
        >>> dare_ties(x_K, torch.zeros(2), generators)
        tensor([4., 4.])

    References:
        Yu et al. (2024), arXiv 2311.03099; Yadav et al. (2023), arXiv 2306.01708.
    """
    weights = each("weight", weight, len(tensors_K))
    for start, thin_K in _thinned(tensors_K, base, generators_K, density, rescale):
        yield shifted(start, elected(thin_K, weights, normalize), lambda_)


def _thinned(
    tensors_K: Sequence[Tensor],
    base: Tensor,
    generators_K: Sequence[Generator],
    density: Each,
    rescale: Rescale,
) -> Iterator[tuple[Tensor, Iterator[Tensor]]]:
    """Pieces of the base, each with those of the thinned task vectors."""
    shares = each("density", density, len(tensors_K), share=True)
    *rows_K, origin = flat([*tensors_K, base])
    drops_K = [
        drops(row, origin, share, generator, rescale)
        for row, share, generator in zip(rows_K, shares, generators_K, strict=True)
    ]
    for place in spans(len(origin)):
        start = wide(origin[place])
        here = deltas((row[place] for row in rows_K), start)
        pairs = zip(drops_K, here, strict=True)
        yield start, (drop(delta) for drop, delta in pairs)
