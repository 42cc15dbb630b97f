"""Trains every trajectory of a recipe into a run folder."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from dale.data import Data, Split, augmentation
from dale.errors import CorruptError, DiskError
from dale.keys import key
from dale.models import build, build_factory, check_output
from dale.store import Member, Run, finite
from dale.train.checkpoint import load_state, save_state
from dale.train.collect import Collector
from dale.train.engine import Engine
from dale.train.loop import Batches, Loop, Progress
from dale.train.optimizers import OPTIMIZERS
from dale.train.recipe import Recipe
from dale.train.specs import settings
from dale.train.strategies import Trajectory
from dale.weights import (
    Weights,
    has_statistics,
    layout_of,
    load_into,
    reestimate,
    weights_of,
)

Evaluate = Callable[[nn.Module, Split], Mapping[str, float]]


@dataclass(frozen=True)
class Watcher:
    """Who is told of progress, and who may stop it.

    Args:
        progress: Called now and then with where training stands.
        member: Called with each member taken.
        stop: Asked after each update whether to stop.
    """

    progress: Callable[[Progress], None] = lambda progress: None
    member: Callable[[Member], None] = lambda member: None
    stop: Callable[[], bool] = lambda: False


def build_model(recipe: Recipe, data: Data, seed: int) -> nn.Module:
    """The recipe's model with the initial weights of a seed, its output checked."""
    with torch.random.fork_rng():
        torch.manual_seed(key(seed, "init"))
        given, name = settings(recipe.model, "name"), recipe.model.name
        if name == "factory":
            model = build_factory(shape=data.shape, classes=data.classes, **given)
        else:
            model = build(name, data.shape, data.classes, **given)
    check_output(model, data.shape, data.classes)
    return model


def statistics_batches(data: Data, recipe: Recipe, seed: int) -> Iterator[Tensor]:
    """One walk over the training examples, mixed, without augmentation."""
    split = data.splits["train"]
    batches = Batches(len(split), recipe.batch)
    generator = torch.Generator().manual_seed(key(seed, "statistics"))
    order = torch.randperm(len(split), generator=generator)
    for index in range(batches.per_epoch):
        start, end = batches.bounds(index)
        yield split.batch(order[start:end])


def train(
    run: Run,
    recipe: Recipe,
    data: Data,
    evaluate: Evaluate,
    watcher: Watcher | None = None,
) -> list[Member]:
    """Train a run to its end, or go on with one that was stopped.

    Args:
        run: The run folder, held for writing.
        recipe: What to train; the run's own.
        data: Splits ``"train"`` and ``"val"``.
        evaluate: Scores of a model on a split, such as ``{"error": 0.1}``.
        watcher: Who is told, and who may stop.

    Returns:
        The members of the run's trajectories.

    Raises:
        NotFiniteError: The loss became NaN or infinite; members so far are kept.
        Interrupted: Stopped on request; train again to go on.
    """
    watcher = watcher or Watcher()
    engine = Engine(recipe.engine)
    examples = len(data.splits["train"])
    trajectories = recipe.trajectories(examples)
    with torch.random.fork_rng():
        for trajectory in trajectories:
            keeper = RunKeeper(run, recipe, data, trajectory, evaluate, watcher)
            if not keeper.finished:
                _train_one(trajectory, recipe, data, engine, keeper, watcher)
                keeper.finish()
    groups = {trajectory.group for trajectory in trajectories}
    return [m for m in run.population if m.group in groups and not m.parents]


