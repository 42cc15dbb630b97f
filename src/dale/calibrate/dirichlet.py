"""Dirichlet calibration: a regularised matrix on the log-probabilities.

Shapes: N examples, C classes, P = C^2 + C parameters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from dale.calibrate.calibrator import Calibrator, check_number
from dale.calibrate.fitted import Facts, Fitted, log_probs, ruled_out, settled
from dale.calibrate.guard import cross_fitted_score
from dale.calibrate.scaling import fit_temperature
from dale.errors import InputError
from dale.metrics import blocks, checked, nll


@dataclass(frozen=True, eq=False)
class Dirichlet(Fitted):
    """A matrix and biases: softmax(W log p + b) with p = softmax(z / T).

    Args:
        facts: How the fit went, with T.
        weight: W, float64, shape (C, C): row k makes the new logit of class k.
        bias: b, float64, shape (C,).
    """

    name: ClassVar[str] = "dirichlet"
    weight: Tensor
    bias: Tensor

    def _map(self, logits_NC: Tensor) -> Tensor:
        self._check_classes(logits_NC, len(self.bias))
        weight_CC, bias_C = (x.to(logits_NC.device) for x in (self.weight, self.bias))
        x_NC = log_probs(logits_NC, self.facts.temperature)
        return ruled_out(logits_NC, x_NC @ weight_CC.T + bias_C)


def fit_dirichlet(
    logits_NC: Tensor,
    targets_N: Tensor,
    off_diagonal: float = 100.0,
    ridge: float = 0.1,
) -> Dirichlet:
    """The matrix and biases that minimise the NLL plus a penalty on the off-diagonal.

    The mean NLL of ``softmax(W log p + b)``, ``p = softmax(z / T)`` with T fitted
    first, plus ``off_diagonal C / (2 N) sum_(j != k) W_jk^2`` plus ``ridge / (2 N)
    (sum_k (W_kk - 1)^2 + sum_k s_k^2)`` with the shift ``s = b + (W - 1) m`` at the
    mean m of the log p: a Gaussian prior around temperature scaling that fades as N
    grows. The factor C lets the C terms of a row add up to the same whatever C. The
    whole is strictly convex and is minimised by L-BFGS-B of SciPy with the exact
    gradient. Without a penalty this is matrix scaling, which with many classes fits
    noise; to choose its strength from data, see `choose_strength`.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        off_diagonal: Strength of the penalty off the diagonal, > 0.
        ridge: Strength of the penalty on the diagonal's distance from 1 and on the
            shifts, > 0.

    Returns:
        The fitted calibrator.

    Raises:
        InputError: Wrong types, shapes, labels, NaN; probabilities instead of logits;
            a target with a logit of -inf; or an impossible strength.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]]).repeat(50, 1)
        >>> fitted = fit_dirichlet(logits, (torch.arange(100) % 10 > 7).long())
        >>> fitted.facts.nll_after < fitted.facts.nll_before
        True

    Reference:
        M. Kull, M. Perello-Nieto, M. Kängsepp, T. Silva Filho, H. Song, P. Flach,
        Beyond Temperature Scaling, 2019, arXiv 1910.12656 (ODIR: off-diagonal and
        intercept regularisation). Theirs leaves the diagonal free, penalises b
        itself, and its penalty does not fade with N.
    """
    # SciPy's minimisers take a while to import, and few fits need them
    from scipy.optimize import minimize

    check_number("off_diagonal", off_diagonal)
    check_number("ridge", ridge)
    logits_NC, targets_N = checked(logits_NC, targets_N)
    base = fit_temperature(logits_NC, targets_N)
    classes = logits_NC.shape[1]
    mean_C = _mean(logits_NC, base.value)
    strength_CP = torch.full((classes, classes + 1), off_diagonal * classes).double()
    strength_CP.fill_diagonal_(ridge)
    strength_CP[:, -1] = ridge

    # in units of the roots of the curvatures, the problem is nearly round
    unit_CP = _curvature(logits_NC, base.value, mean_C, strength_CP).rsqrt()

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        at_CP = torch.from_numpy(at).view_as(unit_CP) * unit_CP
        value, gradient_CP = _loss(
            logits_NC, targets_N, base.value, mean_C, strength_CP, at_CP
        )
        return value, (gradient_CP * unit_CP).flatten().numpy()

    options = {"maxiter": 1000, "maxfun": 2000, "ftol": 1e-14, "gtol": 1e-8}
    start = np.zeros(classes * (classes + 1))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    at_CP = torch.from_numpy(found.x).view_as(unit_CP) * unit_CP
    change_CC, shift_C = at_CP[:, :-1], at_CP[:, -1]
    weight_CC = change_CC + torch.eye(classes, dtype=torch.float64)
    bias_C = shift_C - change_CC @ mean_C

    def make(facts: Facts) -> Dirichlet:
        return Dirichlet(facts, weight_CC, bias_C)

    return settled(make, base, logits_NC, targets_N)


def choose_strength(
    logits_NC: Tensor,
    targets_N: Tensor,
    fit: Callable[..., Calibrator] = fit_dirichlet,
    setting: str = "off_diagonal",
    strengths: Sequence[float] = (1.0, 10.0, 100.0, 1000.0, 10000.0),
    folds: int = 3,
    repeats: int = 1,
    seed: int = 0,
) -> float:
    """The strength of a penalty with the lowest cross-fitted NLL.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        fit: A fitting function with that setting.
        setting: Name of the setting.
        strengths: What to try; of equals the first is taken.
        folds: Number of folds.
        repeats: Number of random divisions into folds.
        seed: Seed of the divisions.

    Returns:
        One of ``strengths``.

    Raises:
        InputError: No strength is given; or as `cross_fitted_score`.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]]).repeat(50, 1)
        >>> targets = (torch.arange(100) % 10 > 7).long()
        >>> choose_strength(logits, targets, strengths=(1.0, 1e6))
        1000000.0
    """
    if not strengths:
        raise InputError("strengths: expected at least one, got none")
    scores = {
        strength: cross_fitted_score(
            nll,
            logits_NC,
            targets_N,
            partial(fit, **{setting: strength}),
            folds,
            repeats,
            seed,
        )
        for strength in strengths
    }
    return min(scores, key=scores.__getitem__)


def _mean(logits_NC: Tensor, temperature: float) -> Tensor:
    """Mean log-probability of each class."""
    parts = [log_probs(part, temperature).sum(dim=0) for part, _ in blocks(logits_NC)]
    return torch.stack(parts).sum(dim=0).cpu() / len(logits_NC)


def _curvature(
    logits_NC: Tensor, temperature: float, mean_C: Tensor, strength_CP: Tensor
) -> Tensor:
    """Second derivatives of the loss by each parameter at (0 | 0)."""
    found_CP = strength_CP.clone()
    for part, _ in blocks(logits_NC):
        x_NC = log_probs(part, temperature).cpu()
        p_NC = x_NC.exp()
        spread_NC = p_NC * (1 - p_NC)
        found_CP[:, :-1] += spread_NC.T @ (x_NC - mean_C).square()
        found_CP[:, -1] += spread_NC.sum(dim=0)
    return found_CP / len(logits_NC)


def _loss(
    logits_NC: Tensor,
    targets_N: Tensor,
    temperature: float,
    mean_C: Tensor,
    strength_CP: Tensor,
    at_CP: Tensor,
) -> tuple[float, Tensor]:
    """Penalised mean NLL of softmax(x + D (x - m) + s) and its gradient at (D | s)."""
    penalty_CP = strength_CP * at_CP
    value = 0.5 * float((penalty_CP * at_CP).sum())
    gradient_CP = penalty_CP.clone()
    for part, labels in blocks(logits_NC, targets_N):
        x_NC, own_N1 = log_probs(part, temperature).cpu(), labels[:, None].cpu()
        off_NC = x_NC - mean_C
        log_p_NC = (x_NC + off_NC @ at_CP[:, :-1].T + at_CP[:, -1]).log_softmax(dim=1)
        value -= float(log_p_NC.gather(1, own_N1).sum())
        residual_NC = log_p_NC.exp()
        residual_NC.scatter_add_(1, own_N1, -torch.ones_like(residual_NC[:, :1]))
        gradient_CP[:, :-1] += residual_NC.T @ off_NC
        gradient_CP[:, -1] += residual_NC.sum(dim=0)
    return value / len(targets_N), gradient_CP / len(targets_N)
