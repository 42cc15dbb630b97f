"""Trains members at once, where that was chosen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dale.data import Data
from dale.errors import ModelError, RecipeError, TrainingError
from dale.store import Log, Run
from dale.train.batches import Batches
from dale.train.building import build_augment, build_model, optimizer_of
from dale.train.checkpoint import load_state, save_state
from dale.train.companions import before_each_step, build_companions
from dale.train.engine import Engine
from dale.train.guard import Guard
from dale.train.outlets import Evaluate, Watcher
from dale.train.plateau import Plateau
from dale.train.recipe import Recipe
from dale.train.rehearsal import Rehearsal
from dale.train.stacked.choice import Record, name_of, obstacle
from dale.train.stacked.course import Course, state_path
from dale.train.stacked.held import HeldKeeper
from dale.train.stacked.pilot import race
from dale.train.stacked.seat import Seat
from dale.train.stacked.stack import Stack
from dale.train.stacked.update import StackedUpdater
from dale.train.trajectory import Trajectory

_SHARE = 50  # a pilot makes at most so small a part of the updates, each way


@dataclass(frozen=True)
class Together:
    """Decides for the parts of a run, and trains those that are trained at once.

    Args:
        run: The run folder, held for writing.
        recipe: Its recipe.
        data: Its data.
        evaluate: Scores of a model on a split.
        watcher: Who is told, and who may stop.
        processes: That train together.
        hung: Whether a program hangs something into the updates.
    """

    run: Run
    recipe: Recipe
    data: Data
    evaluate: Evaluate
    watcher: Watcher
    processes: int = 1
    hung: bool = False

    def train(self, part: Sequence[Trajectory]) -> bool:
        """Train a part at once, if that is its way.

        Args:
            part: Trajectories of one length.

        Returns:
            Whether they are done; else they are to be trained one after another.

        Raises:
            Interrupted: Stopped on request; train again to go on.
            TrainingError: Members that were done cannot be handed over.
        """
        name, record = name_of(part), Record(self.run)
        known = record.get(name)
        if known is None:
            known = record.put(name, self._choose(part))
            self.watcher.say(f"{name}: {_told(known, len(part))}")
        if known["way"] != "stacked" or self.hung:
            return False
        path = state_path(self.run.folder, name)
        facts = self.run, self.recipe, self.data
        keepers = [HeldKeeper(*facts, t, self.evaluate, self.watcher) for t in part]
        if not all(keeper.finished for keeper in keepers):
            course = self._course(part, keepers)
            try:
                course.run(self._saved(name))
                for keeper, seat in zip(keepers, course.seats, strict=True):
                    if not keeper.finished:
                        keeper.release(seat.model)
            except TrainingError as error:
                if any(keeper.finished for keeper in keepers):
                    raise
                # one after another, those before the one that failed are kept
                known = record.put(name, {"way": "loop", "why": str(error)})
                self.watcher.say(f"{name}: {_told(known, len(part))}")
        path.unlink(missing_ok=True)
        return known["way"] == "stacked"

    def _choose(self, part: Sequence[Trajectory]) -> dict[str, Any]:
        """The way of a part that has not begun."""
        why = obstacle(self.recipe, part, self.processes)
        if not why and self.hung:
            why = "what is hung into the updates works on one network"
        if not why and self.data.unlabelled is not None:
            why = "some examples have no label"
        states = self.run.folder / "state"
        if not why and state_path(self.run.folder, name_of(part)).exists():
            return {"way": "stacked", "why": "they were begun so"}
        if not why and any((states / f"{t.name}.safetensors").exists() for t in part):
            why = "they were begun so"
        if why:
            return {"way": "loop", "why": why}
        try:
            update = stacked_updater(self.recipe, self.data, part)
            rows_N = torch.arange(min(8, len(update.split)))
            update.stack.check(update.engine.place(update.split.batch(rows_N)))
        except ModelError as error:
            return {"way": "loop", "why": str(error)}
        if self.recipe.engine.stack == "always":
            return {"way": "stacked", "why": "engine.stack is always"}
        return self._raced(part, update)

    def _raced(
        self, part: Sequence[Trajectory], update: StackedUpdater
    ) -> dict[str, Any]:
        """What a pilot finds."""
        try:
            together, apart = contestants(self.recipe, self.data, part, update)
            most = max(t.steps for t in part) // _SHARE
            found = race(together, apart, len(part), most)
        except TrainingError as error:
            return {"way": "loop", "why": str(error)}
        way = "stacked" if found.won else "loop"
        return {"way": way, "why": "a pilot", "pilot": found.to_dict()}

    def _course(
        self, part: Sequence[Trajectory], keepers: Sequence[HeldKeeper]
    ) -> Course:
        recipe, name = self.recipe, name_of(part)
        update = stacked_updater(recipe, self.data, part)
        seats = [
            Seat(
                trajectory=trajectory,
                model=model,
                optimizer=update.optimizer,
                split=update.split,
                classes=update.classes,
                batch=recipe.batch,
                engine=update.engine,
                keeper=keeper,
                evaluate=keeper.score,
                plateau=None if recipe.plateau is None else Plateau(recipe.plateau),
                guard=None if recipe.guard is None else Guard(recipe.guard),
            )
            for trajectory, model, keeper in zip(
                part, update.stack.models, keepers, strict=True
            )
        ]
        batches = Batches(len(update.split), recipe.batch)
        schedules = build_companions(
            recipe.companions, recipe.optimizer.name, part[0].steps, batches.per_epoch
        )
        return Course(
            seats=seats,
            keepers=keepers,
            update=update,
            batches=batches,
            due=keepers[0].due,
            save=lambda state: self._save(name, state),
            before_step=(before_each_step(update.optimizer, schedules),),
            watch=self.watcher.progress,
            stop=self.watcher.stop,
        )

    def _save(self, name: str, state: Mapping[str, Any]) -> None:
        log = Log(self.run.log_path)
        document = {
            "recipe": self.run.recipe_digest,
            "log": log.size,
            "log_sha256": log.digest,
            "finished": False,
            "loop": state,
        }
        save_state(state_path(self.run.folder, name), document)

    def _saved(self, name: str) -> Mapping[str, Any] | None:
        document = load_state(state_path(self.run.folder, name))
        if document is None:
            return None
        if document["recipe"] != self.run.recipe_digest:
            raise RecipeError(
                f"{self.run.recipe_path} was changed after training began; restore it, "
                "or train the new recipe into another folder"
            )
        return document["loop"]


def stacked_updater(
    recipe: Recipe, data: Data, part: Sequence[Trajectory]
) -> StackedUpdater:
    """Networks with their initial weights, stacked, and what updates them.

    Args:
        recipe: What is trained.
        data: Its data.
        part: A trajectory for each network.

    Returns:
        The updater, which holds the stack and its optimiser.

    Raises:
        ModelError: The networks do not fit together.
    """
    engine = Engine(recipe.engine)
    models = [engine.place_model(build_model(recipe, data, t.seed)) for t in part]
    stack = Stack(models)
    return StackedUpdater(
        name=f"{name_of(part)} × {len(part)}",
        seeds=[trajectory.seed for trajectory in part],
        stack=stack,
        optimizer=optimizer_of(recipe, stack.parameters.values()),
        split=data.splits["train"],
        classes=data.classes,
        engine=engine,
        augment=build_augment(recipe),
        label_smoothing=recipe.label_smoothing,
    )


def contestants(
    recipe: Recipe, data: Data, part: Sequence[Trajectory], update: StackedUpdater
) -> tuple[Callable[[int], float], Callable[[int], float]]:
    """Updates of all members at once, and of one: for `race`.

    Args:
        recipe: What would be trained.
        data: Its data.
        part: The members' trajectories.
        update: Of networks that are dropped afterwards; rates are zero.

    Returns:
        Functions of the number of updates done.
    """
    batches = Batches(len(update.split), recipe.batch)
    rehearsal = Rehearsal(recipe, data)
    orders_MN = torch.stack([batches.order(t.seed, 0) for t in part])
    for model in update.stack.models:
        model.train()

    # where schedules differ, rates do: as good as zero, but not all the same
    rates = [0.0] * len(part)
    if len({trajectory.schedule(trajectory.steps // 2) for trajectory in part}) > 1:
        rates[0] = 1e-30

    def together(step: int) -> float:
        start, end = batches.bounds(step % batches.per_epoch)
        losses_M, _ = update(orders_MN[:, start:end], step, rates)
        return float(losses_M.sum())

    return together, lambda step: rehearsal.update(step, 0.0)


def _told(known: Mapping[str, Any], members: int) -> str:
    """A decision in one line."""
    if known["way"] == "stacked":
        line = f"{members} networks trained at once"
    else:
        line = f"{members} networks trained one after another"
    pilot = known.get("pilot")
    if pilot is None:
        return f"{line}: {known['why']}"
    return (
        f"{line}: an update of all takes {1000 * pilot['stacked']:.2f} ms at once, "
        f"{1000 * pilot['apart']:.2f} ms one after another"
    )
