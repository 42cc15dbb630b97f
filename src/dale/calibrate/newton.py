"""Minimise a smooth convex function by Newton steps that cannot overshoot.

Shapes: P parameters.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

_SMALL = 1e-10  # descent that is promised where only a few more steps are taken
_POLISHING = 2
_ROUNDING = 1e-14  # of a value
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
    (Armijo's rule), so no step raises the value. Close to the minimum each step squares
    the distance: it ends two steps after the promise is below 1e-10, or when no step
    gains anything.

    Args:
        function: Value, gradient and Hessian at a point, in float64.
        start_P: Where to start, float64.

    Returns:
        Shape (P,); its value is not above that of ``start_P`` but for rounding.

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
    polishing = 0
    for _ in range(_MAX_STEPS):
        step_P = -_solve(here.hessian_PP, here.gradient_P)
        descent = -float(here.gradient_P @ step_P)
        # too little for the value to show, yet a step doubles the digits of the place
        polishing += descent <= _SMALL
        if polishing > _POLISHING:
            break
        asked = _ROUNDING * (1 + abs(here.value)) if polishing else -_SLOPE * descent
        share = 1.0
        while (there := function(at_P + share * step_P)).value > (
            here.value + share * asked
        ):
            share *= 0.5
            if polishing or share < 1e-10:
                return at_P
        at_P, here = at_P + share * step_P, there
    return at_P


def _solve(hessian_PP: Tensor, gradient_P: Tensor) -> Tensor:
    """H^-1 g; where rounding has left H not positive, with a little added to it."""
    assert bool(hessian_PP.isfinite().all()), "a Hessian must be finite"
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
