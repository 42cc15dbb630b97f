"""SCE: select, calculate, erase.

Kernels see one tensor of every model and of their common base. Shape suffix: K, models.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dale.errors import InputError
from dale.merge.select import largest
from dale.merge.steps import deltas, elected_mean, shifted, total


def sce(
    tensors_K: Sequence[Tensor], base: Tensor, *, select_topk: float = 1.0
) -> Tensor:
    """Merge where models differ most, weighted by how far they moved.

    ::

        S = the ⌊share · #{var > 0}⌋ elements of largest variance over k of x_k − base
        δ_k = S ⊙ (x_k − base)        w_k = Σ δ_k² / Σ_j Σ δ_j²
        γ = sign(Σ δ_k)               A = {k : sign(δ_k) = γ}, for every element
        base + Σ_{k ∈ A} w_k δ_k / Σ_{k ∈ A} w_k

    Args:
        tensors_K: One tensor of each model, of one shape.
        base: That of their common ancestor.
        select_topk: Share of the elements that is merged, in ``[0, 1]``; 1 merges all.

    Returns:
        The result, in float32 or wider.

    Raises:
        InputError: `select_topk` is out of range.

    Example:
        >>> import torch
        >>> x_K = [torch.tensor([3.0, 1.0]), torch.tensor([1.0, 0.0])]
        >>> sce(x_K, torch.zeros(2), select_topk=0.5)
        tensor([2.8000, 0.0000])

    References:
        Wan et al. (2024), FuseChat, arXiv 2408.07990.
    """
    if not 0 <= select_topk <= 1:
        raise InputError(f"select_topk must be in [0, 1], got {select_topk}")
    deltas_K = torch.stack([*deltas(tensors_K, base)])
    if select_topk < 1:
        variance = deltas_K.var(dim=0, correction=0)
        count = int(int(variance.count_nonzero()) * select_topk)
        deltas_K *= largest(variance.abs_(), count)
    energies = [total(delta.square()) for delta in deltas_K]
    whole = math.fsum(energies)
    weights = [energy / whole if whole else 1.0 for energy in energies]
    return shifted(base, elected_mean(deltas_K, weights, plain_vote=True), 1.0)
