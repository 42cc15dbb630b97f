"""What several strategies are made of."""

from dale.errors import RecipeError
from dale.schedules import Schedule, milestones
from dale.schedules import warmup as warmed_up
from dale.train.batches import shares
from dale.train.specs import Length, ScheduleSpec, build_schedule, steps_of
from dale.train.trajectory import Budget


def standard(
    budget: Budget, peak: float, schedule: ScheduleSpec | None, length: Length
) -> Schedule:
    """The given schedule, or the usual one: ÷ 10 at 50 % and at 75 %."""
    if schedule is None:
        drops = {budget.steps // 2, budget.steps * 3 // 4} - {0}
        rate = milestones(
            peak=peak, steps=budget.steps, at=tuple(sorted(drops)), factor=0.1
        )
    else:
        rate = build_schedule(schedule, budget.steps, budget.per_epoch)
    return warmed(rate, budget, length)


def warmed(rate: Schedule, budget: Budget, length: Length) -> Schedule:
    """A schedule that begins with a linear warm-up."""
    steps = steps_of(length, budget.steps, budget.per_epoch)
    return warmed_up(rate, steps) if steps else rate


def even_ends(steps: int, parts: int) -> tuple[int, ...]:
    """Ends of parts of nearly equal length, in integers."""
    if not 1 <= parts <= steps:
        raise RecipeError(f"{parts} members do not fit into {steps} steps")
    return tuple(stop for _, stop in shares(steps, parts))


def cut(rate: Schedule, steps: int) -> Schedule:
    """The first part of a schedule, without its cycles."""
    return Schedule(rate, steps, name=rate.name)
