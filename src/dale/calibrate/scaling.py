"""Temperature scaling by a convex solve in one variable.

Shapes: N examples, C classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self, cast

import torch
from torch import Tensor

from dale.calibrate.calibrator import (
    Header,
    check_saved,
    checked_to_fit,
    gain_in_words,
)
from dale.calibrate.slope import Slope
from dale.calibrate.valley import lowest
from dale.errors import InputError
from dale.metrics import blocks, check_shape, nll

_RANGE = 1e4  # b is sought within this factor of 1 / (scale of the logits)
_CLOSE = 1e-5  # a Newton step that is the last: it squares what is missing
_CLOSE_FLOAT32 = 3e-4  # the same where the sums are in float32
_CLOSE_GLANCED = 1e-2  # the same where only a start is looked for
_SHARE = 8  # a problem is solved first on one in so many of its examples, ...
_GLANCED = 2**12, 2**20  # ... on no fewer and no more logits than these
_FACTS = ("nll_before", "nll_after", "at_bound", "n")


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature T: the calibrated probabilities are softmax(z / T).

    Args:
        value: T > 0. Above 1 the model was over-confident, below 1 under-confident.
        nll_before: Mean NLL of the fitting data at T = 1, in nats.
        nll_after: The same at ``value``; never larger.
        at_bound: ``low`` or ``high`` where the NLL was still falling at the smallest
            or largest T that is tried, so that no finite optimum exists in the range;
            None otherwise. At ``low`` the value is 1.
        n: Number of examples it was fitted to.

    Example:
        >>> fitted = Temperature(2.0, 0.9, 0.7, None, 100)
        >>> fitted.apply(torch.tensor([[4.0, 1.0]]))
        tensor([[2.0000, 0.5000]], dtype=torch.float64)
        >>> fitted.describe()
        'temperature 2 from 100 examples: NLL 0.9000 -> 0.7000'
    """

    value: float
    nll_before: float
    nll_after: float
    at_bound: Literal["low", "high"] | None
    n: int

    def apply(self, logits_NC: Tensor) -> Tensor:
        """Logits divided by T, in float64; differentiable.

        Division by a positive number is monotone, so the order of all logits, within
        an example and between examples, stays as it was, and with it the arg-max and
        the ROC curve and AUC of any score that is a logit. The result is float64
        because rounding to float32 could merge neighbouring float32 logits into ties:
        quotients of distinct float32 numbers stay distinct in float64, and equal ones
        equal. (Logits that are float64 already keep their order, but two that differ
        in the last bit only may become equal.) A *difference* of two logits, the score
        of a two-class softmax, is divided by T up to float64 rounding.

        Args:
            logits_NC: Floating, shape (N, C); -inf stays -inf.

        Returns:
            Float64, shape (N, C).

        Raises:
            InputError: Wrong type or shape.
        """
        check_shape(logits_NC, "logits_NC")
        return logits_NC.double() / self.value

    def describe(self) -> str:
        """One line in words, with a warning where T is at a bound of the search."""
        gain = gain_in_words(self.n, self.nll_before, self.nll_after)
        text = f"temperature {self.value:.4g} {gain}"
        if self.at_bound == "low":
            text += (
                "; left as it is: the NLL falls all the way to temperature 0, as it "
                "does when every target has the largest logit"
            )
        if self.at_bound == "high":
            text += (
                "; no optimum: the NLL still falls at the highest temperature tried, "
                "as it does when the logits tell nothing about the targets, or a few "
                "of them are enormous and wrong"
            )
        return text

    def tensors(self) -> dict[str, Tensor]:
        """The temperature, float64, shape (1,)."""
        return {"temperature": torch.tensor([self.value], dtype=torch.float64)}

    def header(self) -> Header:
        """Its name and the facts of the fit."""
        facts: Header = {name: getattr(self, name) for name in _FACTS}
        return {"calibrator": "temperature", **facts}

    @classmethod
    def load(
        cls, tensors: Mapping[str, Tensor], header: Mapping[str, str | float | None]
    ) -> Self:
        """The inverse of ``tensors`` and ``header``."""
        check_saved(tensors, header, "temperature", ("temperature",), _FACTS)
        before, after, at_bound, n = (cast(float, header[name]) for name in _FACTS)
        value = float(tensors["temperature"])
        if not value > 0:
            raise InputError(f"temperature: expected a number > 0, got {value}")
        bound = cast(Literal["low", "high"] | None, at_bound)
        return cls(value, before, after, bound, int(n))


