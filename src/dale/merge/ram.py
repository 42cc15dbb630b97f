"""RAM: what one model alone changed is kept whole, what several changed is averaged.

Kernels see one tensor of every model and of their common base. Shape suffix: K, models.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dale.errors import InputError
from dale.merge.blocks import elementwise
from dale.merge.steps import deltas, each, shifted


@elementwise
def ram(tensors_K: Sequence[Tensor], base: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    """Reinforced agent merging: unique changes added, shared ones averaged.

    ::

        A = {k : |x_k − base| > ε}, for every element
        base + Σ_{k ∈ A} (x_k − base) / max(1, |A|)

    Args:
        tensors_K: One tensor of each model, of one shape.
        base: That of their common ancestor.
        epsilon: The largest difference that is not a change, at least 0.

    Returns:
        The result, in float32 or wider.

    Raises:
        InputError: `epsilon` is out of range.

    Example:
        >>> import torch
        >>> x_K = [torch.tensor([4.0, 1.0]), torch.tensor([0.0, 3.0])]
        >>> ram(x_K, torch.zeros(2))
        tensor([4., 2.])

    References:
        Reinforced agent merging (2026), arXiv 2601.13572.
    """
    counts = _counts(tensors_K, base, epsilon)
    sharers = counts.clamp(min=1)
    total = torch.zeros_like(base, dtype=torch.float32)
    for delta in deltas(tensors_K, base):
        total = total + torch.where(delta.abs() > epsilon, delta, 0)
    return shifted(base, total / sharers, 1.0)


def ramplus_tl(
    tensors_K: Sequence[Tensor],
    base: Tensor,
    *,
    r: float = 0.1,
    alpha: float = 0.2,
    epsilon: float = 1e-5,
) -> Tensor:
    """RAM with unique changes strengthened, tensor by tensor.

    ::

        ρ_k = (shared changes of k) / (unique changes of k)
        unique changes of k times  1 + r · clip(ρ_k, 0, α),  shared ones averaged

    Args:
        tensors_K: One tensor of each model, of one shape.
        base: That of their common ancestor.
        r: How much unique changes are strengthened.
        alpha: The largest ratio that counts, at least 0.
        epsilon: The largest difference that is not a change, at least 0.

    Returns:
        The result, in float32 or wider.

    Raises:
        InputError: A setting is out of range.

    Example:
        >>> import torch
        >>> x_K = [torch.tensor([4.0, 1.0]), torch.tensor([0.0, 3.0])]
        >>> ramplus_tl(x_K, torch.zeros(2), r=1.0, alpha=0.5)
        tensor([6., 2.])

    References:
        Reinforced agent merging (2026), arXiv 2601.13572.
    """
    if not alpha >= 0:
        raise InputError(f"alpha must be 0 or more, got {alpha}")
    (r,) = each("r", r, 1)
    counts = _counts(tensors_K, base, epsilon)
    sharers = counts.clamp(min=1)
    total = torch.zeros_like(base, dtype=torch.float32)
    for delta in deltas(tensors_K, base):
        changed = delta.abs() > epsilon
        unique = changed & (counts == 1)
        alone = int(unique.count_nonzero())
        shared = int(changed.count_nonzero()) - alone
        ratio = shared / alone if alone else 0.0
        strength = 1 + r * min(ratio, alpha)
        total = total + torch.where(unique, delta * strength, delta * changed / sharers)
    return shifted(base, total, 1.0)


def _counts(tensors_K: Sequence[Tensor], base: Tensor, epsilon: float) -> Tensor:
    """How many models changed each element."""
    if not epsilon >= 0:
        raise InputError(f"epsilon must be 0 or more, got {epsilon}")
    counts = torch.zeros(base.shape, dtype=torch.int32, device=base.device)
    for delta in deltas(tensors_K, base):
        counts += delta.abs() > epsilon
    return counts
