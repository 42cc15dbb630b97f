"""Calibrating logits that come from anywhere: arrays in, arrays out.

Shapes: N examples, C classes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dale.calibrate.calibrator import Calibrator
from dale.calibrate.guard import Fit
from dale.calibrate.scaling import fit_temperature
from dale.errors import InputError


@dataclass(frozen=True)
class ArrayCalibrator:
    """A fitted calibrator for arrays.

    Args:
        fitted: The calibrator for tensors, with the facts of the fit.
    """

    fitted: Calibrator

    def __call__(self, logits_NC: Any) -> Any:
        """Calibrated logits.

        Args:
            logits_NC: A tensor, or what NumPy takes for an array, shape (N, C).

        Returns:
            Float64, shape (N, C): a tensor for a tensor, else a NumPy array.

        Raises:
            InputError: Wrong type or shape.
        """
        found = self.fitted.apply(as_logits(logits_NC))
        return found if isinstance(logits_NC, Tensor) else found.cpu().numpy()

    def probabilities(self, logits_NC: Any) -> Any:
        """Calibrated probabilities; as for the logits."""
        found = self.fitted.apply(as_logits(logits_NC)).softmax(dim=1)
        return found if isinstance(logits_NC, Tensor) else found.cpu().numpy()

    def __str__(self) -> str:
        return self.fitted.describe()


def temperature(logits_NC: Any, targets_N: Any) -> ArrayCalibrator:
    """Temperature scaling of logits from any framework, in one line.

    Args:
        logits_NC: Logits of examples that the model was not trained on: a tensor, or
            anything that NumPy takes for an array, such as those of JAX or TensorFlow
            and nested lists, or that speaks DLPack; shape (N, C). Not probabilities.
        targets_N: Their classes, integers in [0, C), shape (N,).

    Returns:
        What is called with logits to calibrate them.

    Raises:
        InputError: As `dale.calibrate.fit_temperature`, or not an array of numbers.

    Example:
        >>> calibrate = temperature([[2.0, 0.0]] * 4, [0, 0, 0, 1])
        >>> print(calibrate)
        temperature 1.82 from 4 examples: NLL 0.6269 -> 0.5623
        >>> calibrate.probabilities(np.array([[2.0, 0.0]])).round(2)
        array([[0.75, 0.25]])

    Reference:
        C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, 2017, arXiv 1706.04599.
    """
    return from_arrays(logits_NC, targets_N, fit_temperature)


def from_arrays(logits_NC: Any, targets_N: Any, fit: Fit) -> ArrayCalibrator:
    """Any calibrator of `dale.calibrate.CALIBRATORS` fitted to arrays.

    Args:
        logits_NC: As for `temperature`.
        targets_N: As for `temperature`.
        fit: The fitting function, such as ``CALIBRATORS["vector"].fit``.

    Returns:
        What is called with logits to calibrate them.

    Raises:
        InputError: Whatever ``fit`` raises, or not an array of numbers.

    Example:
        >>> from dale.calibrate import CALIBRATORS
        >>> logits, targets = [[1.0, 0.0], [0.0, 2.0]] * 10, [0, 1, 1, 1] * 5
        >>> from_arrays(logits, targets, CALIBRATORS["vector"].fit)(logits).shape
        (20, 2)
    """
    return ArrayCalibrator(fit(as_logits(logits_NC), as_classes(targets_N)))


def as_logits(values: Any) -> Tensor:
    """A floating tensor of an array; a tensor as it is.

    Raises:
        InputError: NumPy makes no array of real numbers of it.
    """
    if isinstance(values, Tensor):
        return values
    array = _array(values, "logits")
    if array.dtype.kind in "iub":  # whole numbers, as somebody may type them
        array = array.astype(np.float64)
    if array.dtype.kind != "f":
        raise InputError(f"logits: expected real numbers, got {array.dtype}")
    if array.dtype.itemsize > 8 or array.dtype.byteorder == ">":
        array = array.astype(np.float64)
    return torch.from_numpy(np.array(array))


def as_classes(values: Any) -> Tensor:
    """An integer tensor of an array; a tensor as it is.

    Raises:
        InputError: NumPy makes no array of integers of it.
    """
    if isinstance(values, Tensor):
        return values
    array = _array(values, "targets")
    if array.dtype.kind not in "iu":
        raise InputError(f"targets: expected integer classes, got {array.dtype}")
    return torch.from_numpy(array.astype(np.int64))


def _array(values: Any, what: str) -> np.ndarray:
    if np.ma.is_masked(values):
        raise InputError(f"{what}: expected every value, got an array with some masked")
    try:
        if not hasattr(values, "__array__") and hasattr(values, "__dlpack__"):
            return torch.from_dlpack(values).cpu().numpy()
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{what}: no array of numbers: {reason}") from error
