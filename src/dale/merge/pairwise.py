"""A base moved towards one other model, where that seems safe or worthwhile.

Kernels see one tensor of the model and of the base. Shape suffix: K, models, one here.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dale.errors import InputError
from dale.merge.blocks import elementwise
from dale.merge.select import kth_largest
from dale.merge.steps import deltas, precise, shifted
from dale.weights import wide

_FLOOR = 1e-8


@elementwise
def nearswap(tensors_K: Sequence[Tensor], base: Tensor, *, t: float) -> Tensor:
    """Take over what is near, and go at most `t` towards the rest.

    ::

        w = min(1, t / |x − base|)        (1 − w) base + w x = base + clip(x − base, ±t)

    Args:
        tensors_K: One tensor, of the other model.
        base: That of the model that is moved.
        t: How far an element may move, at least 0.

    Returns:
        The result, in float32 or wider.

    Raises:
        InputError: `t` is negative.

    Example:
        >>> import torch
        >>> nearswap([torch.tensor([0.25, -9.0])], torch.zeros(2), t=0.5)
        tensor([ 0.2500, -0.5000])

    References:
        alchemonaut (2024), model card of QuartetAnemoi-70B-t0.0001, where t = 0.0001.
    """
    if not t >= 0:
        raise InputError(f"t must be 0 or more, got {t}")
    (delta,) = deltas(tensors_K, base)
    return shifted(base, delta.clamp_(-t, t), 1.0)


def arcee_fusion(tensors_K: Sequence[Tensor], base: Tensor) -> Tensor:
    """Take over what matters: elements whose importance stands out.

    ::

        importance = |x − base| · KL(softmax(x) ‖ softmax(base)), softmax over rows
        taken over where  importance ≥ median + 1.5 (Q3 − Q1)

    Quartile q of n sorted values is the one at ``⌊q (n − 1)⌋``.

    Args:
        tensors_K: One tensor, of the other model. A row is the last axis.
        base: That of the model that is moved.

    Returns:
        The result, in float32 or wider.

    Example:
        >>> import torch
        >>> base = torch.zeros(1, 8)
        >>> x = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 5.0]])
        >>> arcee_fusion([x], base)
        tensor([[0., 0., 0., 0., 0., 0., 0., 5.]])

    References:
        Arcee AI (2024), Arcee Fusion, a method of mergekit.
    """
    (delta,) = deltas(tensors_K, base)
    if not delta.numel():
        return wide(base)
    importance = (delta * _divergence(tensors_K[0], base).to(delta)).abs_()
    size = delta.numel()

    def quartile(q: float) -> float:
        rank = size - int(q * (size - 1))
        return kth_largest(lambda: [importance], rank, importance.dtype)

    threshold = quartile(0.5) + 1.5 * (quartile(0.75) - quartile(0.25))
    return shifted(base, torch.where(importance >= threshold, delta, 0), 1.0)


def _divergence(tensor: Tensor, base: Tensor) -> Tensor:
    """KL of the softmaxes of each row: in float64, as it is a difference of squares."""
    rows = []
    pairs = [x.reshape(-1, x.shape[-1] if x.ndim else 1) for x in (tensor, base)]
    for chunk in zip(*(rows.split(256) for rows in pairs), strict=True):
        p, q = (torch.softmax(precise(x), dim=-1) + _FLOOR for x in chunk)
        rows.append((p * (p / q).log()).sum(-1))
    # two sums to 1 have no negative divergence; rounding may
    found = torch.cat(rows).clamp_(min=0)
    return found.reshape(*tensor.shape[:-1], 1) if tensor.ndim else found.reshape(())
