"""Several runs, each from initial weights of its own."""

from itertools import pairwise

from dale.errors import RecipeError
from dale.keys import key
from dale.schedules import cosine, cosine_restarts
from dale.train.strategies.parts import even_ends
from dale.train.trajectory import Budget, Trajectory, with_snapshots


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
    return _runs("short_cycles", budget, _shares(budget.steps, members), peak)


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
    return _runs("independent", budget, [budget.steps] * members, peak)


def bagging(budget: Budget, *, members: int = 5, peak: float = 0.1) -> list[Trajectory]:
    """Short runs that share the budget, each on a bootstrap sample of the examples.

    Breiman 1996, *Bagging predictors*. Each member draws as many rows as there are,
    with replacement, from a key of its seed; the rows that it never sees, about a
    third, are recomputed by `dale.train.bootstrap_rows`.

    Args:
        budget: What may be spent in all.
        members: Number of runs.
        peak: Rate at the start of each run's cosine.

    Returns:
        One trajectory for each member.
    """
    lengths = _shares(budget.steps, members)
    return _runs("bagging", budget, lengths, peak, bootstrap=True)


def hybrid(
    budget: Budget,
    *,
    runs: int = 2,
    cycles: int = 3,
    peak: float = 0.1,
    floor: float = 0.0,
) -> list[Trajectory]:
    """Runs that share the budget, each with several snapshots.

    Between `snapshot` (one run) and `short_cycles` (one cycle each): members of one
    run come cheap, members of different runs differ more.

    Args:
        budget: What may be spent in all.
        runs: Number of runs.
        cycles: Snapshots of each run.
        peak: Rate at each restart.
        floor: Rate that each cycle falls towards.

    Returns:
        One trajectory for each run.
    """
    trajectories = []
    for number, steps in enumerate(_shares(budget.steps, runs), start=1):
        rate = cosine_restarts(peak=peak, steps=steps, cycles=cycles, floor=floor)
        seed = _seed(budget, "hybrid", number)
        name = f"hybrid-{number:02d}"
        trajectories.append(with_snapshots(name, "hybrid", seed, rate, rate.ends))
    return trajectories


def _runs(
    group: str,
    budget: Budget,
    lengths: list[int],
    peak: float,
    bootstrap: bool = False,
) -> list[Trajectory]:
    trajectories = []
    for number, steps in enumerate(lengths, start=1):
        seed, rate = _seed(budget, group, number), cosine(peak=peak, steps=steps)
        name = f"{group}-{number:02d}"
        made = with_snapshots(name, group, seed, rate, (steps,), bootstrap)
        trajectories.append(made)
    return trajectories


def _shares(steps: int, parts: int) -> list[int]:
    return [stop - start for start, stop in pairwise((0, *even_ends(steps, parts)))]


def _seed(budget: Budget, group: str, number: int) -> int:
    return budget.seed if number == 1 else key(budget.seed, group, number)
