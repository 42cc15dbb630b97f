"""The shares of the classes in data without labels, and whether they have changed.

Shapes: C classes, S source examples (with labels), N target examples (without).
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dale.calibrate.calibrator import check_logits
from dale.calibrate.prior_shift import (
    PriorShift,
    Shares,
    checked_shares,
    given_shift,
    mean_posterior_C,
)
from dale.errors import InputError
from dale.metrics import blocks, checked, checked_logits

_EXPECTED = 12  # chance shows none of so many once in 160,000 times


@dataclass(frozen=True, eq=False)
class EmResult:
    """Shares of the highest likelihood, and how the likelihood rose.

    Args:
        target_C: The shares, float64, of sum 1.
        log_likelihood: Mean over the examples of ``log sum_k p_ik q_k / pi_k`` at the
            start and after every step, in nats; 0 at the source shares.
        gap: At most so much (mean, in nats) is missing to the maximum.
    """

    target_C: Tensor
    log_likelihood: tuple[float, ...]
    gap: float


def em_shares(
    logits_NC: Tensor,
    source_C: Shares,
    tolerance: float = 1e-9,
    max_steps: int = 10_000,
) -> EmResult:
    """Shares of the classes in unlabelled data by expectation and maximisation.

    ``q_k <- mean_i [p_ik q_k / pi_k] / sum_l [p_il q_l / pi_l]``, from ``q = pi``. The
    log-likelihood is concave in q and never falls. With ``D_k = mean_i (p_ik / pi_k) /
    sum_l (p_il q_l / pi_l)``, the factor by which a step multiplies q_k, at most
    ``max_k D_k - 1`` is missing to the maximum: the steps end when this is below the
    tolerance, so that the result is certified rather than merely slow to change.

    Calibrate first: with uncalibrated logits the shares are wrong.

    Args:
        logits_NC: Of the target data, calibrated at the source shares; shape (N, C).
        source_C: Source shares pi, such as `mean_posterior_C` of the source logits.
        tolerance: Of the mean log-likelihood, in nats, > 0.
        max_steps: Most steps to take, >= 1.

    Returns:
        The shares, the likelihood by step and what may be missing.

    Raises:
        InputError: Wrong types, shapes, NaN, impossible shares or settings.

    Example:
        >>> logits = torch.tensor([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
        >>> em_shares(logits, [0.5, 0.5]).target_C
        tensor([0.7593, 0.2407], dtype=torch.float64)

    Reference:
        M. Saerens, P. Latinne, C. Decaestecker, Adjusting the Outputs of a Classifier
        to New a Priori Probabilities, 2002; A. Alexandari, A. Kundaje, A. Shrikumar,
        2020, arXiv 1901.06852 (calibrate first; concavity). The bound is B. G.
        Lindsay's, The Geometry of Mixture Likelihoods, 1983.
    """
    if not tolerance > 0:
        raise InputError(f"tolerance: expected a number > 0, got {tolerance!r}")
    if isinstance(max_steps, bool) or not isinstance(max_steps, int) or max_steps < 1:
        raise InputError(f"max_steps: expected an integer >= 1, got {max_steps!r}")
    source_C = checked_shares(source_C)
    ratios_NC = _ratios(logits_NC, source_C)
    target_C, trace = source_C.to(ratios_NC.device), []
    while True:
        mixture_N = ratios_NC @ target_C
        trace.append(float(mixture_N.log().mean()))
        factor_C = (ratios_NC / mixture_N[:, None]).mean(dim=0)
        gap = max(0.0, float(factor_C.max()) - 1)
        if gap <= tolerance or len(trace) > max_steps:
            return EmResult(target_C.cpu(), tuple(trace), gap)
        target_C = target_C * factor_C
        target_C = target_C / target_C.sum()


def fit_em(
    source_SC: Tensor,
    targets_S: Tensor,
    logits_NC: Tensor,
    tolerance: float = 1e-9,
    max_steps: int = 10_000,
) -> PriorShift:
    """The correction to the shares of the highest likelihood. See `em_shares`.

    The source shares are the mean probabilities of the source logits, so that on the
    source data themselves no shift is found; the labels are looked at only to refuse
    what does not fit.

    Args:
        source_SC: Calibrated logits of the source data, shape (S, C).
        targets_S: Their classes, shape (S,).
        logits_NC: Calibrated logits of the target data, shape (N, C).
        tolerance: Of the mean log-likelihood, in nats, > 0.
        max_steps: Most steps to take, >= 1.

    Returns:
        The correction.

    Raises:
        InputError: As `em_shares`; or a class that the source logits expect often has
            no source example, so that its share before is not known.

    Example:
        >>> source = torch.tensor([[4.0, 0.0], [0.0, 4.0]])
        >>> shift = fit_em(source, torch.tensor([0, 1]), source[[0, 0, 0, 1]])
        >>> shift.target
        tensor([0.7593, 0.2407], dtype=torch.float64)

    Reference:
        As `em_shares`.
    """
    source_SC, targets_S = checked(source_SC, targets_S)
    source_C = mean_posterior_C(source_SC)
    _check_seen(source_C, targets_S)
    found = em_shares(logits_NC, source_C, tolerance, max_steps)
    return replace(given_shift(source_C, found.target_C), method="em")


def fit_bbse(
    source_SC: Tensor,
    targets_S: Tensor,
    logits_NC: Tensor,
    soft: bool = False,
    max_condition: float = 1e4,
) -> PriorShift:
    """The correction that explains how often each class is predicted.

    With ``K_jk = mean_s [prediction_s = j][y_s = k]`` on the source data and ``mu_j =
    mean_i [prediction_i = j]`` on the target data, the weights solve ``K w = mu``, and
    the target shares are ``w_k`` times the source shares of the labels. ``soft`` takes
    probabilities in place of predictions. Weights that come out negative are set to 0,
    which is reported in ``clipped``, and the shares are divided by their sum. Logits
    need not be calibrated for the estimate, but for its use they must be.

    Args:
        source_SC: Logits of the source data, shape (S, C).
        targets_S: Their classes, shape (S,); every class must occur.
        logits_NC: Logits of the target data, shape (N, C).
        soft: Average probabilities instead of predictions.
        max_condition: Highest condition number of K that is accepted, >= 1.

    Returns:
        The correction.

    Raises:
        InputError: Wrong types, shapes, NaN; a class without source examples; or a
            matrix K of too high a condition number, so that noise would be amplified.

    Example:
        >>> source = torch.tensor([[4.0, 0.0], [0.0, 4.0]])
        >>> shift = fit_bbse(source, torch.tensor([0, 1]), source[[0, 0, 0, 1]])
        >>> shift.target, shift.clipped
        (tensor([0.7500, 0.2500], dtype=torch.float64), 0.0)

    Reference:
        Z. C. Lipton, Y.-X. Wang, A. Smola, Detecting and Correcting for Label Shift
        with Black Box Predictors, 2018, arXiv 1802.03916.
    """
    source_SC, targets_S = checked(source_SC, targets_S)
    logits_NC = checked_logits(logits_NC)
    check_logits(source_SC)
    check_logits(logits_NC)
    classes = source_SC.shape[1]
    shares_C = torch.bincount(targets_S, minlength=classes).double() / len(targets_S)
    missing = (shares_C == 0).nonzero().flatten().tolist()
    if missing:
        raise InputError(f"targets_S: expected every class, got none of {missing}")
    joint_CC = torch.zeros(
        classes, classes, dtype=torch.float64, device=shares_C.device
    )
    for part, labels in blocks(source_SC, targets_S):
        joint_CC.index_add_(1, labels, _votes(part, soft).T)
    joint_CC /= len(targets_S)
    condition = float(torch.linalg.cond(joint_CC))
    if not condition <= max_condition:
        raise InputError(
            f"condition number of the confusion matrix: expected at most "
            f"{max_condition:g}, got {condition:.3g}: some classes cannot be told apart"
        )
    votes_C = torch.stack([_votes(part, soft).sum(0) for part, _ in blocks(logits_NC)])
    predicted_C = votes_C.sum(dim=0).to(joint_CC) / len(logits_NC)
    raw_C = torch.linalg.solve(joint_CC, predicted_C) * shares_C
    shift = given_shift(shares_C, raw_C.clamp(min=0.0))
    return replace(
        shift,
        method="bbse-soft" if soft else "bbse-hard",
        clipped=float(-raw_C.clamp(max=0.0).sum()) + 0.0,
        condition=condition,
    )


@dataclass(frozen=True)
class NoShiftTest:
    """A likelihood-ratio test of "the shares have not changed".

    Args:
        statistic: ``2 N (mean log-likelihood at the best shares - at the source's)``.
        degrees: Degrees of freedom of its chi-squared distribution, C - 1.
        p_value: Probability of so high a statistic without a shift.
    """

    statistic: float
    degrees: int
    p_value: float


def no_shift_test(logits_NC: Tensor, source_C: Shares) -> NoShiftTest:
    """Have the shares of the classes changed? Test before correcting noise.

    Twice the gain in log-likelihood from the source shares to the best ones, which EM
    finds, has about a chi-squared distribution with C - 1 degrees of freedom if there
    is no shift. It holds for calibrated logits, many examples, source shares that are
    known well (from many more examples than N), and no class with hardly an example.
    Where classes can hardly be told apart the test is cautious.

    Args:
        logits_NC: Of the target data, calibrated at the source shares; shape (N, C).
        source_C: Source shares.

    Returns:
        The test; reject "no shift" at level a where ``p_value < a``.

    Raises:
        InputError: As `em_shares`.

    Example:
        >>> logits = torch.tensor([[4.0, 0.0]] * 30 + [[0.0, 4.0]] * 10)
        >>> test = no_shift_test(logits, [0.5, 0.5])
        >>> test.degrees, round(test.statistic, 2), round(test.p_value, 4)
        (1, 10.46, 0.0012)

    Reference:
        S. S. Wilks, The Large-Sample Distribution of the Likelihood Ratio for Testing
        Composite Hypotheses, 1938; M. Saerens et al., 2002, section 2.3.
    """
    # scipy.stats takes a second to import, and only this function needs it
    from scipy.stats import chi2

    count, classes = checked_logits(logits_NC).shape
    found = em_shares(logits_NC, source_C, tolerance=1e-4 / count)
    gain = found.log_likelihood[-1] - found.log_likelihood[0]
    statistic = max(0.0, 2 * count * gain)
    return NoShiftTest(statistic, classes - 1, float(chi2.sf(statistic, classes - 1)))


def _check_seen(source_C: Tensor, targets_S: Tensor) -> None:
    """Refuse source data without a class of which chance alone would show some."""
    seen_C = torch.bincount(targets_S, minlength=len(source_C)).cpu() > 0
    expected_C = len(targets_S) * source_C
    unseen = ((expected_C > _EXPECTED) & ~seen_C).nonzero().flatten().tolist()
    if unseen:
        raise InputError(
            f"targets_S: expected about {float(expected_C[unseen[0]]):.0f} examples of "
            f"class {unseen[0]} by the logits, got none: calibrate on data with every "
            "class"
        )


def _ratios(logits_NC: Tensor, source_C: Tensor) -> Tensor:
    """p_ik / pi_k."""
    logits_NC = checked_logits(logits_NC)
    check_logits(logits_NC)
    if logits_NC.shape[1] != len(source_C):
        raise InputError(
            f"prior shift: expected logits of {len(source_C)} classes, one per share, "
            f"got {logits_NC.shape[1]}"
        )
    source_C = source_C.to(logits_NC.device)
    parts = [part.softmax(dim=1) / source_C for part, _ in blocks(logits_NC)]
    return torch.cat(parts)


def _votes(part_NC: Tensor, soft: bool) -> Tensor:
    if soft:
        return part_NC.softmax(dim=1)
    winner_N1 = part_NC.argmax(dim=1, keepdim=True)
    return torch.zeros_like(part_NC).scatter(1, winner_N1, 1.0)
