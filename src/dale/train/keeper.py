"""Keeps what a trajectory produces in a run folder: states, members, log lines."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from dale.data import Data
from dale.errors import TrainingError
from dale.store import Run
from dale.train.checkpoint import save_state
from dale.train.collect import Collector
from dale.train.outlets import Evaluate, Watcher
from dale.train.recipe import Recipe
from dale.train.saved import Saved
from dale.train.trajectory import Trajectory
from dale.train.walk import statistics_batches
from dale.weights import (
    Layout,
    Weights,
    has_statistics,
    layout_of,
    load_into,
    reestimate,
    weights_of,
)


class RunKeeper:
    """Keeps one trajectory's states, log lines and members in a run folder.

    Args:
        run: The run.
        recipe: Its recipe.
        data: Its data.
        trajectory: The trajectory.
        evaluate: Scores of a model on a split.
        watcher: Told of each new member.
    """

    def __init__(
        self,
        run: Run,
        recipe: Recipe,
        data: Data,
        trajectory: Trajectory,
        evaluate: Evaluate,
        watcher: Watcher,
    ) -> None:
        self._run, self._recipe, self._data = run, recipe, data
        self._trajectory, self._evaluate = trajectory, evaluate
        self._watcher = watcher
        # without a limit, files tell nothing of how long they took
        self._saved = Saved(run, trajectory.name, timed=recipe.minutes is not None)

    @property
    def finished(self) -> bool:
        """Whether the trajectory was trained to its end."""
        return self._saved.finished

    def load(self) -> Mapping[str, Any] | None:
        """The last saved state, if any."""
        return self._saved.loop

    def due(self, seconds: float) -> bool:
        """Whether the recipe asks for a state this long after the last one."""
        return seconds >= self._recipe.checkpoint_seconds

    def save(self, state: Mapping[str, Any]) -> None:
        """Save a state, with the length and the digest of the log at that moment."""
        self._saved.write(state, finished=False)

    @property
    def seconds(self) -> float:
        """What a finished trajectory took, where the recipe has a limit."""
        return self._saved.seconds

    def finish(self, seconds: float) -> None:
        """Mark the trajectory as done; its last state is no longer needed."""
        self._saved.write({}, finished=True, seconds=seconds)

    def log(self, record: Mapping[str, Any]) -> None:
        """Add a line to the log."""
        self._saved.log.add(record)
        self._watcher.record(record)

    def score(self, model: nn.Module) -> Mapping[str, float]:
        """Scores on the validation split."""
        return self._evaluate(model, self._data.splits["val"])

    def members(
        self, taken: Sequence[tuple[Collector, int]], step: int, model: nn.Module
    ) -> None:
        """Append members to the population, with their validation scores.

        One walk over the training examples serves all of them that are averages.
        """
        live = weights_of(model)
        found = self._ready(taken, model, live)
        for (collector, index), weights in zip(taken, found, strict=True):
            self._append(collector, index, weights, step, model)
        load_into(model, live)
        for collector in dict.fromkeys(collector for collector, _ in taken):
            self._keep(collector)

    def score_member(
        self, collector: Collector, index: int, model: nn.Module
    ) -> Mapping[str, float]:
        """Validation scores of what a collector would give now."""
        live = weights_of(model)
        (weights,) = self._ready([(collector, index)], model, live)
        load_into(model, weights)
        scores = self.score(model)
        load_into(model, live)
        return scores

    def _ready(
        self, taken: Sequence[tuple[Collector, int]], model: nn.Module, live: Weights
    ) -> list[Weights]:
        """Members with the normalisation statistics that belong to them."""
        found = [collector.member(index, live) for collector, index in taken]
        places = [p for p, (collector, _) in enumerate(taken) if collector.averaged]
        if places and has_statistics(model):
            trajectory = self._trajectory
            rows_N = trajectory.rows(len(self._data.splits["train"]))
            walk = statistics_batches(
                self._data,
                self._recipe,
                trajectory.seed,
                model,
                rows_N,
                unlabelled=trajectory.consistency is not None,
            )
            fresh = reestimate(model, [found[place] for place in places], walk)
            for place, weights in zip(places, fresh, strict=True):
                found[place] = weights
        return found

    def _append(
        self,
        collector: Collector,
        index: int,
        taken: Weights,
        step: int,
        model: nn.Module,
    ) -> None:
        trajectory = self._trajectory
        self._check_finite(taken, step)
        load_into(model, taken)
        scores = self.score(model)
        name, group = trajectory.named(collector)
        facts = {
            "label": f"{name}-c{index:02d}-s{step}",
            "how": collector.how,
            "group": group,
            "step": step,
            "cycle": index,
            "seed": trajectory.seed,
            "scores": {f"val_{name}": value for name, value in scores.items()},
            "details": {
                "trajectory": trajectory.name,
                **({} if trajectory.fold is None else {"fold": trajectory.fold}),
                **collector.details(index),
            },
        }
        self._put(taken, facts, layout_of(model))

    def _put(self, weights: Weights, facts: Mapping[str, Any], layout: Layout) -> None:
        """Append a member to the population."""
        member = self._run.population.append(weights, layout=layout, **facts)
        self._watcher.member(member)

    def _keep(self, collector: Collector) -> None:
        """Write what a collector wants kept beside its members."""
        found = collector.keepsake()
        if found:
            name, _ = self._trajectory.named(collector)
            self._put_aside(name, found)

    def _put_aside(self, name: str, found: Mapping[str, Any]) -> None:
        """Write the file of a collector."""
        save_state(self._run.folder / "collected" / f"{name}.safetensors", found)

    def _check_finite(self, taken: Weights, step: int) -> None:
        """Refuse weights that the last updates before a member have spoiled."""
        if all(bool(tensor.isfinite().all()) for tensor in taken.values()):
            return
        rate = self._trajectory.schedule(step - 1)
        raise TrainingError(
            f"{self._trajectory.name}: the weights are NaN or infinite after step "
            f"{step - 1} with learning rate {rate:.6g}; a lower peak rate or gradient "
            "clipping usually helps"
        )
