"""Fitted maps from logits to logits that make confidences honest.

Shapes: N examples, C classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from dale.calibrate.arrays import (
    ArrayCalibrator,
    as_classes,
    as_logits,
    from_arrays,
    temperature,
)
from dale.calibrate.beta import Beta, fit_beta
from dale.calibrate.bias import BiasCorrected, fit_bias_corrected
from dale.calibrate.calibrator import (
    Calibrator,
    Header,
    Identity,
    check_logits,
    check_saved,
    fit_identity,
)
from dale.calibrate.compose import Composed, compose, fit_in_turn
from dale.calibrate.dirichlet import Dirichlet, choose_strength, fit_dirichlet
from dale.calibrate.fitted import Facts, Fitted
from dale.calibrate.guard import check_disjoint, cross_fit, cross_fitted_score
from dale.calibrate.histogram import Histogram, fit_histogram
from dale.calibrate.isotonic import Isotonic, fit_isotonic
from dale.calibrate.joint import fit_joint
from dale.calibrate.members import (
    CalibratedEnsemble,
    Combine,
    calibrate_then_pool,
    pool_then_calibrate,
)
from dale.calibrate.orders import (
    ORDERS,
    Candidate,
    Order,
    candidates,
    choose,
    ensemble_fit,
    settle,
)
from dale.calibrate.platt import Platt, fit_platt
from dale.calibrate.prior_shift import (
    PriorShift,
    given_shift,
    mean_posterior_C,
    prior_log_odds,
)
from dale.calibrate.refinement import ScoreParts, score_parts
from dale.calibrate.scaling import Temperature, fit_temperature
from dale.calibrate.shift_estimates import (
    EmResult,
    NoShiftTest,
    em_shares,
    fit_bbse,
    fit_em,
    no_shift_test,
)
from dale.calibrate.vector import Vector, fit_vector
from dale.errors import InputError, nearest


@dataclass(frozen=True)
class Calibration:
    """One row of `CALIBRATORS`: how to fit, and what is true of the fitted map.

    Args:
        fit: Takes (logits_NC, targets_N); returns a fitted `Calibrator`.
        cls: The class of what ``fit`` returns; its ``load`` reads it back.
        keeps_argmax: The predicted classes never change.
        parameters: Number of numbers it holds for C classes with default settings;
            None where it grows with the data.
        reference: Where it comes from.
        convex: What is minimised is convex, so that the fit is the one optimum.
        binary_only: It is for two classes.
    """

    fit: Callable[..., Calibrator]
    cls: type[Calibrator]
    keeps_argmax: bool
    parameters: Callable[[int], int] | None
    reference: str
    convex: bool
    binary_only: bool = False


CALIBRATORS: dict[str, Calibration] = {
    "none": Calibration(
        fit=fit_identity,
        cls=Identity,
        keeps_argmax=True,
        parameters=lambda classes: 0,
        reference="baseline",
        convex=True,
    ),
    "temperature": Calibration(
        fit=fit_temperature,
        cls=Temperature,
        keeps_argmax=True,
        parameters=lambda classes: 1,
        reference="Guo et al., 2017, arXiv 1706.04599",
        convex=True,
    ),
    "bcts": Calibration(
        fit=fit_bias_corrected,
        cls=BiasCorrected,
        keeps_argmax=False,
        parameters=lambda classes: 1 + classes,
        reference="Alexandari et al., 2020, arXiv 1901.06852",
        convex=True,
    ),
    "vector": Calibration(
        fit=fit_vector,
        cls=Vector,
        keeps_argmax=False,
        parameters=lambda classes: 2 * classes,
        reference="Guo et al., 2017, arXiv 1706.04599",
        convex=True,
    ),
    "dirichlet": Calibration(
        fit=fit_dirichlet,
        cls=Dirichlet,
        keeps_argmax=False,
        parameters=lambda classes: classes * (classes + 1),
        reference="Kull et al., 2019, arXiv 1910.12656",
        convex=True,
    ),
    "platt": Calibration(
        fit=fit_platt,
        cls=Platt,
        keeps_argmax=False,
        parameters=lambda classes: 2 * classes,
        reference="Platt, 1999; Zadrozny and Elkan, 2002",
        convex=True,
    ),
    "beta": Calibration(
        fit=fit_beta,
        cls=Beta,
        keeps_argmax=False,
        parameters=lambda classes: 3,
        reference="Kull et al., 2017",
        convex=True,
        binary_only=True,
    ),
    "isotonic": Calibration(
        fit=fit_isotonic,
        cls=Isotonic,
        keeps_argmax=False,
        parameters=None,
        reference="Zadrozny and Elkan, 2002",
        convex=True,
    ),
    "histogram": Calibration(
        fit=fit_histogram,
        cls=Histogram,
        keeps_argmax=False,
        parameters=lambda classes: classes * (2 * 15 - 1),
        reference="Zadrozny and Elkan, 2001",
        convex=False,
    ),
}


@dataclass(frozen=True)
class ShiftEstimate:
    """One row of `SHIFT_ESTIMATES`: a way to the target shares without target labels.

    Args:
        fit: Takes (source_SC, targets_S, logits_NC) and settings that have defaults;
            returns a `PriorShift`.
        settings: What sets this row apart from others with the same function.
        needs_calibrated: The estimate is right for calibrated logits only.
        never_negative: No share can come out negative.
        reference: Where it comes from.
    """

    fit: Callable[..., PriorShift]
    settings: Mapping[str, bool]
    needs_calibrated: bool
    never_negative: bool
    reference: str


SHIFT_ESTIMATES: dict[str, ShiftEstimate] = {
    "em": ShiftEstimate(
        fit=fit_em,
        settings={},
        needs_calibrated=True,
        never_negative=True,
        reference="Saerens et al., 2002; Alexandari et al., 2020, arXiv 1901.06852",
    ),
    "bbse-hard": ShiftEstimate(
        fit=fit_bbse,
        settings={"soft": False},
        needs_calibrated=False,
        never_negative=False,
        reference="Lipton et al., 2018, arXiv 1802.03916",
    ),
    "bbse-soft": ShiftEstimate(
        fit=fit_bbse,
        settings={"soft": True},
        needs_calibrated=False,
        never_negative=False,
        reference="Lipton et al., 2018, arXiv 1802.03916",
    ),
}

_LOADED: dict[str, type[Calibrator]] = {
    **{name: row.cls for name, row in CALIBRATORS.items()},
    "composed": Composed,
    "prior_shift": PriorShift,
}


def load_calibrator(
    tensors: Mapping[str, Tensor], header: Mapping[str, str | float | None]
) -> Calibrator:
    """A fitted calibrator of whichever kind the header names.

    Besides the rows of `CALIBRATORS` these are ``composed`` and ``prior_shift``.

    Args:
        tensors: What ``tensors()`` of the fitted calibrator gave.
        header: What ``header()`` of the fitted calibrator gave.

    Returns:
        An equal calibrator.

    Raises:
        InputError: An unknown kind, or missing or unexpected content.

    Example:
        >>> load_calibrator({}, {"calibrator": "none"})
        Identity()
    """
    name = str(header.get("calibrator"))
    if name not in _LOADED:
        raise InputError(f"unknown calibrator {name!r}; {nearest(name, _LOADED)}")
    return _LOADED[name].load(tensors, header)


__all__ = [
    "CALIBRATORS",
    "ORDERS",
    "SHIFT_ESTIMATES",
    "ArrayCalibrator",
    "Beta",
    "BiasCorrected",
    "CalibratedEnsemble",
    "Calibration",
    "Calibrator",
    "Candidate",
    "Combine",
    "Composed",
    "Dirichlet",
    "EmResult",
    "Facts",
    "Fitted",
    "Header",
    "Histogram",
    "Identity",
    "Isotonic",
    "NoShiftTest",
    "Order",
    "Platt",
    "PriorShift",
    "ScoreParts",
    "ShiftEstimate",
    "Temperature",
    "Vector",
    "as_classes",
    "as_logits",
    "calibrate_then_pool",
    "candidates",
    "check_disjoint",
    "check_logits",
    "check_saved",
    "choose",
    "choose_strength",
    "compose",
    "cross_fit",
    "cross_fitted_score",
    "em_shares",
    "ensemble_fit",
    "fit_bbse",
    "fit_beta",
    "fit_bias_corrected",
    "fit_dirichlet",
    "fit_em",
    "fit_histogram",
    "fit_identity",
    "fit_in_turn",
    "fit_isotonic",
    "fit_joint",
    "fit_platt",
    "fit_temperature",
    "fit_vector",
    "from_arrays",
    "given_shift",
    "load_calibrator",
    "mean_posterior_C",
    "no_shift_test",
    "pool_then_calibrate",
    "prior_log_odds",
    "score_parts",
    "settle",
    "temperature",
]
