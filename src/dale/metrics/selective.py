"""Does the confidence tell right from wrong? Abstaining from what is least sure.

Shapes: N examples, C classes.

The confidence is the largest softmax probability, compared to 12 decimals. Examples of
equal confidence cannot be told apart, so every order of them is taken as equally
likely: the result is the mean over all orders and does not depend on the one given.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import Tensor

from dale.errors import InputError
from dale.metrics.ranking import Ranking, ranked


@dataclass(frozen=True)
class RiskCoverage:
    """Error among the most confident examples, against how many these are.

    Args:
        coverage: Shares of the examples that are kept, ascending to 1.
        risk: Error among those that are kept.
        aurc: Mean risk over all N coverages 1/N, 2/N, ..., 1.

    Example:
        >>> logits = torch.tensor([[3.0, 0.0], [2.0, 0.0], [1.0, 0.0], [0.5, 0.0]])
        >>> curve = risk_coverage(logits, torch.tensor([0, 0, 0, 1]))
        >>> curve.coverage, curve.risk, curve.aurc
        ((0.25, 0.5, 0.75, 1.0), (0.0, 0.0, 0.0, 0.25), 0.0625)
    """

    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    aurc: float

    def to_dict(self) -> dict[str, Any]:
        """The fields as lists and numbers: ready for JSON."""
        return {
            "coverage": list(self.coverage),
            "risk": list(self.risk),
            "aurc": self.aurc,
        }


def risk_coverage(
    logits_NC: Tensor, targets_N: Tensor, points: int = 200
) -> RiskCoverage:
    """The curve of error against coverage when the least confident are left out.

    ``risk(k/N) = (1/k) sum of the errors among the k most confident``.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        points: At most so many points of the curve, evenly spaced, are kept; the area
            is over all of them.

    Returns:
        The curve and its area.

    Raises:
        InputError: Wrong types, shapes, labels, NaN, or fewer than 1 point.

    Example:
        >>> risk_coverage(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1])).risk
        (0.25, 0.25, 0.25, 0.25)

    Reference:
        R. El-Yaniv, Y. Wiener, On the Foundations of Noise-free Selective
        Classification, 2010; Y. Geifman, R. El-Yaniv, Selective Classification for
        Deep Neural Networks, 2017, arXiv 1705.08500.
    """
    return selective_curve(ranked(logits_NC, targets_N), points)


def selective_curve(ranking: Ranking, points: int = 200) -> RiskCoverage:
    """The curve of examples that are sorted already. See `risk_coverage`.

    Args:
        ranking: What `ranked` gave.
        points: At most so many points are kept.

    Returns:
        The curve and its area.

    Raises:
        InputError: Fewer than 1 point.

    Example:
        >>> selective_curve(ranked(torch.zeros(2, 2), torch.tensor([0, 1]))).aurc
        0.5
    """
    if isinstance(points, bool) or not isinstance(points, int) or points < 1:
        raise InputError(f"points: expected an integer >= 1, got {points!r}")
    risk_N = _risks(ranking)
    count = len(risk_N)
    kept = min(points, count)
    ranks = [-(-count * (point + 1) // kept) for point in range(kept)]
    return RiskCoverage(
        coverage=tuple(rank / count for rank in ranks),
        risk=tuple(risk_N[torch.tensor(ranks) - 1].tolist()),
        aurc=float(risk_N.mean()),
    )


def aurc(logits_NC: Tensor, targets_N: Tensor) -> float:
    """Area under the risk-coverage curve: mean error over all coverages.

    ``aurc = (1/N) sum_k risk(k/N)``. Random confidences give the error itself; the
    better they rank right above wrong, the lower it is.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).

    Returns:
        A float in [0, 1].

    Raises:
        InputError: Wrong types, shapes, labels, or NaN.

    Example:
        >>> aurc(torch.tensor([[3.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))
        0.25

    Reference:
        Y. Geifman, G. Uziel, R. El-Yaniv, Bias-Reduced Uncertainty Estimation for Deep
        Neural Classifiers, 2019, arXiv 1805.08206.
    """
    return float(_risks(ranked(logits_NC, targets_N)).mean())


def selective_risk(
    logits_NC: Tensor, targets_N: Tensor, coverage: float = 0.8
) -> float:
    """Error among the most confident share of the examples.

    The ``ceil(coverage N)`` most confident are kept.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        coverage: Share that is kept, in (0, 1].

    Returns:
        A float in [0, 1].

    Raises:
        InputError: Wrong types, shapes, labels, NaN, or an impossible coverage.

    Example:
        >>> logits = torch.tensor([[3.0, 0.0], [1.0, 0.0]])
        >>> selective_risk(logits, torch.tensor([0, 1]), coverage=0.5)
        0.0

    Reference:
        Y. Geifman, R. El-Yaniv, 2017, as for `risk_coverage`.
    """
    if not 0 < coverage <= 1:
        raise InputError(f"coverage: expected a number in (0, 1], got {coverage!r}")
    risk_N = _risks(ranked(logits_NC, targets_N))
    # 0.07 * 100 is 7.000000000000001, which is 7 examples and not 8
    kept = max(1, ceil(round(coverage * len(risk_N), 9)))
    return float(risk_N[kept - 1])


def misclassification_auroc(logits_NC: Tensor, targets_N: Tensor) -> float:
    """Area under the ROC curve of the confidence as a detector of right predictions.

    The probability that a right prediction is more confident than a wrong one, ties
    counting one half. It is NaN when all predictions are right or all are wrong:
    there is nothing to tell apart. Two models with different errors are asked
    different questions; compare them by `aurc`.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).

    Returns:
        A float in [0, 1], or NaN.

    Raises:
        InputError: Wrong types, shapes, labels, or NaN.

    Example:
        >>> logits = torch.tensor([[3.0, 0.0], [1.0, 0.0]])
        >>> misclassification_auroc(logits, torch.tensor([0, 1]))
        1.0

    Reference:
        D. Hendrycks, K. Gimpel, A Baseline for Detecting Misclassified and
        Out-of-Distribution Examples in Neural Networks, 2017, arXiv 1610.02136. The
        area is computed by scikit-learn.
    """
    return ranking_auroc(ranked(logits_NC, targets_N))


def ranking_auroc(ranking: Ranking) -> float:
    """`misclassification_auroc` of examples that are sorted already.

    Args:
        ranking: What `ranked` gave.

    Returns:
        A float in [0, 1], or NaN.

    Example:
        >>> ranking_auroc(ranked(torch.zeros(2, 2), torch.tensor([0, 1])))
        0.5
    """
    # scikit-learn takes a second to import, and only this function needs it
    from sklearn.metrics import roc_auc_score

    right: Any = ranking.correct_N.cpu().numpy()
    level: Any = ranking.level_N.cpu().numpy()
    if right.all() or not right.any():
        return float("nan")
    return float(roc_auc_score(right, level))


def _risks(ranking: Ranking) -> Tensor:
    """Expected error among the k most confident, k = 1, ..., N."""
    levels_N, wrong_N = ranking.level_N.flip(0), 1 - ranking.correct_N.flip(0)
    _, group_N, sizes = levels_N.unique_consecutive(
        return_inverse=True, return_counts=True
    )
    shares = torch.bincount(group_N, weights=wrong_N) / sizes
    ranks_N = torch.arange(1, len(wrong_N) + 1, device=wrong_N.device)
    # a sum of 1/3 three times may exceed 1 in the last bit
    return (shares[group_N].cumsum(dim=0) / ranks_N).clamp(max=1.0)
