"""Model stock. Shape suffixes: K, models; R, parts of a tensor."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from dale.merge.blocks import piecewise
from dale.merge.gram import along, cosines


@piecewise
def model_stock(
    tensors_K: Sequence[Tensor], base: Tensor, *, filter_wise: bool = False
) -> Iterator[Tensor]:
    """Between the base and the mean, as far as the angles between task vectors say.

    ::

        cos θ = mean over pairs of  ⟨τ_j, τ_k⟩ / (|τ_j| |τ_k|)        τ_k = x_k − base
        t = K cos θ / (1 + (K − 1) cos θ)        t mean(x) + (1 − t) base

    Args:
        tensors_K: Two or more tensors of one shape.
        base: That of their common ancestor.
        filter_wise: Angles and ``t`` for every index of the first axis on its own.

    Yields:
        The result in flat pieces, which a call joins, in float32 or wider; the
        base where the denominator vanishes.

    Example:
        >>> pair = [torch.tensor([3.0, 0.0]), torch.tensor([3.0, 3.0])]
        >>> model_stock(pair, torch.zeros(2))
        tensor([2.4853, 1.2426])

    References:
        Jang et al. (2024), Model Stock, arXiv 2403.19522.
    """
    count = len(tensors_K)

    def coefficients(grams_RKK: Tensor) -> Tensor:
        pairs = torch.triu_indices(count, count, 1)
        cosine = cosines(grams_RKK)[:, pairs[0], pairs[1]].mean(1, keepdim=True)
        below = 1 + (count - 1) * cosine
        defined = below.abs() >= 1e-6
        t = torch.where(defined, count * cosine / torch.where(defined, below, 1), 0)
        return (t / count).expand(-1, count)

    if not filter_wise or base.ndim < 3:
        yield from along(tensors_K, base, coefficients, -1 if filter_wise else None)
        return
    filters_K = [tensor.flatten(1) for tensor in tensors_K]
    yield from along(filters_K, base.flatten(1), coefficients, -1)
