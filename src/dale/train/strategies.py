"""Strategies: what to do with a budget of updates.

Every strategy turns the same budget into trajectories: a schedule, and collectors
that take members out of it. Budgets are equal by construction, so that members,
averages and ensembles of different strategies can be held against one another.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from dale.errors import RecipeError
from dale.keys import key
from dale.schedules import Schedule, cosine, cosine_restarts, milestones, swa_tail
from dale.schedules import warmup as warmed_up
from dale.train.collect import AverageCollector, Collector
from dale.train.specs import Length, ScheduleSpec, build_schedule, steps_of
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
    rate = _standard(budget, peak, schedule, warmup)
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
    rate = _standard(budget, peak, schedule, warmup)
    ends = _even_ends(rate.steps, members)
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
    rate = _warmed(rate, budget, warmup)
    return [with_snapshots("snapshot", "snapshot", budget.seed, rate, ends)]


def swa(
    budget: Budget,
    *,
    peak: float = 0.1,
    rate: float = 0.05,
    start: Length = "75%",
    every: Length = "1 epoch",
    warmup: Length = 0,
) -> list[Trajectory]:
    """A standard run, then a constant rate whose weights are averaged.

    Izmailov et al. 2018 (arXiv 1803.05407): the rate stays at `peak` for half of the
    first part, falls on a straight line to `rate` until nine tenths of it, and stays.
    The mean over the tail becomes one network, with its normalisation statistics
    re-estimated.

    Args:
        budget: What may be spent.
        peak: Rate at the start.
        rate: Constant rate of the tail.
        start: Where the tail begins.
        every: Distance between two models that enter the mean.
        warmup: Length of a linear warm-up.

    Returns:
        One trajectory.

    Raises:
        RecipeError: The tail is empty or no model enters the mean.
    """
    begin = steps_of(start, budget.steps, budget.per_epoch)
    stride = steps_of(every, budget.steps, budget.per_epoch)
    tail = budget.steps - begin
    if begin < 1 or not 1 <= stride <= tail:
        raise RecipeError(
            f"start {start!r} and every {every!r} leave no model to average in "
            f"{budget.steps} steps"
        )
    whole = swa_tail(peak=peak, steps=budget.steps, tail=rate, start=begin)
    whole = _warmed(whole, budget, warmup)

    def collectors() -> tuple[Collector, ...]:
        return (AverageCollector(begin, stride, budget.steps),)

    return [Trajectory("swa", "swa", budget.seed, whole, collectors)]


def short_cycles(
    budget: Budget, *, members: int = 5, peak: float = 0.1
) -> list[Trajectory]:
    """Short independent runs that share the budget, each a single cosine cycle.

    The "single cycle ensemble" of Huang et al. 2017.

    Args:
        budget: What may be spent in all.
        members: Number of runs.
        peak: Rate at the start of each.

    Returns:
        One trajectory for each member.
    """
    bounds = pairwise((0, *_even_ends(budget.steps, members)))
    lengths = [stop - start for start, stop in bounds]
    return _independent("short_cycles", budget, lengths, peak)


def independent(
    budget: Budget, *, members: int = 5, peak: float = 0.1
) -> list[Trajectory]:
    """Full independent runs: a deep ensemble, at `members` times the budget.

    Lakshminarayanan et al. 2017 (arXiv 1612.01474).

    Args:
        budget: What each run may spend.
        members: Number of runs.
        peak: Rate at the start of each run's cosine.

    Returns:
        One trajectory for each member.

    Raises:
        RecipeError: There is no member.
    """
    if members < 1:
        raise RecipeError(f"{members} members; expected at least 1")
    return _independent("independent", budget, [budget.steps] * members, peak)


def _independent(
    group: str, budget: Budget, lengths: list[int], peak: float
) -> list[Trajectory]:
    trajectories = []
    for number, steps in enumerate(lengths, start=1):
        seed = budget.seed if number == 1 else key(budget.seed, group, number)
        rate = cosine(peak=peak, steps=steps)
        name = f"{group}-{number:02d}"
        trajectories.append(with_snapshots(name, group, seed, rate, (steps,)))
    return trajectories


def _standard(
    budget: Budget, peak: float, schedule: ScheduleSpec | None, length: Length
) -> Schedule:
    if schedule is None:
        drops = {budget.steps // 2, budget.steps * 3 // 4} - {0}
        rate = milestones(
            peak=peak, steps=budget.steps, at=tuple(sorted(drops)), factor=0.1
        )
    else:
        rate = build_schedule(schedule, budget.steps, budget.per_epoch)
    return _warmed(rate, budget, length)


def _warmed(rate: Schedule, budget: Budget, length: Length) -> Schedule:
    steps = steps_of(length, budget.steps, budget.per_epoch)
    return warmed_up(rate, steps) if steps else rate


def _even_ends(steps: int, parts: int) -> tuple[int, ...]:
    if not 1 <= parts <= steps:
        raise RecipeError(f"{parts} members do not fit into {steps} steps")
    return tuple(steps * number // parts for number in range(1, parts + 1))


@dataclass(frozen=True)
class StrategyRow:
    """What is true of a strategy.

    Args:
        function: From a budget to trajectories; its keywords are the recipe's.
        summary: One line.
        last: What its last member is called in tables.
        pool: What all its members together are called in tables.
        budgets: How many budgets it spends: one, or one for each member.
        reference: Where it was published.
    """

    function: Callable[..., list[Trajectory]]
    summary: str
    last: str
    pool: str
    budgets: str
    reference: str


STRATEGIES: Mapping[str, StrategyRow] = {
    "single": StrategyRow(
        single,
        "one standard run: the control",
        "single run (control)",
        "single runs",
        "one",
        "common practice",
    ),
    "nocycle": StrategyRow(
        nocycle,
        "snapshots of a standard run, without cycles",
        "single run (control)",
        "NoCycle snapshots",
        "one",
        "Huang et al. 2017, arXiv 1704.00109",
    ),
    "snapshot": StrategyRow(
        snapshot,
        "cosine cycles with warm restarts, a member at each minimum",
        "last snapshot",
        "snapshot ensemble",
        "one",
        "Huang et al. 2017, arXiv 1704.00109",
    ),
    "swa": StrategyRow(
        swa,
        "the mean of the weights over a tail at a constant rate",
        "SWA",
        "SWA ensemble",
        "one",
        "Izmailov et al. 2018, arXiv 1803.05407",
    ),
    "short_cycles": StrategyRow(
        short_cycles,
        "short independent runs that share one budget",
        "one short run",
        "short-cycle ensemble",
        "one",
        "Huang et al. 2017, arXiv 1704.00109",
    ),
    "independent": StrategyRow(
        independent,
        "full independent runs: a deep ensemble",
        "one independent run",
        "deep ensemble",
        "one for each member",
        "Lakshminarayanan et al. 2017, arXiv 1612.01474",
    ),
}
