"""Intervals for any metric by resampling the examples.

Shapes: N examples, C classes, R resamples.
"""

from collections.abc import Callable
from math import ceil, floor, isnan, nan

import torch
from torch import Tensor

from dale.errors import InputError
from dale.keys import key
from dale.metrics.accuracy import accuracy, correct_N, error
from dale.metrics.bins import edges_of, index_of, rounded
from dale.metrics.calibration import ece
from dale.metrics.check import checked
from dale.metrics.proper import brier, brier_N, nll, nll_N
from dale.metrics.ranking import confidence_N

# a mean over examples is resampled from one number per example instead of C
_PER_EXAMPLE: dict[object, Callable[[Tensor, Tensor], Tensor]] = {
    accuracy: correct_N,
    error: lambda logits_NC, targets_N: ~correct_N(logits_NC, targets_N),
    nll: nll_N,
    brier: brier_N,
}


def bootstrap(
    metric: Callable[[Tensor, Tensor], float],
    logits_NC: Tensor,
    targets_N: Tensor,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of a metric over resampled test sets.

    N examples are drawn with replacement ``n`` times and the metric computed on each
    draw; the ends are order statistics of these values, at ranks
    ``floor(a (n - 1))`` and ``ceil((1 - a) (n - 1))`` with ``a = (1 - level) / 2``,
    so that no value is interpolated. Draws on which the metric is NaN, undefined, are
    left out of ``n``; if it is so on all, the ends are NaN. It tells how much the
    score would move with another test set of this size; not with another training run.

    The same seed draws the same examples for every metric and every model of equal
    N, so differences between models can be resampled in pairs.

    Args:
        metric: Any function of (logits_NC, targets_N) that returns a float; to set
            its other parameters, wrap it (``functools.partial(ece, bins=10)``).
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        n: Number of resamples, >= 1.
        seed: Seed of the draws.
        level: Coverage, in (0, 1).

    Returns:
        The lower and the upper end.

    Raises:
        InputError: Wrong types, shapes, labels, NaN, or an impossible setting.

    Example:
        >>> logits = torch.tensor([[1.0, 0.0]]).repeat(100, 1)
        >>> targets = (torch.arange(100) >= 80).long()
        >>> bootstrap(accuracy, logits, targets)
        (0.72, 0.87)

    Reference:
        B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(f"n: expected an integer >= 1, got {n!r}")
    if not 0 < level < 1:
        raise InputError(f"level: expected a number in (0, 1), got {level!r}")
    logits_NC, targets_N = checked(logits_NC, targets_N)
    quick = _quick(metric, logits_NC, targets_N)
    values = []
    generator = torch.Generator().manual_seed(key(seed, "bootstrap"))
    count = len(targets_N)
    for _ in range(n):
        drawn_N = torch.randint(count, (count,), generator=generator)
        drawn_N = drawn_N.to(logits_NC.device)
        if quick is None:
            values.append(metric(logits_NC[drawn_N], targets_N[drawn_N]))
        else:
            values.append(quick(drawn_N))
    values = sorted(value for value in values if not isnan(value))
    if not values:
        return nan, nan
    tail, last = (1 - level) / 2, len(values) - 1
    return values[floor(tail * last)], values[ceil((1 - tail) * last)]


def _quick(
    metric: object, logits_NC: Tensor, targets_N: Tensor
) -> Callable[[Tensor], float] | None:
    """The metric of drawn examples, from a number or two for each; None if unknown."""
    if metric in _PER_EXAMPLE:
        scores_N = _PER_EXAMPLE[metric](logits_NC, targets_N).double()
        return lambda drawn_N: float(scores_N[drawn_N].mean())
    if metric is not ece:
        return None
    # edges of equal width stay where they are, so that an example keeps its bin
    sure_N, bins = confidence_N(logits_NC), 15
    gap_N = correct_N(logits_NC, targets_N).double() - sure_N
    level_N = rounded(sure_N)
    index_N = index_of(level_N, edges_of(level_N, bins, "width"))

    def binned(drawn_N: Tensor) -> float:
        gaps = torch.bincount(index_N[drawn_N], gap_N[drawn_N], minlength=bins)
        return float(gaps.abs().sum()) / len(drawn_N)

    return binned
