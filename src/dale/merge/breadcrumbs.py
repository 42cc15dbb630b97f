"""Model breadcrumbs: task vectors without their largest and smallest elements.

Kernels see one tensor of every model and of their common base. Shape suffix: K, models.
"""

from collections.abc import Iterator, Sequence

from torch import Tensor

from dale.merge.sparse import without_outliers
from dale.merge.steps import Each, Rescale, deltas, each, elected, shifted, summed


def breadcrumbs(
    tensors_K: Sequence[Tensor],
    base: Tensor,
    *,
    weight: Each = 1.0,
    density: Each = 1.0,
    gamma: Each = 0.01,
    rescale: Rescale = "none",
    lambda_: float = 1.0,
    normalize: bool = False,
) -> Tensor:
    """The base plus a weighted sum of task vectors without their extremes.

    ::

        δ_k = the ⌊d_k n⌋ magnitudes of x_k − base below its ⌊γ_k n⌋ largest
        base + λ Σ w_k δ_k        divided by Σ w_k with `normalize`

    Args:
        tensors_K: One tensor of each model, of one shape.
        base: That of their common ancestor.
        weight: One number for all or one for each.
        density: Share of the elements that is kept, in ``[0, 1]``; 1 keeps all.
        gamma: Share of the largest that is left out, in ``[0, 1]``; less where the
            density could not be reached otherwise.
        rescale: ``"l1"`` keeps the sum of absolute values of each task vector,
            ``"none"`` leaves what is kept as it is.
        lambda_: Scale of the sum, ``lambda`` in YAML.
        normalize: Divide by the sum of the weights.

    Returns:
        The result, in float32 or wider.

    Raises:
        InputError: Weights, densities or shares that do not fit.

    Example:
        >>> import torch
        >>> x_K = [torch.tensor([9.0, 1.0, 3.0, -2.0])]
        >>> breadcrumbs(x_K, torch.zeros(4), density=0.5, gamma=0.25)
        tensor([ 0.,  0.,  3., -2.])

    References:
        Davari and Belilovsky (2023), Model breadcrumbs, arXiv 2312.06795. There the
        share of the smallest that is left out, 1 − density − gamma, is given.
    """
    weights = each("weight", weight, len(tensors_K))
    crumbs = _crumbs(tensors_K, base, density, gamma, rescale)
    return shifted(base, summed(crumbs, weights, normalize), lambda_)


def breadcrumbs_ties(
    tensors_K: Sequence[Tensor],
    base: Tensor,
    *,
    weight: Each = 1.0,
    density: Each = 1.0,
    gamma: Each = 0.01,
    rescale: Rescale = "none",
    lambda_: float = 1.0,
    normalize: bool = False,
) -> Tensor:
    """Task vectors without their extremes, merged where signs agree.

    Extremes are left out as in `breadcrumbs`; signs are elected as in
    `dale.merge.ties`.

    Args:
        tensors_K: One tensor of each model, of one shape.
        base: That of their common ancestor.
        weight: One number for all or one for each.
        density: Share of the elements that is kept, in ``[0, 1]``; 1 keeps all.
        gamma: Share of the largest that is left out, in ``[0, 1]``.
        rescale: What makes up for what is left out, see `breadcrumbs`.
        lambda_: Scale of the merged task vector, ``lambda`` in YAML.
        normalize: Divide by the weights of the models that agree.

    Returns:
        The result, in float32 or wider.

    Raises:
        InputError: Weights, densities or shares that do not fit.

    Example:
        >>> import torch
        >>> x_K = [torch.tensor([9.0, 1.0, 3.0, -2.0]), torch.tensor([8.0, 1, 4, 5])]
        >>> breadcrumbs_ties(x_K, torch.zeros(4), density=0.5, gamma=0.25)
        tensor([0., 0., 7., 5.])

    References:
        Davari and Belilovsky (2023), arXiv 2312.06795; Yadav et al. (2023), arXiv
        2306.01708.
    """
    weights = each("weight", weight, len(tensors_K))
    crumbs = _crumbs(tensors_K, base, density, gamma, rescale)
    return shifted(base, elected(crumbs, weights, normalize), lambda_)


def _crumbs(
    tensors_K: Sequence[Tensor],
    base: Tensor,
    density: Each,
    gamma: Each,
    rescale: Rescale,
) -> Iterator[Tensor]:
    count = len(tensors_K)
    kept = each("density", density, count, share=True)
    left = each("gamma", gamma, count, share=True)
    parts = zip(deltas(tensors_K, base), kept, left, strict=True)
    return (without_outliers(*part, rescale) for part in parts)
