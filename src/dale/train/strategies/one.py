"""One run: with its last weights, with snapshots on the way, with cycles."""

from dale.errors import RecipeError
from dale.schedules import cosine_restarts
from dale.train.specs import Length, ScheduleSpec, build_schedule
from dale.train.strategies.parts import even_ends, standard, warmed
from dale.train.trajectory import Budget, Trajectory, with_snapshots


def single(
    budget: Budget,
    *,
    peak: float = 0.1,
    schedule: ScheduleSpec | None = None,
    warmup: Length = 0,
) -> list[Trajectory]:
    """One run with a standard schedule and its last weights: the control.

    Args:
        budget: What may be spent.
        peak: Largest rate of the default schedule, which divides it by ten at 50 %
            and at 75 % of the budget.
        schedule: Another schedule in place of the default.
        warmup: Length of a linear warm-up.

    Returns:
        One trajectory.
    """
    rate = standard(budget, peak, schedule, warmup)
    return [with_snapshots("single", "single", budget.seed, rate, (rate.steps,))]


def nocycle(
    budget: Budget,
    *,
    members: int = 5,
    peak: float = 0.1,
    schedule: ScheduleSpec | None = None,
    warmup: Length = 0,
) -> list[Trajectory]:
    """The same standard run, with snapshots at equal distances and no cycles.

    The last of its members is the single run of the same budget. Huang et al. 2017
    (arXiv 1704.00109) use it to show what the cycles themselves are worth.

    Args:
        budget: What may be spent.
        members: Number of snapshots.
        peak: As for ``single``.
        schedule: As for ``single``.
        warmup: As for ``single``.

    Returns:
        One trajectory.
    """
    rate = standard(budget, peak, schedule, warmup)
    ends = even_ends(rate.steps, members)
    return [with_snapshots("nocycle", "nocycle", budget.seed, rate, ends)]


def snapshot(
    budget: Budget,
    *,
    cycles: int = 5,
    peak: float = 0.1,
    floor: float = 0.0,
    length_factor: float = 1.0,
    peak_factor: float = 1.0,
    schedule: ScheduleSpec | None = None,
    warmup: Length = 0,
) -> list[Trajectory]:
    """One run whose cyclic rate visits a minimum at the end of every cycle.

    Huang et al. 2017 (arXiv 1704.00109): cosine annealing with warm restarts, and
    a member at each cycle's end.

    Args:
        budget: What may be spent.
        cycles: Number of cycles, hence of members.
        peak: Rate at each restart.
        floor: Rate that each cycle falls towards.
        length_factor: Length of a cycle relative to the one before.
        peak_factor: Peak of a cycle relative to the one before.
        schedule: Another cyclic schedule in place of the cosine.
        warmup: Length of a linear warm-up of the first cycle.

    Returns:
        One trajectory.

    Raises:
        RecipeError: The schedule given has no cycles.
    """
    if schedule is None:
        rate = cosine_restarts(
            peak=peak,
            steps=budget.steps,
            cycles=cycles,
            floor=floor,
            length_factor=length_factor,
            peak_factor=peak_factor,
        )
    else:
        rate = build_schedule(schedule, budget.steps, budget.per_epoch)
    if not rate.ends:
        raise RecipeError(
            f"snapshot needs a cyclic schedule; {rate.name} has no cycles"
        )
    ends = rate.ends
    rate = warmed(rate, budget, warmup)
    return [with_snapshots("snapshot", "snapshot", budget.seed, rate, ends)]
