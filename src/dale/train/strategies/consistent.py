"""One run that learns from examples without a label too."""

import math
from dataclasses import replace
from functools import partial

from dale.errors import RecipeError
from dale.schedules import Schedule
from dale.train.consistency import Consistency
from dale.train.specs import Length, ScheduleSpec, steps_of
from dale.train.strategies.parts import standard
from dale.train.trajectory import Budget, Trajectory, with_snapshots


def temporal(
    budget: Budget,
    *,
    weight: float = 30.0,
    decay: float = 0.6,
    ramp: Length = "27%",
    ramp_down: Length = 0,
    noise: float = 0.0,
    share: float = 0.5,
    peak: float = 0.1,
    schedule: ScheduleSpec | None = None,
    warmup: Length = 0,
) -> list[Trajectory]:
    """A standard run whose predictions must agree with those of earlier epochs.

    Temporal ensembling, Laine and Aila 2017 (arXiv 1610.02242): beside the
    cross-entropy of the labelled examples, the squared difference of each prediction
    from the mean of the example's earlier ones, with a label or without, is made
    small. Its weight is 0 in the first epoch and then
    ``weight · exp(−5 (1 − t / ramp)²)`` until the ramp ends. With ``ramp_down`` the
    rate of its last t updates falls by ``exp(−12.5 t²)``, t from 0 to 1.

    Args:
        budget: What may be spent.
        weight: Weight of the mean squared difference after the ramp.
        decay: Share of the old in an example's mean prediction.
        ramp: How long the weight rises, from the start.
        ramp_down: How long the rate falls at the end, beside what its schedule does.
        noise: Standard deviation of Gaussian noise on the normalised inputs.
        share: Of each batch that is labelled, at least; where labelled examples are
            fewer, they are seen more often than the others. As published: 0.
        peak: As for ``single``.
        schedule: As for ``single``.
        warmup: As for ``single``.

    Returns:
        One trajectory.

    Raises:
        RecipeError: A setting is out of range, or there is no second epoch.
    """
    if not 0 <= decay < 1:
        raise RecipeError(f"decay must be in [0, 1), got {decay:g}")
    if budget.steps <= budget.per_epoch:
        raise RecipeError(
            f"predictions are compared with those of earlier epochs; {budget.steps} "
            "steps are one epoch, expected more"
        )
    rate = _falling(standard(budget, peak, schedule, warmup), budget, ramp_down)
    asked = _asked(budget, weight, ramp, decay, noise, share)
    return [_run("temporal", budget, rate, asked)]


def pi(
    budget: Budget,
    *,
    weight: float = 100.0,
    ramp: Length = "27%",
    ramp_down: Length = 0,
    noise: float = 0.0,
    share: float = 0.5,
    peak: float = 0.1,
    schedule: ScheduleSpec | None = None,
    warmup: Length = 0,
) -> list[Trajectory]:
    """A standard run in which two predictions of each example must agree.

    The Π-model, Laine and Aila 2017 (arXiv 1610.02242): every example goes through
    the network twice in an update, under augmentation, dropout and noise of its own.
    Twice the time of an update, and nothing to remember.

    Args:
        budget: What may be spent.
        weight: As for ``temporal``.
        ramp: As for ``temporal``.
        ramp_down: As for ``temporal``.
        noise: As for ``temporal``.
        share: As for ``temporal``.
        peak: As for ``single``.
        schedule: As for ``single``.
        warmup: As for ``single``.

    Returns:
        One trajectory.

    Raises:
        RecipeError: A setting is out of range.
    """
    rate = _falling(standard(budget, peak, schedule, warmup), budget, ramp_down)
    asked = _asked(budget, weight, ramp, None, noise, share)
    return [_run("pi", budget, rate, asked)]


def _run(name: str, budget: Budget, rate: Schedule, asked: Consistency) -> Trajectory:
    made = with_snapshots(name, name, budget.seed, rate, (rate.steps,))
    return replace(made, consistency=asked)


def _asked(
    budget: Budget,
    weight: float,
    ramp: Length,
    decay: float | None,
    noise: float,
    share: float,
) -> Consistency:
    for name, value in (("weight", weight), ("noise", noise)):
        if value < 0:
            raise RecipeError(f"{name} must not be negative, got {value:g}")
    if not 0 <= share < 1:
        raise RecipeError(f"share must be in [0, 1), got {share:g}")
    end = _length("ramp", ramp, budget)
    rise = partial(_rise, weight=weight, ramp=end, first=budget.per_epoch)
    rising = Schedule(rise, budget.steps, name="consistency")
    return Consistency(rising, decay, noise, share)


def _rise(step: int, weight: float, ramp: int, first: int) -> float:
    if step < first:
        return 0.0
    return weight * math.exp(-5 * (1 - step / ramp) ** 2) if step < ramp else weight


def _falling(rate: Schedule, budget: Budget, length: Length) -> Schedule:
    """A schedule whose end falls along a Gaussian curve."""
    steps = _length("ramp_down", length, budget)
    if not steps:
        return rate
    fall = partial(_fall, rate=rate, begin=rate.steps - steps, length=steps)
    return Schedule(fall, rate.steps, rate.ends, name=rate.name)


def _fall(step: int, rate: Schedule, begin: int, length: int) -> float:
    gone = max(step - begin, 0) / length
    return rate(step) * math.exp(-12.5 * gone**2)


def _length(name: str, length: Length, budget: Budget) -> int:
    steps = steps_of(length, budget.steps, budget.per_epoch)
    if not 0 <= steps <= budget.steps:
        raise RecipeError(f"{name} {length!r} does not fit into {budget.steps} steps")
    return steps
