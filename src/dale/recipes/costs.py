"""What updates take, by kind, and every strategy that could spend a budget of them."""

from collections.abc import Sequence
from dataclasses import replace

from dale.data import Data
from dale.errors import RecipeError, TrainingError
from dale.recipes.pilot import Pilot, fly
from dale.train import STRATEGIES, Recipe, Trajectory


class Costs:
    """What updates take: one pilot for each kind of them.

    Args:
        recipe: What would be trained.
        data: Its data.
        every: Whether every strategy is asked for.
    """

    def __init__(self, recipe: Recipe, data: Data, every: bool) -> None:
        seen = recipe.seen(data.examples)
        self._data, self._per_epoch = data, recipe.budget(seen).per_epoch
        own, more = recipe.trajectories(data.examples), list[Trajectory]()
        if every:
            found = every_strategy(recipe, data.examples).values()
            more = [one for mine in found if isinstance(mine, list) for one in mine]
        kinds = {_kind(one): one for one in (*more, *own)}
        self._pilots: dict[str, Pilot] = {}
        self._problems: dict[str, str] = {}
        for kind, one in kinds.items():
            try:
                asked = one if kind else None
                self._pilots[kind] = fly(recipe, data, asked, 1 / len(kinds))
            except TrainingError as error:
                if kind in map(_kind, own):
                    raise
                self._problems[kind] = str(error)

    def problem(self, trajectories: Sequence[Trajectory]) -> str | None:
        """Why the network cannot be trained so."""
        found = (self._problems.get(_kind(one)) for one in trajectories)
        return next(filter(None, found), None)

    def seconds(self, trajectories: Sequence[Trajectory]) -> float:
        """Of their updates, each with its share of the scoring after an epoch."""
        count = len(self._data.splits["val"]) / self._per_epoch
        pilots = [self._pilots[_kind(trajectory)] for trajectory in trajectories]
        return sum(
            (pilot.seconds + pilot.scoring * count) * trajectory.steps
            for pilot, trajectory in zip(pilots, trajectories, strict=True)
        )

    def dearest(self, trajectories: Sequence[Trajectory]) -> Pilot:
        """The pilot of the slowest of their updates, with the largest memory."""
        pilots = [self._pilots[_kind(trajectory)] for trajectory in trajectories]
        memory = max((pilot.memory for pilot in pilots), key=lambda used: used.total)
        return replace(max(pilots, key=lambda pilot: pilot.seconds), memory=memory)


def _kind(trajectory: Trajectory) -> str:
    """What an update is made of; empty for labels alone."""
    asked = trajectory.consistency
    if asked is None:
        return ""
    return "two predictions" if asked.decay is None else "earlier predictions"


def every_strategy(recipe: Recipe, examples: int) -> dict[str, list[Trajectory] | str]:
    """Trajectories of every strategy there is, at the recipe's budget.

    Args:
        recipe: The budget; a strategy that it has is taken with its settings.
        examples: Number of training examples.

    Returns:
        By strategy; a text says why one does not fit into the budget.
    """
    given = {spec.name: spec for spec in reversed(recipe.strategies)}
    found: dict[str, list[Trajectory] | str] = {}
    for name in STRATEGIES:
        strategies = (given.get(name, name),)
        one = Recipe.model_validate({**dict(recipe), "strategies": strategies})
        try:
            found[name] = one.trajectories(examples)
        except RecipeError as error:
            found[name] = str(error).partition(": ")[2]
    return found
