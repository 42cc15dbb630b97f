"""Temperatures and weights of an ensemble's members, fitted together.

Shapes: M members, N examples, C classes.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from dale.calibrate.calibrator import Identity
from dale.calibrate.members import CalibratedEnsemble, Combine
from dale.calibrate.scaling import Temperature, fit_temperature
from dale.errors import InputError
from dale.metrics import checked_members, checked_targets, nll


def fit_joint(
    logits_MNC: Tensor,
    targets_N: Tensor,
    combine: Combine,
    shared: bool = False,
    max_steps: int = 200,
) -> CalibratedEnsemble:
    """Temperatures and weights of the members, fitted together to the ensemble's NLL.

    ``min over T_m > 0, w on the simplex of the NLL of combine(z_1/T_1, ..., w)``, by
    L-BFGS-B of SciPy in ``log T_m`` and the logits of w, within a factor of 10^4 of
    the start. It starts from the members' own temperatures or from one for all,
    whichever does better with equal weights; the problem is not convex, and the
    result is the better of where it ends and where it starts. Weights that are fitted
    to few examples fit noise: score by cross-fitting.

    Args:
        logits_MNC: Floating, shape (M, N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        combine: The combiner; differentiable.
        shared: One temperature for all members.
        max_steps: Most steps of the minimiser, >= 1.

    Returns:
        The calibrated ensemble; nothing is left for its pool to do.

    Raises:
        InputError: Wrong types, shapes, labels, NaN; or as ``combine``.

    Example:
        >>> good = torch.eye(2).repeat(20, 1) - 0.5
        >>> bad, targets = good.flip(0), torch.arange(2).repeat(20)
        >>> targets[:4] = 0
        >>> def mean(z, weights):
        ...     return (z.log_softmax(2) + weights.log()[:, None, None]).logsumexp(0)
        >>> fit_joint(torch.stack([3 * good, bad]), targets, mean).weights_M[0] > 0.9
        tensor(True)

    Reference:
        X. Wu, M. Gales, 2021, as for `pool_then_calibrate`, weigh and calibrate the
        members; that both are fitted at once by one loss is ours.
    """
    # SciPy's minimisers take a while to import, and few fits need them
    from scipy.optimize import minimize

    if isinstance(max_steps, bool) or not isinstance(max_steps, int) or max_steps < 1:
        raise InputError(f"max_steps: expected an integer >= 1, got {max_steps!r}")
    # -inf times a derivative of 0 is NaN; a probability of e^-1e30 is as good as 0
    logits_MNC = checked_members(logits_MNC, targets_N).double().clamp(min=-1e30)
    targets_N = checked_targets(targets_N, logits_MNC[0])
    start = _start(logits_MNC, targets_N, combine, shared)
    score = partial(_joint_loss, logits_MNC, targets_N, combine, shared)
    slack = np.log(1e4)
    bounds = [(value - slack, value + slack) for value in start]
    found = minimize(
        score,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": max_steps, "ftol": 1e-13, "gtol": 1e-8},
    )
    best = found.x if found.fun <= score(start)[0] else start
    log_t_M, weights_M = _unpacked(torch.from_numpy(best), len(logits_MNC), shared)
    members = tuple(
        _as_temperature(value, z_NC, targets_N)
        for value, z_NC in zip(log_t_M.exp().tolist(), logits_MNC, strict=True)
    )
    return CalibratedEnsemble(combine, members, Identity(), weights_M)


def _start(
    logits_MNC: Tensor, targets_N: Tensor, combine: Combine, shared: bool
) -> Any:
    """The better of the members' own temperatures and one for all; equal weights."""
    members = len(logits_MNC)
    own = [fit_temperature(z_NC, targets_N).value for z_NC in logits_MNC]
    equal_M = torch.full((members,), 1 / members, dtype=torch.float64)
    pooled_NC = combine(logits_MNC, equal_M.to(logits_MNC.device))
    together = fit_temperature(pooled_NC, targets_N).value
    log_own, zeros = np.log(own), np.zeros(members)
    tried = [
        np.full(members, np.log(together)),
        np.full(members, log_own.mean()),
        zeros,
        *([] if shared else [log_own]),
    ]
    starts = [np.concatenate([x[:1] if shared else x, zeros]) for x in tried]
    return min(
        starts,
        key=lambda x: _joint_loss(logits_MNC, targets_N, combine, shared, x)[0],
    )


def _joint_loss(
    logits_MNC: Tensor, targets_N: Tensor, combine: Combine, shared: bool, at: Any
) -> tuple[float, Any]:
    packed = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    log_t_M, weights_M = _unpacked(packed, len(logits_MNC), shared)
    device = logits_MNC.device
    scaled_MNC = logits_MNC * (-log_t_M).exp().to(device)[:, None, None]
    loss = cross_entropy(combine(scaled_MNC, weights_M.to(device)), targets_N)
    (gradient,) = torch.autograd.grad(loss, packed)
    return float(loss.detach()), gradient.numpy()


def _unpacked(packed: Tensor, members: int, shared: bool) -> tuple[Tensor, Tensor]:
    """Logarithms of the temperatures, and the weights."""
    log_t = packed[:-members]
    return log_t.expand(members) if shared else log_t, packed[-members:].softmax(dim=0)


def _as_temperature(value: float, logits_NC: Tensor, targets_N: Tensor) -> Temperature:
    before = nll(logits_NC, targets_N)
    after = nll(logits_NC / value, targets_N)
    return Temperature(value, before, after, None, len(targets_N))
