"""Honest scores: never fit and score on the same examples.

Shapes: M members, N examples, C classes, R repeats.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from dale.calibrate.calibrator import Calibrator
from dale.errors import InputError, LeakageError
from dale.keys import key
from dale.metrics import checked, checked_members, checked_targets

Fit = Callable[[Tensor, Tensor], Calibrator]
"""From logits and targets to what ``apply`` calibrates such logits with."""


class Applied(Protocol):
    """What cross-fitting needs of a fit: a map to logits of shape (N, C)."""

    def apply(self, logits: Tensor, /) -> Tensor:
        """The calibrated logits."""
        ...


AnyFit = Callable[[Tensor, Tensor], Applied]


def check_disjoint(
    fit_digest: str, score_digest: str, cross_fitted: bool = False
) -> None:
    """Refuse to score on the split that was fitted on.

    Args:
        fit_digest: Digest of the split that a calibrator, a selection or weights were
            fitted on.
        score_digest: Digest of the split to be scored.
        cross_fitted: The predictions to be scored come from `cross_fit`, where no
            example was predicted by a fit that saw it.

    Raises:
        LeakageError: The digests are equal and nothing was cross-fitted.

    Example:
        >>> check_disjoint("4c1a", "77e0")
        >>> check_disjoint("4c1a", "4c1a", cross_fitted=True)
        >>> check_disjoint("4c1a", "4c1a")
        Traceback (most recent call last):
        ...
        dale.errors.LeakageError: fitted and scored on the same examples (split \
4c1a): score on another split, or use cross-fitting
    """
    if fit_digest == score_digest and not cross_fitted:
        raise LeakageError(
            f"fitted and scored on the same examples (split {fit_digest[:12]}): score "
            "on another split, or use cross-fitting"
        )


def cross_fit(
    logits_NC: Tensor,
    targets_N: Tensor,
    fit: AnyFit,
    folds: int = 2,
    repeats: int = 5,
    seed: int = 0,
) -> Tensor:
    """Calibrated logits in which no example was seen by the fit that calibrated it.

    In each repeat the examples are dealt at random into folds of equal size (to
    within one); each fold is calibrated by a fit to the others. Score every repeat on
    its own and average the scores, as `cross_fitted_score` does: averaging the logits
    first would score a mean of calibrators instead of one.

    Args:
        logits_NC: Floating, shape (N, C); or (M, N, C) for a fit that takes members.
        targets_N: Integer classes in [0, C), shape (N,).
        fit: A fitting function such as `fit_temperature`.
        folds: Number of folds, from 2 to N.
        repeats: Number of random divisions R >= 1.
        seed: Seed of the divisions.

    Returns:
        Float64, shape (R, N, C), the examples in their given order.

    Raises:
        InputError: Wrong types, shapes, labels, NaN, or impossible numbers of folds or
            repeats; whatever ``fit`` raises.

    Example:
        >>> from dale.calibrate import fit_temperature
        >>> logits = torch.tensor([[2.0, 0.0]]).repeat(40, 1)
        >>> targets = (torch.arange(40) % 4 == 0).long()
        >>> cross_fit(logits, targets, fit_temperature, repeats=3).shape
        torch.Size([3, 40, 2])

    Reference:
        A. Ashukha, A. Lyzhov, D. Molchanov, D. Vetrov, Pitfalls of In-Domain
        Uncertainty Estimation and Ensembling in Deep Learning, 2020, arXiv
        2002.06470: their test-time cross-validation, with 2 folds and 5 repeats.
    """
    logits_NC, targets_N = _checked(logits_NC, targets_N)
    _check_numbers(folds, repeats, len(targets_N))
    return torch.stack(
        [
            _one_repeat(logits_NC, targets_N, fit, folds, key(seed, "cross-fit", r))
            for r in range(repeats)
        ]
    )


def cross_fitted_score(
    metric: Callable[[Tensor, Tensor], float],
    logits_NC: Tensor,
    targets_N: Tensor,
    fit: AnyFit,
    folds: int = 2,
    repeats: int = 5,
    seed: int = 0,
) -> float:
    """Mean over the repeats of a metric of cross-fitted logits.

    With `nll` and `fit_temperature` its negative is the calibrated log-likelihood.
    Holds one repeat in memory at a time.

    Args:
        metric: A function of (logits_NC, targets_N) that returns a float.
        logits_NC: Floating, shape (N, C); or (M, N, C) for a fit that takes members.
        targets_N: Integer classes in [0, C), shape (N,).
        fit: A fitting function such as `fit_temperature`.
        folds: Number of folds, from 2 to N.
        repeats: Number of random divisions R >= 1.
        seed: Seed of the divisions.

    Returns:
        The mean score.

    Raises:
        InputError: As `cross_fit`.

    Example:
        >>> from dale.calibrate import fit_temperature
        >>> from dale.metrics import nll
        >>> logits = torch.tensor([[9.0, 0.0]]).repeat(40, 1)
        >>> targets = (torch.arange(40) % 4 == 0).long()
        >>> nll(logits, targets) > cross_fitted_score(
        ...     nll, logits, targets, fit_temperature
        ... )
        True

    Reference:
        Ashukha et al., 2020, as for `cross_fit`.
    """
    logits_NC, targets_N = _checked(logits_NC, targets_N)
    _check_numbers(folds, repeats, len(targets_N))
    total = 0.0
    for repeat in range(repeats):
        repeat_seed = key(seed, "cross-fit", repeat)
        calibrated_NC = _one_repeat(logits_NC, targets_N, fit, folds, repeat_seed)
        total += metric(calibrated_NC, targets_N)
    return total / repeats


def _one_repeat(
    logits_NC: Tensor,
    targets_N: Tensor,
    fit: AnyFit,
    folds: int,
    seed: int,
) -> Tensor:
    count = len(targets_N)
    generator = torch.Generator().manual_seed(seed)
    order_N = torch.randperm(count, generator=generator)
    fold_N = torch.empty(count, dtype=torch.int64)
    fold_N[order_N] = torch.arange(count) % folds
    fold_N = fold_N.to(logits_NC.device)
    shape = logits_NC.shape[-2:]
    calibrated_NC = logits_NC.new_empty(shape, dtype=torch.float64)
    for fold in range(folds):
        held = fold_N == fold
        # the examples are the last axis but one, with members and without
        fitted = fit(logits_NC[..., ~held, :], targets_N[~held])
        calibrated_NC[held] = fitted.apply(logits_NC[..., held, :])
    return calibrated_NC


def _checked(logits: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    if isinstance(logits, Tensor) and logits.ndim == 3:
        logits = checked_members(logits, targets_N)
        return logits, checked_targets(targets_N, logits[0])
    return checked(logits, targets_N)


def _check_numbers(folds: int, repeats: int, count: int) -> None:
    if not 2 <= folds <= count:
        raise InputError(
            f"folds: expected from 2 to the number of examples ({count}), got {folds}"
        )
    if repeats < 1:
        raise InputError(f"repeats: expected >= 1, got {repeats}")
