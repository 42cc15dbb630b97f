"""Soft thresholding: the ℓ1 norm of the weights as part of the loss, solved exactly."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from dale.errors import InputError


@torch.no_grad()
def soft_threshold(tensors: Sequence[Tensor], threshold: float) -> None:
    """Move every number towards zero by a threshold, and stop there.

    ``w ← sign(w) max(|w| − θ, 0)`` in place: the proximal operator of ``θ ‖w‖₁``, the
    minimum over v of ``½ ‖v − w‖² + θ ‖v‖₁``.

    Args:
        tensors: Floating; changed in place.
        threshold: θ ≥ 0.

    Raises:
        InputError: The threshold is negative.

    Example:
        >>> weight = torch.tensor([3.0, -0.5, -2.0])
        >>> soft_threshold([weight], 1.0)
        >>> weight.tolist()
        [2.0, 0.0, -1.0]
    """
    if not threshold >= 0:
        raise InputError(f"threshold must be at least 0, got {threshold}")
    if not tensors or threshold == 0:
        return
    # w − clamp(w, −θ, θ) is exact: what is smaller than θ becomes a true zero
    within = torch._foreach_clamp_max(list(tensors), threshold)
    torch._foreach_clamp_min_(within, -threshold)
    torch._foreach_sub_(list(tensors), within)


def after_each_step(optimizer: Optimizer, strength: float) -> Callable[[int], None]:
    """The second half of proximal gradient descent.

    After each gradient step with rate η the weights that have two dimensions or more
    are softly thresholded by ``η λ``; biases and the scales of normalisation layers
    are left alone.

    Args:
        optimizer: Whose weights, and whose rates.
        strength: λ, the factor of ``‖w‖₁`` in the loss.

    Returns:
        What to call after each step, with the number of updates done.

    References:
        Daubechies, Defrise and De Mol 2004; Beck and Teboulle 2009 (ISTA).
    """

    def threshold(step: int) -> None:
        for group in optimizer.param_groups:
            large = [p for p in group["params"] if p.requires_grad and p.dim() > 1]
            soft_threshold(large, group["lr"] * strength)

    return threshold
