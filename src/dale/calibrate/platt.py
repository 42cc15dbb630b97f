"""Platt scaling: a sigmoid for each class against the others.

Shapes: N examples, C classes, F = 2 features, P = 2 parameters.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from dale.calibrate.calibrator import checked_to_fit
from dale.calibrate.fitted import Facts, Fitted, log_odds, ruled_out, settled
from dale.calibrate.logistic import logistic
from dale.calibrate.scaling import fit_temperature
from dale.metrics import blocks


@dataclass(frozen=True, eq=False)
class Platt(Fitted):
    """A sigmoid for each class against the others: sigmoid(a s + c), renormalised.

    Args:
        facts: How the fit went, with T.
        weight: a, float64, shape (C,).
        bias: c, float64, shape (C,).
    """

    name: ClassVar[str] = "platt"
    weight: Tensor
    bias: Tensor

    def _map(self, logits_NC: Tensor) -> Tensor:
        self._check_classes(logits_NC, len(self.bias))
        weight_C, bias_C = (x.to(logits_NC.device) for x in (self.weight, self.bias))
        odds_NC = log_odds(logits_NC, self.facts.temperature)
        log_q_NC = logsigmoid(weight_C * odds_NC + bias_C)
        return ruled_out(logits_NC, log_q_NC).log_softmax(dim=1)


def fit_platt(logits_NC: Tensor, targets_N: Tensor) -> Platt:
    """A sigmoid of the log-odds of each class against the others.

    For class k with ``s = log p_k - log(1 - p_k)``, ``p = softmax(z / T)`` and T fitted
    first, ``q_k = sigmoid(a_k s + c_k)`` minimises the cross-entropy to Platt's
    targets, ``(n + 1) / (n + 2)`` for the n examples of the class and
    ``1 / (N - n + 2)`` for the others: finite without any penalty, whatever the data.
    The problem is convex and is solved by Newton steps. The q are then divided by
    their sum. With two classes this is Platt's method itself: the two sigmoids are
    each other's complement.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).

    Returns:
        The fitted calibrator.

    Raises:
        InputError: Wrong types, shapes, labels, NaN; probabilities instead of logits;
            or a target with a logit of -inf.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]]).repeat(50, 1)
        >>> fitted = fit_platt(logits, (torch.arange(100) % 10 > 7).long())
        >>> fitted.facts.nll_after < fitted.facts.nll_before
        True

    Reference:
        J. C. Platt, Probabilistic Outputs for Support Vector Machines, 1999; one
        against all and renormalised: B. Zadrozny, C. Elkan, Transforming Classifier
        Scores into Accurate Multiclass Probability Estimates, 2002.
    """
    logits_NC, targets_N = checked_to_fit(logits_NC, targets_N)
    base = fit_temperature(logits_NC, targets_N)
    odds_NC = torch.cat([log_odds(part, base.value) for part, _ in blocks(logits_NC)])
    found = []
    for k, odds_N in enumerate(odds_NC.unbind(dim=1)):
        features_NF = torch.stack([odds_N, torch.ones_like(odds_N)], dim=1)
        soft_N = _targets(targets_N == k)
        start_P = torch.tensor([1.0, 0.0], dtype=torch.float64)
        found.append(logistic(features_NF, soft_N, start_P.to(odds_N.device), 0.0))
    weight_C, bias_C = torch.stack(found, dim=1).cpu()

    def make(facts: Facts) -> Platt:
        return Platt(facts, weight_C.clone(), bias_C.clone())

    return settled(make, base, logits_NC, targets_N)


def _targets(is_N: Tensor) -> Tensor:
    positive = int(is_N.sum())
    high, low = (positive + 1) / (positive + 2), 1 / (len(is_N) - positive + 2)
    return low + (high - low) * is_N.double()
