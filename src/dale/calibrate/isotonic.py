"""Isotonic calibration: a rising curve for each class against the others.

Shapes: N examples, C classes, K knots of all classes together.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from dale.calibrate.calibrator import checked_to_fit
from dale.calibrate.fitted import (
    Facts,
    Fitted,
    log_odds,
    ruled_out,
    settled,
    unchanged,
)
from dale.metrics import blocks


@dataclass(frozen=True, eq=False)
class Isotonic(Fitted):
    """A rising curve for each class, over the log-odds of its probability.

    Args:
        facts: How the fit went.
        odds: Log-odds of the knots, float64, shape (K,), class after class, each
            ascending.
        value: Probability at each knot, float64, shape (K,).
        knots: How many knots each class has, float64, shape (C,).
    """

    name: ClassVar[str] = "isotonic"
    odds: Tensor
    value: Tensor
    knots: Tensor

    def _map(self, logits_NC: Tensor) -> Tensor:
        self._check_classes(logits_NC, len(self.knots))
        odds_NC = log_odds(logits_NC, 1.0)
        sizes = self.knots.long().tolist()
        curves = zip(self.odds.split(sizes), self.value.split(sizes), strict=True)
        columns = [
            _interpolated(odds_NC[:, k], *(x.to(logits_NC.device) for x in curve))
            for k, curve in enumerate(curves)
        ]
        log_q_NC = torch.stack(columns, dim=1).log()
        return ruled_out(logits_NC, log_q_NC).log_softmax(dim=1)


def fit_isotonic(logits_NC: Tensor, targets_N: Tensor) -> Isotonic:
    """For each class the rising function of its probability that fits best.

    Class by class, pool-adjacent-violators finds the rising ``q_k`` with the least
    squared distance to ``[y = k]``; between knots it is linear in the log-odds of p_k,
    beyond them constant. One example that is spread over the classes as the targets
    are joins the N: ``(N q_k + (N_k + 1) / (N + C)) / (N + 1)``, so that no class gets
    probability 0 and the NLL of new data stays finite. The q are then divided by
    their sum, which can change the arg-max.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).

    Returns:
        The fitted calibrator; what it holds grows with N.

    Raises:
        InputError: Wrong types, shapes, labels, NaN; probabilities instead of logits;
            or a target with a logit of -inf.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]]).repeat(50, 1)
        >>> fitted = fit_isotonic(logits, (torch.arange(100) % 10 > 7).long())
        >>> fitted.facts.nll_after < fitted.facts.nll_before
        True

    Reference:
        B. Zadrozny, C. Elkan, Transforming Classifier Scores into Accurate Multiclass
        Probability Estimates, 2002. The curve is fitted by scikit-learn; the added
        example is ours.
    """
    logits_NC, targets_N = checked_to_fit(logits_NC, targets_N)
    odds_NC = torch.cat([log_odds(part, 1.0) for part, _ in blocks(logits_NC)])
    count, classes = logits_NC.shape
    places, values = [], []
    for k in range(classes):
        is_N = (targets_N == k).double()
        odds, value = _pooled(odds_NC[:, k], is_N)
        prior = (float(is_N.sum()) + 1) / (count + classes)
        places.append(odds)
        values.append((count * value + prior) / (count + 1))
    knots = torch.tensor([len(odds) for odds in places], dtype=torch.float64)

    def make(facts: Facts) -> Isotonic:
        return Isotonic(facts, torch.cat(places), torch.cat(values), knots)

    return settled(make, unchanged(logits_NC, targets_N), logits_NC, targets_N)


def _pooled(odds_N: Tensor, is_N: Tensor) -> tuple[Tensor, Tensor]:
    """Knots of the rising function of least squared distance."""
    # scikit-learn takes a second to import, and only this function needs it
    from sklearn.isotonic import IsotonicRegression

    odds: Any = odds_N.cpu().numpy()
    truth: Any = is_N.cpu().numpy()
    curve = IsotonicRegression(y_min=0.0, y_max=1.0).fit(odds, truth)
    return (
        torch.as_tensor(curve.X_thresholds_, dtype=torch.float64),
        torch.as_tensor(curve.y_thresholds_, dtype=torch.float64),
    )


def _interpolated(x_N: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """Linear between knots, constant beyond the first and the last."""
    if len(knots) == 1:
        return values.expand(len(x_N))
    right_N = torch.searchsorted(knots, x_N.contiguous()).clamp(1, len(knots) - 1)
    low_N, high_N = knots[right_N - 1], knots[right_N]
    share_N = ((x_N - low_N) / (high_N - low_N)).clamp(0.0, 1.0)
    return values[right_N - 1].lerp(values[right_N], share_N)
