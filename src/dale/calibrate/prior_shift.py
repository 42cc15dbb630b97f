"""When the classes come in other shares than they did: correct the prior.

Shapes: N examples, C classes, S source examples, N target examples.

The assumption throughout is label shift: within a class the inputs look as they did,
and only the shares of the classes have changed. Then probabilities that were calibrated
at the source shares pi are right for shares q once they are reweighted,
``p'_c = p_c w_c / sum_k p_k w_k`` with ``w = q / pi``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, log
from typing import Self, cast

import torch
from torch import Tensor

from dale.calibrate.calibrator import Header, check_logits, check_saved
from dale.errors import InputError
from dale.metrics import blocks, check_shape, checked_logits

Shares = Tensor | Sequence[float]


def prior_log_odds(share: float) -> float:
    """Bias of a binary head that starts at the right share: ``ln(pi / (1 - pi))``.

    A sigmoid of this bias alone is pi, so that training does not begin by learning
    the share of the positive class. The difference of two such biases moves a trained
    and calibrated binary head from one share to another.

    Args:
        share: Share of the positive class, in (0, 1).

    Returns:
        The log-odds.

    Raises:
        InputError: The share is not in (0, 1).

    Example:
        >>> round(prior_log_odds(0.01), 4)
        -4.5951

    Reference:
        T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár, Focal Loss for Dense Object
        Detection, 2017, arXiv 1708.02002, section 3.3.
    """
    if not 0 < share < 1:
        raise InputError(f"share: expected a number in (0, 1), got {share!r}")
    return log(share) - log(1 - share)


@dataclass(frozen=True, eq=False)
class PriorShift:
    """A correction of the prior: log-probabilities at the target shares.

    Args:
        source: Shares pi of the classes that the logits were calibrated at, float64,
            positive, of sum 1, shape (C,).
        target: Shares q to correct them to, float64, >= 0, of sum 1, shape (C,).
        method: ``given``, ``em``, ``bbse-hard`` or ``bbse-soft``.
        clipped: Shares that came out negative and were set to 0, over all classes
            their sum; 0 where none did.
        condition: Condition number of the system that was solved; 1 where none was.

    Example:
        >>> shift = given_shift([0.5, 0.5], [0.9, 0.1])
        >>> shift.apply(torch.zeros(1, 2)).exp()
        tensor([[0.9000, 0.1000]], dtype=torch.float64)
    """

    source: Tensor
    target: Tensor
    method: str = "given"
    clipped: float = 0.0
    condition: float = 1.0

    @property
    def weights_C(self) -> Tensor:
        """Importance weights ``w = q / pi`` of the classes, float64."""
        return self.target / self.source

    def apply(self, logits_NC: Tensor) -> Tensor:
        """Log-probabilities at the target shares: ``log_softmax(z + log w)``.

        Args:
            logits_NC: Calibrated at the source shares; floating, shape (N, C).

        Returns:
            Float64, shape (N, C); -inf for a class of share 0.

        Raises:
            InputError: Wrong type, shape or number of classes; or an example all of
                whose possible classes have share 0.
        """
        check_shape(logits_NC, "logits_NC")
        _check_classes(logits_NC, len(self.source))
        moved_NC = logits_NC.double() + self.weights_C.log().to(logits_NC.device)
        impossible_N = moved_NC.detach().amax(dim=1) == -inf
        if bool(impossible_N.any()):
            raise InputError(
                f"example {int(impossible_N.nonzero()[0])}: expected a class that is "
                "possible under the logits and the target shares, got none"
            )
        return moved_NC.log_softmax(dim=1)

    def describe(self) -> str:
        """One line in words."""
        ratio = self.weights_C
        text = (
            f"prior shift by {self.method}: shares changed by factors from "
            f"{float(ratio.min()):.3g} to {float(ratio.max()):.3g}"
        )
        if self.clipped:
            text += f"; shares of -{self.clipped:.3g} in all were set to 0"
        return text

    def tensors(self) -> dict[str, Tensor]:
        """The two sets of shares."""
        return {"source": self.source, "target": self.target}

    def header(self) -> Header:
        """Its name and how the target shares were found."""
        return {
            "calibrator": "prior_shift",
            "method": self.method,
            "clipped": self.clipped,
            "condition": self.condition,
        }

    @classmethod
    def load(
        cls, tensors: Mapping[str, Tensor], header: Mapping[str, str | float | None]
    ) -> Self:
        """The inverse of ``tensors`` and ``header``."""
        keys = ("method", "clipped", "condition")
        check_saved(tensors, header, "prior_shift", ("source", "target"), keys)
        clipped, condition = (float(cast(float, header[key])) for key in keys[1:])
        source_C, target_C = (tensors[name].double() for name in ("source", "target"))
        return cls(source_C, target_C, str(header["method"]), clipped, condition)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PriorShift) or self.header() != other.header():
            return False
        mine, theirs = self.tensors(), other.tensors()
        return all(torch.equal(mine[name], theirs[name]) for name in mine)

    def __hash__(self) -> int:
        return hash((self.method, self.clipped, self.condition))


def given_shift(source_C: Shares, target_C: Shares) -> PriorShift:
    """The correction for shares that are known.

    Args:
        source_C: Shares that the logits were calibrated at, all positive.
        target_C: Shares to correct them to, >= 0.

    Returns:
        The correction; both are divided by their sums.

    Raises:
        InputError: Impossible shares, or unequal numbers of classes.

    Example:
        >>> given_shift([3, 1], [1, 1]).weights_C
        tensor([0.6667, 2.0000], dtype=torch.float64)

    Reference:
        C. Elkan, The Foundations of Cost-Sensitive Learning, 2001, section 2.
    """
    source_C, target_C = checked_shares(source_C), checked_shares(target_C, zero=True)
    if len(source_C) != len(target_C):
        raise InputError(
            f"target_C: expected {len(source_C)} shares, one per class as in source_C, "
            f"got {len(target_C)}"
        )
    return PriorShift(source_C, target_C)


def mean_posterior_C(logits_NC: Tensor) -> Tensor:
    """Mean probability of each class: the shares that the model itself believes in.

    On the source data the shares that go with calibrated logits: with them the
    estimates of a shift are exactly "none" there.

    Args:
        logits_NC: Floating, shape (N, C).

    Returns:
        Float64, shape (C,), of sum 1.

    Raises:
        InputError: Wrong type or shape, NaN, or probabilities.

    Example:
        >>> mean_posterior_C(torch.zeros(3, 4))
        tensor([0.2500, 0.2500, 0.2500, 0.2500], dtype=torch.float64)
    """
    logits_NC = checked_logits(logits_NC)
    check_logits(logits_NC)
    sums = [part.softmax(dim=1).sum(dim=0) for part, _ in blocks(logits_NC)]
    return torch.stack(sums).sum(dim=0).cpu() / len(logits_NC)


def checked_shares(shares_C: Shares, zero: bool = False) -> Tensor:
    """Shares of sum 1 in float64 on the CPU, or an error that says what is wrong.

    Args:
        shares_C: Non-negative numbers with a positive sum, one for each class.
        zero: Whether a share of 0 is allowed.

    Returns:
        Shape (C,).

    Raises:
        InputError: Fewer than two, or one that is negative, 0 or not finite.

    Example:
        >>> checked_shares([1, 3])
        tensor([0.2500, 0.7500], dtype=torch.float64)
    """
    if not isinstance(shares_C, Tensor):
        shares_C = torch.tensor(shares_C, dtype=torch.float64)
    shares_C = shares_C.detach().double().cpu()
    values = shares_C.flatten().tolist()
    least = "0" if zero else "more than 0"
    sound = all(isfinite(v) and (v >= 0 if zero else v > 0) for v in values)
    if shares_C.ndim != 1 or len(values) < 2 or not sound or sum(values) == 0:
        raise InputError(
            f"shares: expected at least 2 finite numbers, each {least}"
            f"{' or more' if zero else ''}, got {[round(v, 6) for v in values]}"
        )
    return shares_C / shares_C.sum()


def _check_classes(logits_NC: Tensor, classes: int) -> None:
    if logits_NC.shape[1] != classes:
        raise InputError(
            f"prior shift: expected logits of {classes} classes, one per share, got "
            f"{logits_NC.shape[1]}"
        )