def fit_temperature(logits_NC: Tensor, targets_N: Tensor) -> Temperature:
    """The temperature that minimises the mean NLL of softmax(z / T).

    With ``b = 1 / T`` the mean NLL is convex; its derivative is
    ``g(b) = mean_i (E_i[z] - z_iy)`` and the derivative of that
    ``mean_i Var_i[z] >= 0``, expectations under ``softmax(b z_i)``. The root of g is
    bracketed and found by Newton steps in log b; a step that leaves the bracket or
    does not halve the one before is replaced by bisection, so it cannot diverge. The
    last two points, each with its slope and curvature, give the end by inverse cubic
    interpolation, whose error is of the order of the square of the product of the
    last two steps.

    The range of T is a factor of 10^4 to either side of the *scale* of the logits
    (the median over examples of the distance between the largest logit and the next
    lower one, which classes masked by a huge negative logit do not disturb), widened
    where needed to contain T = 1. So the units of the logits do not matter:
    multiplying them by s multiplies an optimal T by s. Where the NLL keeps falling up
    to the upper bound, that is returned and flagged in ``at_bound``. Where it keeps
    falling towards 0, as when every target has the largest logit, the examples set
    no limit to the confidence: T stays 1, flagged too, since the lowest temperature
    would make the first mistake on other examples cost thousands of nats. If every
    row is constant, no temperature changes anything and T is 1.

    Evenly spaced rows give the scale, and where the search begins. More than two
    million logits that are not float64 are worked on in float32, their own rounding;
    T is then right to about 1e-7. Memory beyond the inputs stays bounded: rows are
    taken in blocks.

    Args:
        logits_NC: Floating, shape (N, C); log-probabilities, also with -inf for
            classes that are not the target, are valid logits.
        targets_N: Integer classes in [0, C), shape (N,).

    Returns:
        The fitted temperature.

    Raises:
        InputError: Wrong types, shapes, labels, NaN; probabilities instead of logits;
            or a target with a logit of -inf, whose NLL no temperature makes finite.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0]]).repeat(4, 1)
        >>> fitted = fit_temperature(logits, torch.tensor([0, 0, 0, 1]))
        >>> round(fitted.value, 6)  # 2 / T = log 3, the log-odds of 3 in 4
        1.820478

    Reference:
        C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, On Calibration of Modern Neural
        Networks, 2017, arXiv 1706.04599. They use L-BFGS on T, which can diverge or
        turn negative; the objective is the same.
    """
    logits_NC, targets_N = checked_to_fit(logits_NC, targets_N)
    count = len(targets_N)
    rows = _glance(logits_NC)
    glanced_NC = logits_NC[rows]
    scale = _gap(glanced_NC[::_SHARE]) or _gap(logits_NC)
    if scale == 0.0:  # every row is constant
        before = nll(logits_NC, targets_N)
        return Temperature(1.0, before, before, None, count)
    whole = Slope(logits_NC, targets_N, scale)
    before = whole.nll(scale)
    # b is in units of 1 / scale; T = 1 is b = scale
    low, high = min(1 / _RANGE, scale), max(_RANGE, scale)
    start = 1.0
    if len(rows) < count:
        part = Slope(glanced_NC, targets_N[rows], scale)
        start = lowest(part, low, high, start, _CLOSE_GLANCED).b
    close = _CLOSE if whole.exact else _CLOSE_FLOAT32
    b, after, at_bound = lowest(whole, low, high, start, close)
    value = scale / b
    # no example says how sure to be at most, or rounding alone: T = 1 lies in the range
    if at_bound == "low" or after > before:
        value, after = 1.0, before
    return Temperature(value, before, after, at_bound, count)


def _glance(logits_NC: Tensor) -> Tensor:
    """Evenly spaced rows that stand for all of them; every row of a small problem."""
    count, classes = logits_NC.shape
    fewest, most = _GLANCED
    wanted = min(max(logits_NC.numel() // _SHARE, fewest), most) // classes
    kept = max(1, min(count, wanted))
    return torch.arange(kept) * count // kept


def _gap(logits_NC: Tensor) -> float:
    """Median, over the rows that have one, of the least distance below the maximum."""
    gaps = []
    for part, _ in blocks(logits_NC):
        below = part.amax(dim=1, keepdim=True) - part
        gaps.append(below.masked_fill_(below == 0.0, torch.inf).amin(dim=1))
    gaps_N = torch.cat(gaps)
    gaps_N = gaps_N[gaps_N < torch.inf]
    return float(gaps_N.median()) if len(gaps_N) else 0.0
