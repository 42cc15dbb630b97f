"""Adds the collectors that a recipe names to trajectories."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dale.errors import RecipeError
from dale.train.collect import COLLECTORS, Collector, Span
from dale.train.specs import settings
from dale.train.trajectory import Trajectory


@dataclass(frozen=True)
class Adding:
    """What a recipe adds to every trajectory.

    Args:
        specs: Pieces of the recipe, each with the name of a collector.
        per_epoch: Updates in one epoch.
    """

    specs: tuple[Any, ...]
    per_epoch: int

    def to(self, trajectory: Trajectory) -> Trajectory:
        """The trajectory with all collectors; its own come first.

        Raises:
            RecipeError: A collector does not fit into it.
        """
        if not self.specs:
            return trajectory
        span = Span(trajectory.steps, self.per_epoch, trajectory.seed)
        makers = []
        for index, spec in enumerate(self.specs):
            make = partial(
                COLLECTORS[spec.name].function, span, **settings(spec, "name")
            )
            try:
                make()
            except ValueError as error:
                raise RecipeError(
                    f"collect[{index}] {spec.name} of {trajectory.name}: {error}"
                ) from None
            makers.append((self._word(index), make))
        collectors = partial(_all, trajectory.collectors, tuple(makers))
        return replace(trajectory, collectors=collectors)

    def _word(self, index: int) -> str:
        """Its name, with a number where it stands in the recipe several times."""
        name = self.specs[index].name
        earlier = [spec.name for spec in self.specs[:index]].count(name)
        return f"{name}{earlier + 1}" if earlier else name


def _all(
    own: Callable[[], tuple[Collector, ...]],
    makers: tuple[tuple[str, Callable[[], Collector]], ...],
) -> tuple[Collector, ...]:
    added = []
    for word, make in makers:
        collector = make()
        collector.added = word
        added.append(collector)
    return (*own(), *added)
