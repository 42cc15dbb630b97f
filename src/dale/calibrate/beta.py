"""Beta calibration of two classes.

Shapes: N examples, F = 3 features, P = 3 parameters.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from dale.calibrate.calibrator import check_number, checked_to_fit
from dale.calibrate.fitted import Facts, Fitted, log_probs, ruled_out, settled
from dale.calibrate.logistic import cross_entropy, logistic
from dale.calibrate.scaling import fit_temperature
from dale.errors import InputError


@dataclass(frozen=True, eq=False)
class Beta(Fitted):
    """The beta map of two classes: log-odds a log p_1 - b log p_0 + c.

    Args:
        facts: How the fit went, with T.
        weights: (a, b, c) with a, b >= 0, float64, shape (3,).
    """

    name: ClassVar[str] = "beta"
    weights: Tensor

    def _map(self, logits_NC: Tensor) -> Tensor:
        self._check_classes(logits_NC, 2)
        features_NF = _features(logits_NC, self.facts.temperature)
        odds_N1 = (features_NF @ self.weights.to(logits_NC.device))[:, None]
        log_q_NC = logsigmoid(torch.cat([-odds_N1, odds_N1], dim=1))
        return ruled_out(logits_NC, log_q_NC).log_softmax(dim=1)


def fit_beta(logits_NC: Tensor, targets_N: Tensor, ridge: float = 0.1) -> Beta:
    """The beta map of two classes: a sigmoid that may bend differently at its ends.

    ``log q/(1-q) = a log p - b log(1 - p) + c`` with p the probability of class 1 under
    softmax(z / T), T fitted first, and ``a, b >= 0``, so that the map never falls. With
    ``a = b`` it is a sigmoid of the log-odds, with ``a = b = 1, c = 0`` temperature
    scaling. The mean NLL plus ``ridge / (2 N) ((a-1)^2 + (b-1)^2 + c^2)`` is convex; it
    is minimised by Newton steps for each choice of which of a and b are 0, and the
    best of the solutions that are allowed is the optimum.

    Args:
        logits_NC: Floating, shape (N, 2).
        targets_N: Integer classes, 0 or 1, shape (N,).
        ridge: Strength of the prior around temperature scaling, > 0.

    Returns:
        The fitted calibrator.

    Raises:
        InputError: More than two classes; or as `fit_platt`.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]]).repeat(50, 1)
        >>> fitted = fit_beta(logits, (torch.arange(100) % 10 > 7).long())
        >>> bool((fitted.weights[:2] >= 0).all())
        True

    Reference:
        M. Kull, T. Silva Filho, P. Flach, Beta Calibration, 2017. Theirs sets one
        negative parameter to 0 and fits again, without a ridge.
    """
    check_number("ridge", ridge)
    logits_NC, targets_N = checked_to_fit(logits_NC, targets_N)
    if logits_NC.shape[1] != 2:
        raise InputError(
            f"beta calibration is for 2 classes, got logits of {logits_NC.shape[1]}; "
            "use platt or dirichlet"
        )
    base = fit_temperature(logits_NC, targets_N)
    features_NF = _features(logits_NC, base.value)
    truth_N = targets_N.double()
    start_P = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64).to(features_NF.device)
    best_P, lowest = start_P, float("inf")
    for free in ([0, 1, 2], [0, 2], [1, 2], [2]):
        at_P = logistic(features_NF, truth_N, start_P, ridge, free)
        value = cross_entropy(features_NF, truth_N, start_P, ridge, at_P).value
        if bool((at_P[:2] >= 0).all()) and value < lowest:
            best_P, lowest = at_P, value
    weights = best_P.cpu()

    def make(facts: Facts) -> Beta:
        return Beta(facts, weights)

    return settled(make, base, logits_NC, targets_N)


def _features(logits_NC: Tensor, temperature: float) -> Tensor:
    """log p_1, -log p_0 and 1."""
    x_NC = log_probs(logits_NC, temperature)
    return torch.stack([x_NC[:, 1], -x_NC[:, 0], torch.ones_like(x_NC[:, 0])], dim=1)
