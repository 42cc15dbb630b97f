"""Cyclic schedules made of straight lines.

In every formula ``t`` counts the updates made since the cycle began (0 for its first
update) and ``T`` is the cycle's length. A cycle's last update uses the floor exactly;
after it a member of an ensemble is taken.
"""

from collections.abc import Callable
from functools import partial

from dale.errors import InputError
from dale.schedules._numbers import mix, peak_and_floor, positive, whole
from dale.schedules.cyclic import cycle_ends, placed
from dale.schedules.schedule import Schedule, Steps


def triangular(peak: float, steps: Steps, cycles: int, floor: float = 0.0) -> Schedule:
    """Up and down in straight lines: ``η(t) = floor + (peak − floor)(1 − |2x − 1|)``.

    ``x = (t + 1)/T``: the peak is at half of each cycle and the last update uses the
    floor exactly.

    Args:
        peak: Value at half of each cycle, met exactly when its length is even.
        steps: Total length, at least `cycles`.
        cycles: Number of cycles, at least 1.
        floor: Value at the end of each cycle, at most `peak`.

    Returns:
        A schedule with `cycles` ends, placed as `cycle_ends` does.

    Raises:
        InputError: The cycles do not fit or an argument is out of range.

    Example:
        >>> triangular(peak=1.0, steps=8, cycles=2).values()
        [0.5, 1.0, 0.5, 0.0, 0.5, 1.0, 0.5, 0.0]

    Reference:
        Smith 2017, "Cyclical learning rates", arXiv:1506.01186. There ``x = t/T``,
        so that a cycle begins, and does not end, with the floor: the value here is
        that of the paper one step later.
    """
    return _triangles("triangular", _even, peak, steps, cycles, floor)


def triangular2(peak: float, steps: Steps, cycles: int, floor: float = 0.0) -> Schedule:
    """As `triangular`, with half the height in each further cycle.

    ``η(t) = floor + (peak − floor)·2^(−c)·(1 − |2x − 1|)`` in cycle ``c = 0, 1, …``.

    Args:
        peak: Value at half of the first cycle, met exactly when its length is even.
        steps: Total length, at least `cycles`.
        cycles: Number of cycles, at least 1.
        floor: Value at the end of each cycle, at most `peak`.

    Returns:
        A schedule with `cycles` ends, placed as `cycle_ends` does.

    Raises:
        InputError: The cycles do not fit or an argument is out of range.

    Example:
        >>> triangular2(peak=1.0, steps=8, cycles=2).values()
        [0.5, 1.0, 0.5, 0.0, 0.25, 0.5, 0.25, 0.0]

    Reference:
        Smith 2017, arXiv:1506.01186; one step earlier, as for `triangular`.
    """
    return _triangles("triangular2", _halved, peak, steps, cycles, floor)


def exp_range(
    peak: float, steps: Steps, cycles: int, gamma: float, floor: float = 0.0
) -> Schedule:
    """As `triangular`, with a height that decays at every step.

    ``η = floor + (peak − floor)·gamma^(s + 1)·(1 − |2x − 1|)`` at step ``s`` of the
    whole schedule.

    Args:
        peak: Value that the first cycle would reach without decay.
        steps: Total length, at least `cycles`.
        cycles: Number of cycles, at least 1.
        gamma: Decay per step, in (0, 1].
        floor: Value at the end of each cycle, at most `peak`.

    Returns:
        A schedule with `cycles` ends, placed as `cycle_ends` does.

    Raises:
        InputError: The cycles do not fit or an argument is out of range.

    Example:
        >>> exp_range(peak=1.0, steps=4, cycles=1, gamma=0.5).values()
        [0.25, 0.25, 0.0625, 0.0]

    Reference:
        Smith 2017, arXiv:1506.01186; one step earlier, as for `triangular`.
    """
    height = partial(_decayed, gamma=positive("gamma", gamma, most=1))
    return _triangles("exp_range", height, peak, steps, cycles, floor)


