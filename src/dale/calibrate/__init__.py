"""Fitted maps from logits to logits that make confidences honest.

Shapes: N examples, C classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from dale.calibrate.calibrator import (
    Calibrator,
    Header,
    Identity,
    check_logits,
    check_saved,
    fit_identity,
)
from dale.calibrate.guard import check_disjoint, cross_fit, cross_fitted_score
from dale.calibrate.temperature import Temperature, fit_temperature
from dale.errors import InputError, nearest


@dataclass(frozen=True)
class Calibration:
    """One row of `CALIBRATORS`: how to fit, and what is true of the fitted map.

    Args:
        fit: Takes (logits_NC, targets_N); returns a fitted `Calibrator`.
        cls: The class of what ``fit`` returns; its ``load`` reads it back.
        keeps_argmax: The predicted classes never change.
        parameters: Number of fitted parameters for C classes.
        reference: Where it comes from.
    """

    fit: Callable[..., Calibrator]
    cls: type[Calibrator]
    keeps_argmax: bool
    parameters: Callable[[int], int]
    reference: str


CALIBRATORS: dict[str, Calibration] = {
    "none": Calibration(
        fit=fit_identity,
        cls=Identity,
        keeps_argmax=True,
        parameters=lambda classes: 0,
        reference="baseline",
    ),
    "temperature": Calibration(
        fit=fit_temperature,
        cls=Temperature,
        keeps_argmax=True,
        parameters=lambda classes: 1,
        reference="Guo et al., 2017, arXiv 1706.04599",
    ),
}


def load_calibrator(
    tensors: Mapping[str, Tensor], header: Mapping[str, str | float | None]
) -> Calibrator:
    """A fitted calibrator of whichever kind the header names.

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
    if name not in CALIBRATORS:
        raise InputError(f"unknown calibrator {name!r}; {nearest(name, CALIBRATORS)}")
    return CALIBRATORS[name].cls.load(tensors, header)


__all__ = [
    "CALIBRATORS",
    "Calibration",
    "Calibrator",
    "Header",
    "Identity",
    "Temperature",
    "check_disjoint",
    "check_logits",
    "check_saved",
    "cross_fit",
    "cross_fitted_score",
    "fit_identity",
    "fit_temperature",
    "load_calibrator",
]