def _train_one(
    trajectory: Trajectory,
    recipe: Recipe,
    data: Data,
    engine: Engine,
    keeper: "RunKeeper",
    watcher: Watcher,
) -> None:
    model = build_model(recipe, data, trajectory.seed).to(engine.device)
    make = OPTIMIZERS[recipe.optimizer.name].function
    augment = None
    if recipe.augment is not None:
        augment = augmentation(**dict(recipe.augment))
    Loop(
        trajectory=trajectory,
        model=model,
        optimizer=make(model.parameters(), **settings(recipe.optimizer, "name")),
        split=data.splits["train"],
        batch=recipe.batch,
        engine=engine,
        keeper=keeper,
        evaluate=keeper.score,
        augment=augment,
        label_smoothing=recipe.label_smoothing,
        watch=watcher.progress,
        stop=watcher.stop,
    ).run()


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
        self._path = run.folder / "state" / f"{trajectory.name}.safetensors"
        self._log = Log(run.folder / "log.jsonl")
        self._state = load_state(self._path)
        if self._state is not None and self._state["recipe"] != run.recipe_digest:
            raise CorruptError(
                f"{self._path} belongs to another recipe than {run.recipe_path}"
            )
        if not self.finished:
            self._log.cut(self._state["log"] if self._state else self._log_start())

    @property
    def finished(self) -> bool:
        """Whether the trajectory was trained to its end."""
        return self._state is not None and self._state["finished"]

    def load(self) -> Mapping[str, Any] | None:
        """The last saved state, if any."""
        return self._state["loop"] if self._state is not None else None

    def due(self, seconds: float) -> bool:
        """Whether the recipe asks for a state this long after the last one."""
        return seconds >= self._recipe.checkpoint_seconds

    def save(self, state: Mapping[str, Any]) -> None:
        """Save a state, with the length of the log at that moment."""
        self._write(state, finished=False)

    def finish(self) -> None:
        """Mark the trajectory as done; its last state is no longer needed."""
        self._write({}, finished=True)

    def log(self, record: Mapping[str, Any]) -> None:
        """Add a line to the log."""
        self._log.add(record)

    def score(self, model: nn.Module) -> Mapping[str, float]:
        """Scores on the validation split."""
        return self._evaluate(model, self._data.splits["val"])

    def member(
        self, collector: Collector, index: int, step: int, model: nn.Module
    ) -> None:
        """Append a member to the population, with its validation scores."""
        trajectory = self._trajectory
        live = weights_of(model)
        taken: Weights = collector.member(live)
        if collector.averaged and has_statistics(model):
            walk = statistics_batches(self._data, self._recipe, trajectory.seed)
            (taken,) = reestimate(model, [taken], walk)
        load_into(model, taken)
        scores = self.score(model)
        load_into(model, live)
        member = self._run.population.append(
            taken,
            label=f"{trajectory.name}-c{index:02d}-s{step}",
            how=collector.how,
            group=trajectory.group,
            layout=layout_of(model),
            step=step,
            cycle=index,
            seed=trajectory.seed,
            scores={f"val_{name}": value for name, value in scores.items()},
            details={"trajectory": trajectory.name},
        )
        self._watcher.member(member)

    def _write(self, state: Mapping[str, Any], finished: bool) -> None:
        self._log.sync()
        document = {
            "recipe": self._run.recipe_digest,
            "log": self._log.size,
            "finished": finished,
            "loop": state,
        }
        save_state(self._path, document)

    def _log_start(self) -> int:
        """Where this trajectory's lines begin: after those of the ones before."""
        name, size = self._trajectory.name, 0
        for line, record in self._log.lines():
            if record["trajectory"] == name:
                break
            size += len(line)
        return size


class Log:
    """A file of JSON lines that can be cut back to an earlier length.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._path.stat().st_size if self._path.exists() else 0

    def lines(self) -> Iterator[tuple[bytes, Mapping[str, Any]]]:
        """Each whole line and what it says; a half-written last line is left out."""
        if not self._path.exists():
            return
        for line in self._path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                yield line, json.loads(line)

    def cut(self, size: int) -> None:
        """Forget what was written after an earlier length.

        Raises:
            CorruptError: The log is shorter than that.
        """
        if size > self.size:
            raise CorruptError(f"{self._path} is shorter than the saved state says")
        if size < self.size:
            with self._open("r+b") as file:
                file.truncate(size)

    def add(self, record: Mapping[str, Any]) -> None:
        """Append one line."""
        with self._open("ab") as file:
            file.write(json.dumps(finite(record)).encode() + b"\n")

    def sync(self) -> None:
        """Make sure that the lines so far are on the disk."""
        if self._path.exists():
            with self._open("ab") as file:
                os.fsync(file.fileno())

    @contextmanager
    def _open(self, mode: str) -> Iterator[IO[bytes]]:
        try:
            with open(self._path, mode) as file:
                yield file
        except OSError as error:
            raise DiskError(
                f"could not write {self._path}: {error.strerror}"
            ) from error
