"""A standard run, then a tail that explores around what it found."""

from itertools import pairwise

from dale.errors import RecipeError
from dale.schedules import Schedule, constant, fge_triangle, join, linear, swa_tail
from dale.train.collect import AverageCollector, Collector, Span, stride_of
from dale.train.specs import Length, ScheduleSpec, steps_of
from dale.train.strategies.parts import cut, even_ends, standard, warmed
from dale.train.trajectory import Budget, Trajectory, with_snapshots


def swa(
    budget: Budget,
    *,
    peak: float = 0.1,
    rate: float = 0.05,
    floor: float | None = None,
    start: Length = "75%",
    every: Length = "1 epoch",
    warmup: Length = 0,
) -> list[Trajectory]:
    """A standard run, then a tail at a constant or cyclic rate that is averaged.

    Izmailov et al. 2018 (arXiv 1803.05407): the rate stays at `peak` for half of the
    first part, falls on a straight line to `rate` until nine tenths of it, and stays.
    With `floor` the tail is cyclic: in each cycle the rate falls on a straight line
    from `rate` to `floor`, and the weights at the cycle's end enter the mean. The
    mean becomes one network, with its normalisation statistics re-estimated.

    Args:
        budget: What may be spent.
        peak: Rate at the start.
        rate: Constant rate of the tail, or where each of its cycles begins.
        floor: Where each cycle of the tail ends; without it the tail is constant.
        start: Where the tail begins.
        every: Distance between two models that enter the mean: a cycle's length, to
            the nearest that fills the tail with whole cycles.
        warmup: Length of a linear warm-up.

    Returns:
        One trajectory.

    Raises:
        RecipeError: The tail is empty or no model enters the mean.
    """
    steps, begin = budget.steps, steps_of(start, budget.steps, budget.per_epoch)
    at = tuple(stride_of(Span(steps, budget.per_epoch, budget.seed), start, every))
    if begin < 1:
        raise RecipeError(
            f"start {start!r} and every {every!r} leave no model to average in "
            f"{steps} steps after a first part"
        )
    whole = swa_tail(peak=peak, steps=steps, tail=rate, start=begin)
    if floor is not None:
        stride = steps_of(every, steps, budget.per_epoch)
        ends = even_ends(steps - begin, max(1, round((steps - begin) / stride)))
        falls = [_fall(rate, floor, b - a) for a, b in pairwise((0, *ends))]
        whole, at = join(cut(whole, begin), *falls), tuple(begin + e for e in ends)

    def collectors() -> tuple[Collector, ...]:
        return (AverageCollector(at, steps),)

    whole = warmed(whole, budget, warmup)
    return [Trajectory("swa", "swa", budget.seed, whole, collectors)]


def _fall(first: float, last: float, steps: int) -> Schedule:
    return linear(first, last, steps) if steps > 1 else constant(last, steps)


def fge(
    budget: Budget,
    *,
    peak: float = 0.1,
    rate: float = 0.05,
    floor: float = 0.0005,
    start: Length = "80%",
    cycle: Length = "4 epochs",
    schedule: ScheduleSpec | None = None,
    warmup: Length = 0,
) -> list[Trajectory]:
    """The first part of a standard run, then short triangles with a member at each low.

    Fast geometric ensembling, Garipov et al. 2018 (arXiv 1802.10026): cycles of 2 to
    4 epochs from a trained start, so short that the members stay in one valley, yet
    far enough apart to differ.

    Args:
        budget: What may be spent.
        peak: Of the standard schedule, which divides it by ten at 50 % and at 75 %.
        rate: Top of each triangle.
        floor: Bottom of each triangle, where a member is taken.
        start: Where the standard schedule is cut off and the triangles begin.
        cycle: Length of a triangle, to the nearest that ends the budget at a minimum;
            the first one is a half.
        schedule: Another schedule of the whole budget in place of the standard one.
        warmup: Length of a linear warm-up.

    Returns:
        One trajectory.

    Raises:
        RecipeError: The first part or the triangles do not fit.
    """
    steps, per_epoch = budget.steps, budget.per_epoch
    begin = steps_of(start, steps, per_epoch)
    length = steps_of(cycle, steps, per_epoch)
    if not 0 < begin < steps or length < 2:
        raise RecipeError(
            f"start {start!r} and cycle {cycle!r} leave no triangle in {steps} steps"
        )
    # c = tail / (cycles − ½)
    number = max(1, round((steps - begin) / length + 0.5))
    first = cut(standard(budget, peak, schedule, warmup), begin)
    triangles = fge_triangle(rate, steps - begin, number, floor)
    whole = join(first, triangles)
    return [with_snapshots("fge", "fge", budget.seed, whole, whole.ends)]
