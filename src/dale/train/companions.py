"""Other settings of the optimiser that follow a schedule, by the clock of the rate."""

from collections.abc import Callable, Mapping
from typing import Any

from torch.optim import Optimizer

from dale.errors import RecipeError, nearest
from dale.schedules import Schedule
from dale.train.optimizers import OPTIMIZERS
from dale.train.specs import build_schedule

_RANGES = {"momentum": 1.0, "weight_decay": float("inf"), "damping": float("inf")}
"""What each setting must stay below; none may be negative."""


def build_companions(
    specs: Mapping[str, Any], optimizer: str, steps: int, per_epoch: int
) -> dict[str, Schedule]:
    """The schedules that a recipe gives to settings of the optimiser.

    Args:
        specs: Setting to piece of the recipe.
        optimizer: Its name.
        steps: Length of the trajectory.
        per_epoch: Steps of one epoch.

    Returns:
        Setting to schedule.

    Raises:
        RecipeError: The optimiser has no such setting, or a value is out of range.
    """
    known, found = OPTIMIZERS[optimizer].knobs, {}
    for name, spec in specs.items():
        if name not in known:
            hint = nearest(name, known) if known else "it has none"
            raise RecipeError(
                f"companions: {optimizer} has no {name!r} to schedule; {hint}"
            )
        try:
            schedule = build_schedule(spec, steps, per_epoch)
        except ValueError as error:
            raise RecipeError(f"companions.{name}: {error}") from None
        values = schedule.values()
        if min(values) < 0 or max(values) >= _RANGES[name]:
            upper = "and below 1" if _RANGES[name] == 1 else ""
            raise RecipeError(
                f"companions.{name}: goes from {min(values):g} to {max(values):g}; "
                f"expected at least 0 {upper}".rstrip()
            )
        found[name] = schedule
    return found


def before_each_step(
    optimizer: Optimizer, schedules: Mapping[str, Schedule]
) -> Callable[[int], None]:
    """Sets the settings for the coming update.

    Args:
        optimizer: Whose groups.
        schedules: Setting to schedule; ``momentum`` of Adam is its first beta.

    Returns:
        What to call before each step, with the number of updates done.
    """

    def follow(step: int) -> None:
        for name, schedule in schedules.items():
            value = schedule(step)
            for group in optimizer.param_groups:
                if name == "momentum" and "betas" in group:
                    group["betas"] = (value, group["betas"][1])
                else:
                    group[name] = value

    return follow
