"""Schedules altered: stretched, held, repeated, scaled."""

from bisect import bisect_right
from functools import partial
from itertools import pairwise

from dale.errors import InputError
from dale.schedules._numbers import finite, mix, whole
from dale.schedules.schedule import Schedule, Steps


def stretch(schedule: Schedule, steps: Steps) -> Schedule:
    """The same curve over another number of steps.

    Ends move to ``⌊e·steps/old steps⌋``. Within each cycle, or within the whole when
    there is none, the first and the last value keep their places and the rest is
    interpolated linearly; a cycle that shrinks to one step keeps its last value.

    Args:
        schedule: What to stretch or to shorten.
        steps: New length, at least the number of cycles.

    Returns:
        A schedule of that length with as many cycles.

    Raises:
        InputError: A cycle would have no step, or `steps` is out of range.

    Example:
        >>> from dale.schedules import linear
        >>> stretch(linear(first=0.0, last=2.0, steps=3), steps=5).values()
        [0.0, 0.5, 1.0, 1.5, 2.0]
    """
    steps = whole("steps", steps, least=1)
    old = schedule.ends or (schedule.steps,)
    new = tuple(end * steps // schedule.steps for end in old)
    for number, (start, end) in enumerate(pairwise((0, *new)), start=1):
        if start == end:
            raise InputError(
                f"{schedule.name} does not fit into {steps} steps: cycle {number} of "
                f"{len(new)} would have none"
            )
    function = partial(_stretch, schedule=schedule, old=old, new=new)
    name = f"stretch({schedule.name})"
    return Schedule(function, steps, new if schedule.ends else (), name=name)


def _stretch(
    step: int, schedule: Schedule, old: tuple[int, ...], new: tuple[int, ...]
) -> float:
    cycle = bisect_right(new, step)
    start, origin = (new[cycle - 1], old[cycle - 1]) if cycle else (0, 0)
    gaps, wide = new[cycle] - 1 - start, old[cycle] - 1 - origin
    if gaps == 0:
        return schedule(old[cycle] - 1)
    left, part = divmod((step - start) * wide, gaps)
    left += origin
    return (
        mix(schedule(left), schedule(left + 1), part / gaps)
        if part
        else (schedule(left))
    )


def hold(schedule: Schedule, every: Steps) -> Schedule:
    """Each value held for `every` steps: a schedule counted in epochs, say.

    Args:
        schedule: What to slow down.
        every: Steps for which a value is held, at least 1.

    Returns:
        A schedule `every` times as long, with its ends moved likewise.

    Raises:
        InputError: `every` is out of range.

    Example:
        >>> from dale.schedules import linear
        >>> hold(linear(first=2.0, last=1.0, steps=2), every=3).values()
        [2.0, 2.0, 2.0, 1.0, 1.0, 1.0]
    """
    every = whole("every", every, least=1)
    function = partial(_hold, schedule=schedule, every=every)
    ends = tuple(end * every for end in schedule.ends)
    return Schedule(
        function, schedule.steps * every, ends, name=f"hold({schedule.name})"
    )


def _hold(step: int, schedule: Schedule, every: int) -> float:
    return schedule(step // every)


def repeat(schedule: Schedule, times: int) -> Schedule:
    """A schedule again and again.

    Args:
        schedule: What to repeat.
        times: How often it is played in all, at least 1.

    Returns:
        A schedule `times` as long. Its cycles are those of each repetition; a
        schedule without cycles becomes one cycle for each.

    Raises:
        InputError: `times` is out of range.

    Example:
        >>> from dale.schedules import linear
        >>> schedule = repeat(linear(first=1.0, last=0.0, steps=3), times=2)
        >>> schedule.values(), schedule.ends
        ([1.0, 0.5, 0.0, 1.0, 0.5, 0.0], (3, 6))
    """
    times, period = whole("times", times, least=1), schedule.steps
    inner = schedule.ends or (period,)
    ends = tuple(period * turn + end for turn in range(times) for end in inner)
    function = partial(_repeat, schedule=schedule)
    return Schedule(function, period * times, ends, name=f"repeat({schedule.name})")


def _repeat(step: int, schedule: Schedule) -> float:
    return schedule(step % schedule.steps)


def scale(schedule: Schedule, factor: float) -> Schedule:
    """Every value multiplied by a factor; length and ends stay.

    Args:
        schedule: What to scale.
        factor: Any finite number.

    Returns:
        A schedule.

    Raises:
        InputError: The factor is not finite.

    Example:
        >>> from dale.schedules import constant
        >>> scale(constant(0.5, steps=2), factor=4).values()
        [2.0, 2.0]
    """
    function = partial(_scale, schedule=schedule, factor=finite("factor", factor))
    return Schedule(
        function, schedule.steps, schedule.ends, name=f"scale({schedule.name})"
    )


def _scale(step: int, schedule: Schedule, factor: float) -> float:
    return schedule(step) * factor
