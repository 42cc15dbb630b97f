"""Calibration errors of the predicted class, in the norms that are in use.

Shapes: N examples, C classes, B bins. For edges and ties see `dale.metrics.bins`.

The confidence is the largest softmax probability, in float64. All of these depend on
the number of bins, and all but the debiased one are biased upwards for small N: compare
methods by `nll` after calibration, and read these as a description.
"""

from math import sqrt

from torch import Tensor

from dale.metrics.bins import Spacing
from dale.metrics.reliability import reliability


def ece(
    logits_NC: Tensor,
    targets_N: Tensor,
    bins: int = 15,
    spacing: Spacing = "width",
) -> float:
    """Expected calibration error of the predicted class.

    ``ece = sum_b (n_b / N) |accuracy_b - confidence_b|``, in [0, 1].

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        bins: Number of bins B >= 1.
        spacing: ``width`` (equal widths) or ``mass`` (equal counts).

    Returns:
        A float in [0, 1].

    Raises:
        InputError: Wrong types, shapes, labels, NaN, or an impossible setting.

    Example:
        >>> import torch
        >>> ece(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]))
        0.25

    Reference:
        M. P. Naeini, G. F. Cooper, M. Hauskrecht, Obtaining Well Calibrated
        Probabilities Using Bayesian Binning, 2015; C. Guo, G. Pleiss, Y. Sun, K. Q.
        Weinberger, On Calibration of Modern Neural Networks, 2017, arXiv 1706.04599.
    """
    return reliability(logits_NC, targets_N, bins, spacing).ece


def adaptive_ece(logits_NC: Tensor, targets_N: Tensor, bins: int = 15) -> float:
    """Expected calibration error over bins that hold equally many examples.

    `ece` with ``spacing="mass"``. Most confidences of a good network lie near 1, where
    bins of equal width put nearly all of them into one.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        bins: Number of bins B >= 1.

    Returns:
        A float in [0, 1].

    Raises:
        InputError: Wrong types, shapes, labels, NaN, or an impossible setting.

    Example:
        >>> import torch
        >>> adaptive_ece(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]))
        0.25

    Reference:
        K. Nguyen, B. O'Connor, Posterior Calibration and Exploratory Analysis for
        Natural Language Processing Models, 2015, arXiv 1508.05154; J. Nixon et al.,
        Measuring Calibration in Deep Learning, 2019, arXiv 1904.01685, whose own
        version bins every class instead of the predicted one (here `classwise_ece`
        with ``spacing="mass"``).
    """
    return reliability(logits_NC, targets_N, bins, "mass").ece


def mce(
    logits_NC: Tensor,
    targets_N: Tensor,
    bins: int = 15,
    spacing: Spacing = "width",
) -> float:
    """Maximum calibration error: largest ``|accuracy - confidence|`` of a bin.

    One example alone in a bin can decide it, so it is unreliable on small sets.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        bins: Number of bins B >= 1.
        spacing: ``width`` (equal widths) or ``mass`` (equal counts).

    Returns:
        A float in [0, 1].

    Raises:
        InputError: Wrong types, shapes, labels, NaN, or an impossible setting.

    Example:
        >>> import torch
        >>> mce(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]))
        0.25

    Reference:
        M. P. Naeini, G. F. Cooper, M. Hauskrecht, 2015, as for `ece`.
    """
    return reliability(logits_NC, targets_N, bins, spacing).mce


def rms_ce(
    logits_NC: Tensor,
    targets_N: Tensor,
    bins: int = 15,
    spacing: Spacing = "mass",
) -> float:
    """Root mean square calibration error of the predicted class.

    ``rms = sqrt(sum_b (n_b / N) (accuracy_b - confidence_b)^2)``, never below `ece`
    with the same bins.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        bins: Number of bins B >= 1.
        spacing: ``width`` (equal widths) or ``mass`` (equal counts).

    Returns:
        A float in [0, 1].

    Raises:
        InputError: Wrong types, shapes, labels, NaN, or an impossible setting.

    Example:
        >>> import torch
        >>> rms_ce(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]))
        0.25

    Reference:
        D. Hendrycks, M. Mazeika, T. Dietterich, Deep Anomaly Detection with Outlier
        Exposure, 2019, arXiv 1812.04606.
    """
    return sqrt(reliability(logits_NC, targets_N, bins, spacing).square)


def debiased_rms_ce(
    logits_NC: Tensor,
    targets_N: Tensor,
    bins: int = 15,
    spacing: Spacing = "mass",
) -> float:
    """Root mean square calibration error without what chance adds to it.

    Even of a perfectly calibrated model the accuracy in a bin differs from the
    confidence by chance, and squares add up. The expected excess is estimated and
    taken away, ``sum_b (n_b / N) [gap_b^2 - a_b (1 - a_b) / (n_b - 1)]`` with a_b the
    accuracy of the bin; bins of one example count nothing. The root of this is
    returned, or 0 where it is negative: nothing is found beyond chance. To average
    over runs, average ``reliability(...).debiased_square``, which keeps its sign.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        bins: Number of bins B >= 1.
        spacing: ``width`` (equal widths) or ``mass`` (equal counts).

    Returns:
        A float in [0, 1].

    Raises:
        InputError: Wrong types, shapes, labels, NaN, or an impossible setting.

    Example:
        >>> import torch
        >>> debiased_rms_ce(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]))
        0.0

    Reference:
        J. Bröcker, Estimating Reliability and Resolution of Probability Forecasts
        through Decomposition of the Empirical Score, 2012; A. Kumar, P. Liang, T. Ma,
        Verified Uncertainty Calibration, 2019, arXiv 1909.10155.
    """
    diagram = reliability(logits_NC, targets_N, bins, spacing)
    return sqrt(max(0.0, diagram.debiased_square))
