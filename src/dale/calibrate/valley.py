"""The minimum of a convex mean NLL along b, in few reads of the logits."""

from math import copysign, exp, expm1, inf, log
from typing import Literal, NamedTuple

from dale.calibrate.slope import Along, Slope

_TOLERANCE = 1e-10  # of log b


class Minimum(NamedTuple):
    """Where the NLL is lowest.

    Args:
        b: The place.
        nll: The value there, in nats.
        at_bound: The bound of T = 1 / b at which the NLL still falls, if any.
    """

    b: float
    nll: float
    at_bound: Literal["low", "high"] | None


def lowest(
    slope: Slope, low: float, high: float, start: float, close: float
) -> Minimum:
    """The lowest point of a convex function of b in [low, high].

    Newton steps in log b from `start`. A step that leaves the bracket, or does not
    halve the one before, is replaced by bisection; a bound is looked at only when a
    step leads beyond it. Steps end where what the next one leaves out, by its own size
    or by its product with the one before, is below `close`.

    Args:
        slope: The function and its derivatives.
        low: The smallest b, positive.
        high: The largest b.
        start: Where to begin; moved into the range.
        close: A step of log b that is the last.

    Returns:
        The minimum, or the end of the range beyond which it lies.

    Reference:
        J. F. Traub, Iterative Methods for the Solution of Equations, 1964: iteration
        functions with memory, by inverse interpolation.
    """
    ends = log(low), log(high)
    left, right = ends
    unseen, at, last_step = set(ends), log(min(max(start, low), high)), inf
    before: _Point | None = None
    while True:
        here = _Point(at, slope.at(exp(at)))
        unseen.discard(at)
        gradient, change = here.along.slope, here.change
        if at == ends[0] and gradient >= 0:
            return Minimum(low, here.along.nll, "high")  # the smallest b: highest T
        if at == ends[1] and gradient <= 0:
            return Minimum(high, here.along.nll, "low")
        if gradient == 0.0 and change == 0.0:  # and so for every larger b
            return Minimum(high, here.along.nll, "low")
        if gradient == 0.0:
            return Minimum(exp(at), here.along.nll, None)
        left, right = (at, right) if gradient < 0 else (left, at)
        step = -gradient / change if change > 0 else copysign(inf, -gradient)
        there = min(max(at + step, left), right)
        newton = left < there < right and abs(step) <= 0.5 * abs(last_step)
        if newton and before and abs(step * last_step) <= close:
            better = _interpolated(before, here)
            # both leave out a little of the step; where they differ by more, go on
            if left < better < right and abs(better - there) <= 0.1 * abs(step):
                return _end(before, here, better)
        if not newton and there not in unseen:
            there = 0.5 * (left + right)
        last_step = there - at
        if abs(last_step) <= (close if newton else _TOLERANCE):
            return _end(before, here, there)
        before, at = here, there


class _Point(NamedTuple):
    """A place on the axis of log b, and the mean NLL along b there."""

    at: float
    along: Along

    @property
    def change(self) -> float:
        """Derivative of the slope by log b."""
        return exp(self.at) * self.along.curvature


def _interpolated(before: _Point, here: _Point) -> float:
    """Where the slope is zero, by the cubic of log b as a function of the slope."""
    span = here.along.slope - before.along.slope
    if span == 0.0 or before.change <= 0.0:
        return here.at
    t = -before.along.slope / span
    s = t - 1.0
    return (
        (1 + 2 * t) * s * s * before.at
        + t * t * (3 - 2 * t) * here.at
        + t * s * s * span / before.change
        + t * t * s * span / here.change
    )


def _end(before: _Point | None, here: _Point, at: float) -> Minimum:
    """The minimum a small step away, with the NLL there from what is known here."""
    b = exp(here.at)
    move = b * expm1(at - here.at)
    third = 0.0
    if before and before.at != here.at:
        third = (here.along.curvature - before.along.curvature) / (b - exp(before.at))
    curve = here.along.curvature + move * third / 3
    rise = move * (here.along.slope + 0.5 * move * curve)
    return Minimum(b + move, here.along.nll + rise, None)
