"""Where cycles end, and cosine annealing with warm restarts.

In every formula ``t`` counts the updates made since the cycle began (0 for its first
update) and ``T`` is the cycle's length. A cycle's smallest value falls on its last
update, after which a member of an ensemble is taken.
"""

from bisect import bisect_right
from fractions import Fraction
from functools import partial
from itertools import accumulate, pairwise

from dale.errors import InputError
from dale.schedules._numbers import peak_and_floor, positive, whole
from dale.schedules.curves import gaps_of, half_wave
from dale.schedules.schedule import Schedule, Steps


def cycle_ends(
    steps: Steps, cycles: int, length_factor: float = 1.0
) -> tuple[int, ...]:
    """Ends of cycles that fill `steps` exactly: ``e_i = ⌊steps·S_i/S_cycles⌋``.

    ``S_i = 1 + f + … + f^(i−1)`` with the length factor ``f``, taken as the decimal
    fraction that it is written as. All arithmetic is on integers: no logarithm and
    no rounding can move an end, and what does not divide evenly is spread over the
    cycles, whose lengths differ by at most one step when ``f = 1``.

    Args:
        steps: Total length, at least `cycles`.
        cycles: Number of cycles, at least 1.
        length_factor: Length of a cycle relative to the one before, above 0.

    Returns:
        Strictly increasing integers; the last equals `steps`.

    Raises:
        InputError: A cycle would have no step, or an argument is out of range.

    Example:
        >>> cycle_ends(10, cycles=3)
        (3, 6, 10)
        >>> cycle_ends(70, cycles=3, length_factor=2)
        (10, 30, 70)
    """
    steps = whole("steps", steps, least=1)
    cycles = whole("cycles", cycles, least=1)
    if cycles > steps:
        raise InputError(
            f"{cycles} cycles do not fit into {steps} steps: each needs at least one"
        )
    sums = list(accumulate(_lengths(cycles, positive("length_factor", length_factor))))
    ends = tuple(steps * part // sums[-1] for part in sums)
    for number, (start, end) in enumerate(pairwise((0, *ends)), start=1):
        if start == end:
            raise InputError(
                f"{cycles} cycles with length_factor {length_factor:g} do not fit into "
                f"{steps} steps: cycle {number} would have none"
            )
    return ends


def _lengths(cycles: int, factor: float) -> list[int]:
    """Integers in the proportion 1 : f : f² and so on."""
    # repr(1.1) is "1.1", which means 11/10 to whoever wrote it
    top, bottom = Fraction(repr(factor)).as_integer_ratio()
    return [top**i * bottom ** (cycles - 1 - i) for i in range(cycles)]


def cosine_restarts(
    peak: float,
    steps: Steps,
    cycles: int,
    floor: float = 0.0,
    length_factor: float = 1.0,
    peak_factor: float = 1.0,
    endpoint: bool = False,
) -> Schedule:
    """Cosine annealing, restarted: ``η(t) = floor + ½(peak − floor)(1 + cos(π t/T))``.

    Each cycle begins at its peak exactly. The schedule of snapshot ensembles: a
    member is taken at the end of every cycle.

    Args:
        peak: Value at the start of the first cycle.
        steps: Total length, at least `cycles`.
        cycles: Number of cycles, at least 1.
        floor: Value at ``t = T``, one step past each cycle; at most the last peak.
        length_factor: Length of a cycle relative to the one before, above 0.
        peak_factor: Peak of a cycle relative to the one before, in (0, 1].
        endpoint: Divide by ``T − 1`` instead, so that the last update of each cycle
            uses the floor exactly; cycles then need at least two steps.

    Returns:
        A schedule with `cycles` ends, placed as `cycle_ends` does.

    Raises:
        InputError: The cycles do not fit or an argument is out of range.

    Example:
        >>> schedule = cosine_restarts(peak=1.0, steps=8, cycles=2)
        >>> [round(value, 3) for value in schedule.values()]
        [1.0, 0.854, 0.5, 0.146, 1.0, 0.854, 0.5, 0.146]
        >>> schedule.ends
        (4, 8)

    Reference:
        Loshchilov, Hutter 2017, "SGDR", arXiv:1608.03983; Huang et al. 2017,
        "Snapshot ensembles", arXiv:1704.00109. There all cycles but the last have
        ``⌈steps/cycles⌉`` steps, and the last what is left; here they are even.
    """
    peak, floor = peak_and_floor(peak, floor)
    peak_factor = positive("peak_factor", peak_factor, most=1)
    ends = cycle_ends(steps, cycles, length_factor)
    lowest = peak * peak_factor ** (cycles - 1)
    if lowest < floor:
        raise InputError(
            f"the last cycle's peak must not lie below floor {floor:g}, got {lowest:g}"
        )
    for start, end in pairwise((0, *ends)):
        gaps_of(end - start, endpoint)
    function = partial(
        _cosine_restarts,
        ends=ends,
        peak=peak,
        floor=floor,
        peak_factor=peak_factor,
        endpoint=endpoint,
    )
    return Schedule(function, steps, ends, name="cosine_restarts")


def _cosine_restarts(
    step: int,
    ends: tuple[int, ...],
    peak: float,
    floor: float,
    peak_factor: float,
    endpoint: bool,
) -> float:
    cycle, made, length = placed(step, ends)
    done = made / (length - endpoint)
    return half_wave(peak * peak_factor**cycle, floor, done)


def placed(step: int, ends: tuple[int, ...]) -> tuple[int, int, int]:
    """Cycle of a step, updates of that cycle already made, and its length.

    Example:
        >>> placed(3, ends=(2, 5))
        (1, 1, 3)
    """
    cycle = bisect_right(ends, step)
    start = ends[cycle - 1] if cycle else 0
    return cycle, step - start, ends[cycle] - start
