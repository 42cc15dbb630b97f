"""Minimise a smooth convex function by Newton steps that cannot overshoot.

Shapes: P parameters.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

_DECREMENT = 1e-20  # of the square of the gradient in the metric of the Hessian
_SLOPE = 1e-4  # share of the promised descent that a step must deliver
_MAX_STEPS = 200


class Local(NamedTuple):
    """A function at one point.

    Args:
        value: The value.
        gradient_P: First derivatives.
        hessian_PP: Second derivatives, positive semi-definite.
    """

    value: float
    gradient_P: Tensor
    hessian_PP: Tensor


def minimise(function: Callable[[Tensor], Local], start_P: Tensor) -> Tensor:
    """The minimiser of a convex function, by damped Newton steps.

    A step is halved until the value falls by a fixed share of what its slope promises
    (Armijo's rule), so no step raises the value. It ends when the Newton decrement is
    at the level of rounding, or when no step gains anything.

    Args:
        function: Value, gradient and Hessian at a point, in float64.
        start_P: Where to start, float64.

    Returns:
        Shape (P,); its value is never above that of ``start_P``.

    Example:
        >>> def parabola(x_P):
        ...     return Local(float((x_P - 3).square().sum()), 2 * (x_P - 3), 2 * eye)
        >>> eye = torch.eye(2, dtype=torch.float64)
        >>> minimise(parabola, torch.zeros(2, dtype=torch.float64))
        tensor([3., 3.], dtype=torch.float64)

    Reference:
        S. Boyd, L. Vandenberghe, Convex Optimization, 2004, section 9.5.
    """
    at_P, here = start_P, function(start_P)
    for _ in range(_MAX_STEPS):
        step_P = -_solve(here.hessian_PP, here.gradient_P)
        decrement = -float(here.gradient_P @ step_P)
        if not decrement > _DECREMENT:
            break
        share = 1.0
        while True:
            there = function(at_P + share * step_P)
            if there.value <= here.value - _SLOPE * share * decrement:
                break
            share *= 0.5
            if share < 1e-10:  # rounding hides any further descent
                return at_P
        at_P, here = at_P + share * step_P, there
    return at_P


def _solve(hessian_PP: Tensor, gradient_P: Tensor) -> Tensor:
    """H^-1 g; where rounding has left H not positive, with a little added to it."""
    lift = 0.0
    size = float(hessian_PP.diagonal().mean()) or 1.0
    while True:
        lifted_PP = hessian_PP + lift * torch.eye(
            len(hessian_PP), dtype=hessian_PP.dtype, device=hessian_PP.device
        )
        factor, info = torch.linalg.cholesky_ex(lifted_PP)
        if int(info) == 0:
            return torch.cholesky_solve(gradient_P[:, None], factor)[:, 0]
        lift = max(10 * lift, 1e-14 * size)
