"""Other settings of the optimiser that follow a schedule, by the clock of the rate."""

from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from torch import nn
from torch.optim import Optimizer

from dale.errors import RecipeError, nearest
from dale.schedules import Schedule
from dale.train.layers import matches
from dale.train.optimizers import OPTIMIZERS
from dale.train.specs import build_schedule

RATE = "rate"
"""The one setting that multiplies: a factor of the learning rate."""

_RANGES = {
    **dict.fromkeys(("momentum", "beta2"), 1.0),
    **dict.fromkeys(("weight_decay", "damping", "eps", RATE), inf),
}
"""What each setting must stay below; none may be negative."""

Driven = Schedule | Mapping[str, Schedule]
"""One schedule for all parameters, or one for each pattern of their names."""


def build_companions(
    specs: Mapping[str, Any], optimizer: str, steps: int, per_epoch: int
) -> dict[str, Driven]:
    """The schedules that a recipe gives to settings of the optimiser.

    Args:
        specs: Setting to piece of the recipe, or to pieces by pattern.
        optimizer: Its name.
        steps: Length of the trajectory.
        per_epoch: Steps of one epoch.

    Returns:
        Setting to schedule, or to schedules by pattern.

    Raises:
        RecipeError: The optimiser has no such setting, or a value is out of range.
    """
    row, found = OPTIMIZERS[optimizer], {}
    known = (*row.knobs, RATE) if row.knobs else ()
    for name, spec in specs.items():
        if name not in known:
            hint = nearest(name, known) if known else "it has none"
            raise RecipeError(
                f"companions: {optimizer} has no {name!r} to schedule; {hint}"
            )
        if not isinstance(spec, Mapping):
            found[name] = _built(name, name, spec, steps, per_epoch)
            continue
        if row.needs != "gradient":
            raise RecipeError(
                f"companions.{name}: {optimizer} takes one value for all parameters"
            )
        if not spec:
            raise RecipeError(f"companions.{name}: expected a schedule or patterns")
        found[name] = {
            pattern: _built(name, f"{name}.{pattern}", one, steps, per_epoch)
            for pattern, one in spec.items()
        }
    return found


def _built(name: str, where: str, spec: Any, steps: int, per_epoch: int) -> Schedule:
    try:
        schedule = build_schedule(spec, steps, per_epoch)
    except ValueError as error:
        raise RecipeError(f"companions.{where}: {error}") from None
    values = schedule.values()
    if min(values) < 0 or max(values) >= _RANGES[name]:
        upper = "and below 1" if _RANGES[name] == 1 else ""
        raise RecipeError(
            f"companions.{where}: goes from {min(values):g} to {max(values):g}; "
            f"expected at least 0 {upper}".rstrip()
        )
    return schedule


def before_each_step(
    optimizer: Optimizer,
    driven: Mapping[str, Driven],
    model: nn.Module | None = None,
) -> Callable[[int], None]:
    """Sets the settings for the coming update.

    Args:
        optimizer: Whose groups; where there are patterns, each of parameters that
            match the same ones.
        driven: Setting to schedule, or to schedules by pattern, of which the first
            that matches counts; ``momentum`` of Adam is its first beta, and ``rate``
            multiplies the rate that was set. What no pattern matches is left alone.
        model: Has the names of the parameters; needed for patterns.

    Returns:
        What to call before each step, with the number of updates done.
    """
    chosen = [
        (place, name, schedule)
        for name, given in driven.items()
        for place, schedule in _by_group(optimizer, given, model)
    ]

    def follow(step: int) -> None:
        for place, name, schedule in chosen:
            group, value = optimizer.param_groups[place], schedule(step)
            if name == RATE:
                group["lr"] *= value
            elif name == "momentum" and "betas" in group:
                group["betas"] = (value, group["betas"][1])
            elif name == "beta2":
                group["betas"] = (group["betas"][0], value)
            else:
                group[name] = value

    return follow


def _by_group(
    optimizer: Optimizer, given: Driven, model: nn.Module | None
) -> list[tuple[int, Schedule]]:
    """The places of the groups that follow a schedule, and which."""
    groups = optimizer.param_groups
    if isinstance(given, Schedule):
        return [(place, given) for place in range(len(groups))]
    assert model is not None, "patterns need names"
    named = dict(model.named_parameters())
    matched = matches(named, list(given))
    first = {id(named[name]): pattern for name, pattern in matched.items()}
    patterns = [first[id(group["params"][0])] for group in groups]
    return [(place, given[p]) for place, p in enumerate(patterns) if p is not None]
