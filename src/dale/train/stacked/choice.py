"""Which trajectories can be trained at once, and what was decided for them."""

from collections.abc import Mapping, Sequence
from typing import Any

from dale.errors import CorruptError
from dale.store import Run, sealed
from dale.train.optimizers import OPTIMIZERS
from dale.train.recipe import Recipe
from dale.train.trajectory import Trajectory

RECORD = "stacking.json"
"""File in a run that says how members are trained: a resume does not choose again."""


def parts(trajectories: Sequence[Trajectory]) -> list[list[Trajectory]]:
    """Trajectories that could be trained at once: neighbours of one length.

    Args:
        trajectories: Of a recipe, in order.

    Returns:
        The same, in lists; lengths in a list differ by at most one update, as they do
        where a budget cannot be shared out evenly.
    """
    found: list[list[Trajectory]] = []
    for trajectory in trajectories:
        lengths = [other.steps for other in found[-1]] if found else []
        both = (*lengths, trajectory.steps)
        if lengths and max(both) - min(both) <= 1:
            found[-1].append(trajectory)
        else:
            found.append([trajectory])
    return found


def name_of(part: Sequence[Trajectory]) -> str:
    """What a part is called: as its strategy, or from its first to its last.

    Args:
        part: Trajectories.
    """
    if len({trajectory.group for trajectory in part}) == 1:
        return part[0].group
    return f"{part[0].name}..{part[-1].name}"


def obstacle(recipe: Recipe, part: Sequence[Trajectory], processes: int = 1) -> str:
    """Why members cannot be trained at once.

    Args:
        recipe: The recipe.
        part: Their trajectories.
        processes: That train together.

    Returns:
        The first reason, or nothing if there is none: the network itself may still
        turn out to be one that `torch.func.vmap` cannot call.
    """
    engine, lengths = recipe.engine, {trajectory.steps for trajectory in part}
    reasons = {
        "there is one network only": len(part) < 2,
        f"optimizer {recipe.optimizer.name} works on one network": OPTIMIZERS[
            recipe.optimizer.name
        ].needs
        != "gradient",
        "minutes are limited": recipe.minutes is not None,
        "guard.patience may stop each at another step": recipe.guard is not None
        and recipe.guard.patience is not None,
        "soft_threshold works on one network": recipe.soft_threshold > 0,
        "layers works on one network": recipe.layers is not None,
        "companions by pattern work on one network": any(
            isinstance(given, Mapping) for given in recipe.companions.values()
        ),
        "predictions of one network are compared": any(
            trajectory.consistency is not None for trajectory in part
        ),
        "some examples have no label": getattr(recipe.data, "labelled", None)
        is not None,
        "folds leave out different examples": recipe.folds is not None,
        "companions follow schedules of different lengths": bool(recipe.companions)
        and len(lengths) > 1,
        "engine.accumulate cuts batches": engine.accumulate > 1,
        "engine.compile works on one network": engine.compile,
        "engine.channels_last works on one network": engine.channels_last,
        "engine.precision fp16 scales losses": engine.precision == "fp16",
        "several processes share the batches": processes > 1,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def outlook(recipe: Recipe, trajectories: Sequence[Trajectory]) -> dict[str, str]:
    """How the members of each part would be trained, in words.

    Args:
        recipe: The recipe.
        trajectories: Its trajectories.

    Returns:
        A line for each part with several, where the recipe asks for stacking.
    """
    found = {}
    for part in parts(trajectories):
        if len(part) > 1 and recipe.engine.stack != "never":
            line = f"{len(part)} networks one after another: {obstacle(recipe, part)}"
            if not obstacle(recipe, part):
                line = f"{len(part)} networks at once, if the network can be stacked"
                if recipe.engine.stack == "auto":
                    line += " and a pilot at the start finds it faster"
            found[name_of(part)] = line
    return found


class Record:
    """What was decided in a run, part by part.

    Args:
        run: The run, held for writing.

    Raises:
        CorruptError: The file is truncated or was altered.
    """

    def __init__(self, run: Run) -> None:
        self._path = run.folder / RECORD
        self._parts: dict[str, Any] = {}
        if self._path.exists():
            try:
                self._parts = sealed.read(self._path, "stacking")["parts"]
            except CorruptError as error:
                again = "delete this file to go on as the saved states tell"
                raise CorruptError(f"{error}; {again}") from error

    def get(self, name: str) -> dict[str, Any] | None:
        """What was decided for a part, if it was."""
        return self._parts.get(name)

    def put(self, name: str, found: dict[str, Any]) -> dict[str, Any]:
        """Remember what is decided for a part."""
        self._parts = {**self._parts, name: found}
        sealed.write(self._path, "stacking", {"parts": self._parts})
        return found
