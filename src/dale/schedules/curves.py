"""Curved schedules without cycles: one sweep over the whole length.

In every formula ``t`` is the step, counted from 0, and ``T`` the number of steps.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

from dale.errors import InputError
from dale.schedules._numbers import finite, mix, peak_and_floor, positive, whole
from dale.schedules.schedule import Schedule, Steps


def polynomial(
    peak: float,
    steps: Steps,
    power: float = 0.9,
    floor: float = 0.0,
    endpoint: bool = False,
) -> Schedule:
    """The "poly" policy: ``η(t) = floor + (peak − floor)·(1 − t/T)^power``.

    Args:
        peak: Value at the first step.
        steps: Total length ``T``, at least 1.
        power: Exponent, above 0; 1 is a straight line.
        floor: Value at ``t = T``, one step past the end, at most `peak`.
        endpoint: Divide by ``T − 1`` instead, so that the last step uses the floor.

    Returns:
        A schedule without cycles.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> polynomial(peak=1.0, steps=4, power=2).values()
        [1.0, 0.5625, 0.25, 0.0625]

    Reference:
        Chen, Papandreou, Kokkinos, Murphy, Yuille 2016, "DeepLab", arXiv:1606.00915.
    """
    peak, floor = peak_and_floor(peak, floor)
    function = partial(
        _polynomial,
        peak=peak,
        power=positive("power", power),
        floor=floor,
        gaps=gaps_of(steps, endpoint),
    )
    return Schedule(function, steps, name="polynomial")


def _polynomial(step: int, peak: float, power: float, floor: float, gaps: int) -> float:
    return mix(floor, peak, ((gaps - step) / gaps) ** power)


def inverse_sqrt(peak: float, steps: Steps, warmup: Steps = 1) -> Schedule:
    """Rise, then decay with the root: ``η(t) = peak·min(u/w, √(w/u))``, ``u = t + 1``.

    Args:
        peak: Largest value, reached exactly after ``w`` updates.
        steps: Total length, at least 1.
        warmup: Updates ``w`` until the peak, at least 1; 1 starts at the peak.

    Returns:
        A schedule without cycles.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> inverse_sqrt(peak=1.0, steps=8, warmup=2).values()[::7]
        [0.5, 0.5]

    Reference:
        Vaswani et al. 2017, "Attention is all you need", arXiv:1706.03762. There the
        peak is ``1/√(d·w)`` with the width ``d`` of the model; here it is given.
    """
    function = partial(
        _inverse_sqrt,
        peak=finite("peak", peak),
        warmup=whole("warmup", warmup, least=1),
    )
    return Schedule(function, steps, name="inverse_sqrt")


def _inverse_sqrt(step: int, peak: float, warmup: int) -> float:
    made = step + 1
    return peak * min(made / warmup, math.sqrt(warmup / made))


def cosine(
    peak: float, steps: Steps, floor: float = 0.0, endpoint: bool = False
) -> Schedule:
    """Half a cosine wave: ``η(t) = floor + ½(peak − floor)(1 + cos(π t/T))``.

    Args:
        peak: Value at the first step.
        steps: Total length ``T``, at least 1.
        floor: Value at ``t = T``, one step past the end, at most `peak`.
        endpoint: Divide by ``T − 1`` instead, so that the last step uses the floor.

    Returns:
        A schedule without cycles.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> [round(value, 3) for value in cosine(peak=1.0, steps=4).values()]
        [1.0, 0.854, 0.5, 0.146]

    Reference:
        Loshchilov, Hutter 2017, "SGDR", arXiv:1608.03983, with a single cycle.
    """
    peak, floor = peak_and_floor(peak, floor)
    function = partial(_cosine, peak=peak, floor=floor, gaps=gaps_of(steps, endpoint))
    return Schedule(function, steps, name="cosine")


def _cosine(step: int, peak: float, floor: float, gaps: int) -> float:
    return half_wave(peak, floor, step / gaps)


def one_cycle(
    peak: float,
    steps: Steps,
    rise: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    shape: Literal["cosine", "linear"] = "cosine",
) -> Schedule:
    """Up to the peak, then far down: the 1cycle policy.

    From ``peak/div_factor`` at the first step to `peak` after ``rise·T`` updates,
    then to ``peak/(div_factor·final_div_factor)`` at the last step, each way half a
    cosine wave or a straight line.

    Args:
        peak: Largest value, met exactly.
        steps: Total length ``T``, at least 3.
        rise: Share of the steps on the way up, in (0, 1). The peak is at step
            ``round(rise·T) − 1``, kept off the first and the last step.
        div_factor: Peak divided by the first value, at least 1.
        final_div_factor: First value divided by the last, at least 1.
        shape: Curve of both ways.

    Returns:
        A schedule without cycles: it has no second peak.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> schedule = one_cycle(peak=1.0, steps=10, div_factor=4, shape="linear")
        >>> [round(value, 3) for value in schedule.values()[:4]]
        [0.25, 0.625, 1.0, 0.857]

    Reference:
        Smith, Topin 2018, "Super-convergence", arXiv:1708.07120. Momentum goes the
        other way: give it a second schedule.
    """
    steps = whole("steps", steps, least=3)
    peak = positive("peak", peak)
    rise = positive("rise", rise, most=1)
    if shape not in ("cosine", "linear"):
        raise InputError(f"shape must be 'cosine' or 'linear', got {shape!r}")
    first = peak / _at_least_one("div_factor", div_factor)
    last = first / _at_least_one("final_div_factor", final_div_factor)
    function = partial(
        _one_cycle,
        values=(first, peak, last),
        top=min(max(round(rise * steps) - 1, 1), steps - 2),
        bottom=steps - 1,
        curve=half_wave if shape == "cosine" else mix,
    )
    return Schedule(function, steps, name="one_cycle")


def _one_cycle(
    step: int,
    values: tuple[float, float, float],
    top: int,
    bottom: int,
    curve: Callable[[float, float, float], float],
) -> float:
    first, peak, last = values
    if step <= top:
        return curve(first, peak, step / top)
    return curve(peak, last, (step - top) / (bottom - top))


def _at_least_one(name: str, value: object) -> float:
    number = finite(name, value)
    if number < 1:
        raise InputError(f"{name} must be at least 1, got {number:g}")
    return number


def swa_tail(peak: float, steps: Steps, tail: float, start: Steps) -> Schedule:
    """High, then down to a constant tail whose weights are averaged.

    The peak until half of `start`, a straight line to `tail` until 9/10 of it, and
    `tail` from there on. Weights are averaged from step `start`.

    Args:
        peak: Value at the first step.
        steps: Total length, above `start`.
        tail: Value of the constant tail, above or below the peak.
        start: Step from which weights are averaged, at least 1. Customary: 75 % of
            the steps.

    Returns:
        A schedule without cycles.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> swa_tail(peak=1.0, steps=12, tail=0.0, start=10).values()[4:10]
        [1.0, 1.0, 0.75, 0.5, 0.25, 0.0]

    Reference:
        Izmailov et al. 2018, "Averaging weights leads to wider optima and better
        generalization", arXiv:1803.05407. There the rate changes once an epoch, here
        at every step.
    """
    steps = whole("steps", steps, least=2)
    start = whole("start", start, least=1)
    if start >= steps:
        raise InputError(
            f"start must come before the end at {steps} steps, got {start}"
        )
    function = partial(
        _swa_tail, peak=finite("peak", peak), tail=finite("tail", tail), start=start
    )
    return Schedule(function, steps, name="swa_tail")


def _swa_tail(step: int, peak: float, tail: float, start: int) -> float:
    # (t/start − 1/2) / (9/10 − 1/2), with the integers subtracted first
    done = (10 * step - 5 * start) / (4 * start)
    return mix(peak, tail, min(max(done, 0.0), 1.0))


def half_wave(first: float, last: float, done: float) -> float:
    """From `first` to `last` along half a cosine wave, exact at both ends.

    Example:
        >>> half_wave(1.0, 0.0, 0.5), half_wave(0.1, 0.7, 1.0)
        (0.5, 0.7)
    """
    return mix(first, last, (1 - math.cos(math.pi * done)) / 2)


def gaps_of(steps: int, endpoint: bool) -> int:
    """What the step is divided by: the length, or one less to end on the floor.

    Raises:
        InputError: One step cannot be both the peak and the floor.

    Example:
        >>> gaps_of(5, endpoint=False), gaps_of(5, endpoint=True)
        (5, 4)
    """
    steps = whole("steps", steps, least=1)
    if not isinstance(endpoint, bool):
        raise InputError(f"endpoint must be true or false, got {endpoint!r}")
    if endpoint and steps == 1:
        raise InputError("endpoint=True needs at least 2 steps, got 1")
    return steps - endpoint
