"""Schedules in sequence: joined, warmed up, with a constant tail."""

from bisect import bisect_right
from functools import partial
from itertools import accumulate
from typing import Literal

from dale.errors import InputError
from dale.schedules._numbers import finite, mix, whole
from dale.schedules.curves import half_wave
from dale.schedules.schedule import Schedule, Steps


def join(*schedules: Schedule) -> Schedule:
    """One schedule after the other, each counting its steps from 0.

    If any of them has cycles, so has the whole. A part without cycles then belongs
    to the cycle that follows it; after the last cycle it is a cycle of its own.

    Args:
        schedules: At least one.

    Returns:
        A schedule whose length is the sum of the lengths.

    Raises:
        InputError: There is none.

    Example:
        >>> from dale.schedules import constant, cosine_restarts
        >>> cycles = cosine_restarts(peak=0.2, steps=6, cycles=2)
        >>> schedule = join(constant(0.1, steps=4), cycles)
        >>> schedule.steps, schedule.ends, schedule(3), schedule(4)
        (10, (7, 10), 0.1, 0.2)
    """
    if not schedules:
        raise InputError("join needs at least one schedule, got none")
    starts = tuple(accumulate((part.steps for part in schedules), initial=0))
    ends = [
        start + end
        for start, part in zip(starts, schedules, strict=False)
        for end in part.ends
    ]
    if ends and ends[-1] != starts[-1]:
        ends.append(starts[-1])
    name = ", ".join(part.name for part in schedules)
    function = partial(_join, schedules=schedules, starts=starts)
    return Schedule(function, starts[-1], tuple(ends), name=f"join({name})")


def _join(step: int, schedules: tuple[Schedule, ...], starts: tuple[int, ...]) -> float:
    part = bisect_right(starts, step) - 1
    return schedules[part](step - starts[part])


def warmup(
    schedule: Schedule, steps: Steps, first: float = 0.0, prefix: bool = False
) -> Schedule:
    """A straight line that leads into a schedule and meets it exactly.

    With ``W`` steps of warm-up, ``η(t) = first + (target − first)·t/W`` for
    ``t < W``. The target is what the schedule gives at step ``W``, so there is no
    jump where the warm-up ends. By default the line replaces the first ``W`` steps:
    length and ends stay. As a prefix it comes before the schedule, whose first value
    is then the target.

    Args:
        schedule: What to warm up.
        steps: Length ``W`` of the warm-up; 0 leaves the schedule as it is. Unless it
            is a prefix, it ends before the schedule and before its first cycle.
        first: Value at step 0.
        prefix: Put the warm-up before the schedule, which makes the whole longer.

    Returns:
        A schedule; a warm-up belongs to the first cycle.

    Raises:
        InputError: The warm-up does not fit or an argument is out of range.

    Example:
        >>> from dale.schedules import constant, linear
        >>> warmup(linear(first=1.0, last=0.0, steps=5), steps=2).values()
        [0.0, 0.25, 0.5, 0.25, 0.0]
        >>> warmup(constant(0.8, steps=2), steps=2, prefix=True).values()
        [0.0, 0.4, 0.8, 0.8]

    Reference:
        Goyal et al. 2017, "Accurate, large minibatch SGD", arXiv:1706.02677.
    """
    length, first = whole("steps", steps, least=0), finite("first", first)
    if length == 0:
        return schedule
    if prefix:
        ramp = partial(_ramp, first=first, last=schedule(0), length=length)
        return join(Schedule(ramp, length, name="warmup"), schedule)
    room = schedule.ends[0] if schedule.ends else schedule.steps
    if length >= room:
        where = "first cycle" if schedule.ends else "schedule"
        raise InputError(
            f"a warm-up of {length} steps does not fit into the {where}, which has "
            f"{room}"
        )
    ramp = partial(_ramp, first=first, last=schedule(length), length=length)
    function = partial(_warmup, ramp=ramp, schedule=schedule, length=length)
    return Schedule(
        function, schedule.steps, schedule.ends, name=f"warmup({schedule.name})"
    )


def _ramp(step: int, first: float, last: float, length: int) -> float:
    return mix(first, last, step / length)


def _warmup(
    step: int, ramp: "partial[float]", schedule: Schedule, length: int
) -> float:
    return ramp(step) if step < length else schedule(step)


def tail(
    schedule: Schedule,
    value: float,
    steps: Steps,
    anneal: Steps = 0,
    shape: Literal["cosine", "linear"] = "cosine",
) -> Schedule:
    """A schedule followed by a constant tail, as for averaging weights.

    Between them the value moves from the schedule's last one to that of the tail, at
    step ``k`` of the tail by a share ``(k + 1)/(anneal + 1)`` of the way.

    Args:
        schedule: What comes first.
        value: Value of the tail.
        steps: Length of the tail with its annealing, above `anneal`.
        anneal: Steps of annealing, at least 0; 0 jumps to the value.
        shape: Half a cosine wave or a straight line.

    Returns:
        A schedule whose length is the sum of both. If the first has cycles, the tail
        is one more.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> from dale.schedules import constant
        >>> tail(constant(1.0, steps=1), 0.0, steps=4, anneal=1).values()
        [1.0, 0.5, 0.0, 0.0, 0.0]

    Reference:
        Izmailov et al. 2018, arXiv:1803.05407; `swa_tail` is their whole schedule.
    """
    steps, anneal = whole("steps", steps, least=1), whole("anneal", anneal, least=0)
    if anneal >= steps:
        raise InputError(f"anneal must be below steps {steps}, got {anneal}")
    if shape not in ("cosine", "linear"):
        raise InputError(f"shape must be 'cosine' or 'linear', got {shape!r}")
    function = partial(
        _tail,
        first=schedule(schedule.steps - 1),
        last=finite("value", value),
        anneal=anneal,
        cosine=shape == "cosine",
    )
    return join(schedule, Schedule(function, steps, name="tail"))


def _tail(step: int, first: float, last: float, anneal: int, cosine: bool) -> float:
    curve = half_wave if cosine else mix
    return curve(first, last, min(step + 1, anneal + 1) / (anneal + 1))