def clr(
    peak: float, steps: Steps, up: Steps, floor: float = 0.0, down: Steps | None = None
) -> Schedule:
    """Triangles of a given length, for as long as there are steps.

    ``floor + (peak − floor)·u/up`` for the first `up` updates of a cycle, u = 0, 1, …,
    then down again in `down` updates. Unlike `triangular` it begins with the floor, and
    the last cycle is cut off where the steps end: it has no ends to take members at.

    Args:
        peak: Value after `up` updates of a cycle.
        steps: Total length.
        up: Updates from the floor to the peak, at least 1.
        floor: Value that each cycle begins with, at most `peak`.
        down: Updates from the peak to the next cycle; as many as `up` unless given.

    Returns:
        A schedule without ends.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> clr(peak=1.0, steps=6, up=2).values()
        [0.0, 0.5, 1.0, 0.5, 0.0, 0.5]

    Reference:
        Smith 2017, arXiv:1506.01186: the policy of PyTorch's ``CyclicLR``.
    """
    peak, floor = peak_and_floor(peak, floor)
    up = whole("up", up, least=1)
    down = up if down is None else whole("down", down, least=1)
    function = partial(_clr, up=up, down=down, peak=peak, floor=floor)
    return Schedule(function, whole("steps", steps, least=1), name="clr")


def _clr(step: int, up: int, down: int, peak: float, floor: float) -> float:
    made = step % (up + down)
    return mix(floor, peak, made / up if made <= up else (up + down - made) / down)


def _triangles(
    name: str,
    height: Callable[[int, int], float],
    peak: float,
    steps: int,
    cycles: int,
    floor: float,
) -> Schedule:
    peak, floor = peak_and_floor(peak, floor)
    ends = cycle_ends(steps, cycles)
    function = partial(_triangle, ends=ends, peak=peak, floor=floor, height=height)
    return Schedule(function, steps, ends, name=name)


def _triangle(
    step: int,
    ends: tuple[int, ...],
    peak: float,
    floor: float,
    height: Callable[[int, int], float],
) -> float:
    cycle, made, length = placed(step, ends)
    return mix(floor, peak, _tent(made + 1, length) * height(step, cycle))


def _even(step: int, cycle: int) -> float:
    return 1.0


def _halved(step: int, cycle: int) -> float:
    return 0.5**cycle


def _decayed(step: int, cycle: int, gamma: float) -> float:
    return gamma ** (step + 1)


def fge_triangle(
    peak: float, steps: Steps, cycles: int, floor: float = 0.0
) -> Schedule:
    """Triangle cycles of fast geometric ensembling, ending at the minimum.

    Down from `peak` to `floor`, then up and down again: after ``u`` updates of a
    cycle of length ``c``, with ``x = (u mod c)/c``, the last of them used
    ``(1 − 2x)·peak + 2x·floor`` for ``x ≤ ½`` and ``(2 − 2x)·floor + (2x − 1)·peak``
    otherwise. A member is taken at each minimum, ``x = ½``, so the first cycle is a
    half one and ``c = steps/(cycles − ½)``.

    Args:
        peak: Value between two members, met exactly when the cycle's length is even.
        steps: Total length, at least ``2·cycles − 1``.
        cycles: Number of members, at least 1.
        floor: Value of the update before each member, at most `peak`.

    Returns:
        A schedule with ends ``⌊steps·(2i − 1)/(2·cycles − 1)⌋``, ``i = 1 … cycles``.

    Raises:
        InputError: The cycles do not fit or an argument is out of range.

    Example:
        >>> schedule = fge_triangle(peak=1.0, steps=6, cycles=2)
        >>> schedule.values(), schedule.ends
        ([0.5, 0.0, 0.5, 1.0, 0.5, 0.0], (2, 6))

    Reference:
        Garipov et al. 2018, "Loss surfaces, mode connectivity, and fast ensembling
        of DNNs", arXiv:1802.10026.
    """
    peak, floor = peak_and_floor(peak, floor)
    steps, cycles = whole("steps", steps, least=1), whole("cycles", cycles, least=1)
    halves = 2 * cycles - 1
    if halves > steps:
        raise InputError(
            f"{cycles} triangle cycles do not fit into {steps} steps: they need at "
            f"least {halves}, one for each way down or up"
        )
    ends = tuple(steps * odd // halves for odd in range(1, halves + 1, 2))
    function = partial(_fge_triangle, ends=ends, peak=peak, floor=floor)
    return Schedule(function, steps, ends, name="fge_triangle")


def _fge_triangle(step: int, ends: tuple[int, ...], peak: float, floor: float) -> float:
    cycle, made, length = placed(step, ends)
    if cycle == 0:
        return mix(peak, floor, (made + 1) / length)
    return mix(floor, peak, _tent(made + 1, length))


def _tent(made: int, length: int) -> float:
    """``1 − |2x − 1|`` with ``x = made/length``, the integers subtracted first."""
    return 1 - abs(2 * made - length) / length
