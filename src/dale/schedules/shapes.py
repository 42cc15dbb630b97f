"""Constant, straight, stepped and exponential schedules, without cycles.

In every formula ``t`` is the step, counted from 0, and ``T`` the number of steps.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from dale.errors import InputError
from dale.schedules._numbers import finite, mix, peak_and_floor, positive, whole
from dale.schedules.schedule import Schedule, Steps


def constant(value: float, steps: Steps) -> Schedule:
    """The same value at every step: ``η(t) = value``.

    Args:
        value: Any finite number.
        steps: Total length, at least 1.

    Returns:
        A schedule without cycles.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> constant(0.1, steps=3).values()
        [0.1, 0.1, 0.1]
    """
    return Schedule(
        partial(_constant, value=finite("value", value)), steps, name="constant"
    )


def _constant(step: int, value: float) -> float:
    return value


def linear(first: float, last: float, steps: Steps) -> Schedule:
    """A straight line: ``η(t) = first + (last − first)·t/(T − 1)``.

    Both ends are met exactly: `first` at step 0 and `last` at step ``T − 1``.

    Args:
        first: Value at the first step.
        last: Value at the last step; above or below `first`.
        steps: Total length, at least 2 unless both values are equal.

    Returns:
        A schedule without cycles.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> linear(first=1.0, last=0.0, steps=5).values()
        [1.0, 0.75, 0.5, 0.25, 0.0]
    """
    first, last = finite("first", first), finite("last", last)
    steps = _two_ends(first, last, steps)
    function = partial(_linear, first=first, last=last, gaps=max(steps - 1, 1))
    return Schedule(function, steps, name="linear")


def _linear(step: int, first: float, last: float, gaps: int) -> float:
    return mix(first, last, step / gaps)


def geometric(first: float, last: float, steps: Steps) -> Schedule:
    """A constant ratio from step to step: ``η(t) = first·(last/first)^(t/(T − 1))``.

    The exponential curve given by its two ends, which are met exactly; rising, it is
    the sweep of a learning-rate range test. `exponential` is the same curve given by
    its rate.

    Args:
        first: Value at the first step, above 0.
        last: Value at the last step, above 0; above or below `first`.
        steps: Total length, at least 2 unless both values are equal.

    Returns:
        A schedule without cycles.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> [round(value, 12) for value in geometric(0.001, 10, steps=5).values()]
        [0.001, 0.01, 0.1, 1.0, 10.0]
    """
    first, last = positive("first", first), positive("last", last)
    steps = _two_ends(first, last, steps)
    function = partial(_geometric, first=first, last=last, gaps=max(steps - 1, 1))
    return Schedule(function, steps, name="geometric")


def _geometric(step: int, first: float, last: float, gaps: int) -> float:
    if step in (0, gaps):  # exp(log(first)) may miss `first` by a rounding error
        return last if step else first
    value = math.exp(mix(math.log(first), math.log(last), step / gaps))
    return min(max(value, min(first, last)), max(first, last))


def _two_ends(first: float, last: float, steps: int) -> int:
    steps = whole("steps", steps, least=1)
    if steps == 1 and first != last:
        raise InputError(f"one step cannot hold both {first:g} and {last:g}")
    return steps


def step_decay(
    peak: float, steps: Steps, every: Steps, factor: float = 0.1
) -> Schedule:
    """A drop by a factor at equal distances: ``η(t) = peak·factor^⌊t/every⌋``.

    Args:
        peak: Value at the first step.
        steps: Total length, at least 1.
        every: Steps between two drops, at least 1.
        factor: What a drop multiplies with, in (0, 1].

    Returns:
        A schedule without cycles.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> step_decay(peak=1.0, steps=6, every=2, factor=0.5).values()
        [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """
    function = partial(
        _step_decay,
        peak=finite("peak", peak),
        every=whole("every", every, least=1),
        factor=positive("factor", factor, most=1),
    )
    return Schedule(function, steps, name="step_decay")


def _step_decay(step: int, peak: float, every: int, factor: float) -> float:
    return peak * factor ** (step // every)


def milestones(
    peak: float, steps: Steps, at: tuple[Steps, ...], factor: float = 0.1
) -> Schedule:
    """A drop by a factor at given steps: ``η(t) = peak·factor^#{m in at: m ≤ t}``.

    Args:
        peak: Value at the first step.
        steps: Total length, at least 1.
        at: Steps that are the first with the lower value; strictly increasing, each
            in [1, `steps`). Customary for image classifiers: 50 % and 75 % of the
            steps.
        factor: What a drop multiplies with, in (0, 1].

    Returns:
        A schedule without cycles.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> milestones(peak=1.0, steps=6, at=(3, 5), factor=0.5).values()
        [1.0, 1.0, 1.0, 0.5, 0.5, 0.25]
    """
    steps = whole("steps", steps, least=1)
    if isinstance(at, str) or not isinstance(at, Sequence):
        raise InputError(f"at must be a sequence of steps, got {at!r}")
    places = tuple(whole("a milestone", place, least=1) for place in at)
    for before, after in pairwise(places):
        if after <= before:
            raise InputError(f"milestones must increase, got {before} before {after}")
    if places and places[-1] >= steps:
        raise InputError(
            f"a milestone must come before the end at {steps} steps, got {places[-1]}"
        )
    function = partial(
        _milestones,
        peak=finite("peak", peak),
        at=places,
        factor=positive("factor", factor, most=1),
    )
    return Schedule(function, steps, name="milestones")


def _milestones(step: int, peak: float, at: tuple[int, ...], factor: float) -> float:
    return peak * factor ** bisect_right(at, step)


def exponential(peak: float, steps: Steps, rate: float, floor: float = 0.0) -> Schedule:
    """Decay at a rate per step: ``η(t) = floor + (peak − floor)·exp(−rate·t)``.

    Args:
        peak: Value at the first step.
        steps: Total length, at least 1.
        rate: Decay λ per step, above 0; ``−ln γ`` for a factor γ per step.
        floor: Value that is approached and never passed, at most `peak`.

    Returns:
        A schedule without cycles.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> [round(value, 4) for value in exponential(1.0, steps=3, rate=0.5).values()]
        [1.0, 0.6065, 0.3679]
    """
    peak, floor = peak_and_floor(peak, floor)
    function = partial(
        _exponential, peak=peak, rate=positive("rate", rate), floor=floor
    )
    return Schedule(function, steps, name="exponential")


def _exponential(step: int, peak: float, rate: float, floor: float) -> float:
    return mix(floor, peak, math.exp(-rate * step))
