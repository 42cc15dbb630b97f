"""Proper scoring rules: lowest in expectation at the true probabilities.

Shapes: N examples, C classes.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from dale.metrics.check import blocks, checked


def nll_N(logits_NC: Tensor, targets_N: Tensor) -> Tensor:
    """Negative log-likelihood of each example's target, in nats.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).

    Returns:
        Float64, shape (N,), each >= 0; +inf where the target's logit is -inf.

    Raises:
        InputError: Wrong types, shapes, labels, or NaN.

    Example:
        >>> nll_N(torch.tensor([[0.0, 0.0], [900.0, 0.0]]), torch.tensor([0, 1]))
        tensor([6.9315e-01, 9.0000e+02], dtype=torch.float64)
    """
    logits_NC, targets_N = checked(logits_NC, targets_N)
    parts = [
        cross_entropy(part, labels, reduction="none").abs()  # so that -0.0 reads 0.0
        for part, labels in blocks(logits_NC, targets_N)
    ]
    return torch.cat(parts)


def nll(logits_NC: Tensor, targets_N: Tensor) -> float:
    """Mean negative log-likelihood (log loss, cross-entropy), in nats.

    ``nll = mean_i [log sum_c exp(z_ic) - z_iy]`` with the row's largest logit taken
    out first, so that logits of any size are scored exactly. A logit of -inf is a
    probability of zero: harmless for a class that is not the target, and an infinite
    loss for the one that is. Nothing is clipped.

    Args:
        logits_NC: Floating, shape (N, C); log-probabilities are valid logits.
        targets_N: Integer classes in [0, C), shape (N,).

    Returns:
        A float >= 0.

    Raises:
        InputError: Wrong types, shapes, labels, or NaN.

    Example:
        >>> round(nll(torch.tensor([[0.0, 0.0]]), torch.tensor([1])), 6)
        0.693147

    Reference:
        I. J. Good, Rational Decisions, 1952.
    """
    return float(nll_N(logits_NC, targets_N).mean())


def brier_N(logits_NC: Tensor, targets_N: Tensor) -> Tensor:
    """Brier score of each example. See `brier`.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).

    Returns:
        Float64, shape (N,), each in [0, 2].

    Raises:
        InputError: Wrong types, shapes, labels, or NaN.

    Example:
        >>> brier_N(torch.zeros(1, 4), torch.tensor([2]))
        tensor([0.7500], dtype=torch.float64)
    """
    logits_NC, targets_N = checked(logits_NC, targets_N)
    parts = []
    for part, labels in blocks(logits_NC, targets_N):
        residual = part.softmax(dim=1)
        residual[torch.arange(len(part), device=part.device), labels] -= 1.0
        parts.append(residual.square_().sum(dim=1))
    return torch.cat(parts)


def brier(logits_NC: Tensor, targets_N: Tensor) -> float:
    """Brier score: squared distance of the probabilities from the one-hot target.

    ``brier = mean_i sum_c (p_ic - [y_i = c])^2``, in [0, 2]. This is Brier's own
    definition, a *sum* over the classes; for two classes it is twice the score that
    looks at the positive class alone.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).

    Returns:
        A float in [0, 2].

    Raises:
        InputError: Wrong types, shapes, labels, or NaN.

    Example:
        >>> brier(torch.zeros(1, 2), torch.tensor([0]))
        0.5

    Reference:
        G. W. Brier, Verification of Forecasts Expressed in Terms of Probability, 1950.
    """
    return float(brier_N(logits_NC, targets_N).mean())
