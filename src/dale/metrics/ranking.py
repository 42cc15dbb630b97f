"""The examples in order of confidence: the one sort that bins and curves share.

Shapes: N examples, C classes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dale.metrics.accuracy import correct_N
from dale.metrics.bins import rounded
from dale.metrics.check import blocks, checked_logits


@dataclass(frozen=True, eq=False)
class Ranking:
    """Confidences in ascending order, and which of the predictions were right.

    Args:
        confidence_N: Largest softmax probability, float64, ascending.
        correct_N: Whether the prediction was right, float64 of 0 and 1, in the same
            order.
        level_N: The confidences to 12 decimals: equal levels are ties.
    """

    confidence_N: Tensor
    correct_N: Tensor
    level_N: Tensor


def ranked(logits_NC: Tensor, targets_N: Tensor) -> Ranking:
    """Sort the examples by confidence, once.

    `diagram`, `selective_curve` and `ranking_auroc` each take the result, so that a
    report with all of them reads the logits and sorts a single time.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).

    Returns:
        The ranking.

    Raises:
        InputError: Wrong types, shapes, labels, or NaN.

    Example:
        >>> ranking = ranked(torch.tensor([[3.0, 0], [0, 1.0]]), torch.tensor([1, 1]))
        >>> ranking.correct_N
        tensor([1., 0.], dtype=torch.float64)
    """
    hits_N = correct_N(logits_NC, targets_N).double()
    sorted_N, order_N = confidence_N(logits_NC).sort(stable=True)
    return Ranking(sorted_N, hits_N[order_N], rounded(sorted_N))


def confidence_N(logits_NC: Tensor) -> Tensor:
    """Largest softmax probability of each example: float64 in [1/C, 1], shape (N,).

    Args:
        logits_NC: Floating, shape (N, C).

    Returns:
        Float64, shape (N,).

    Raises:
        InputError: Wrong type or shape, or NaN.

    Example:
        >>> confidence_N(torch.zeros(1, 4))
        tensor([0.2500], dtype=torch.float64)
    """
    logits_NC = checked_logits(logits_NC)
    parts = [part.softmax(dim=1).amax(dim=1) for part, _ in blocks(logits_NC)]
    return torch.cat(parts)
