"""A recipe's updates, made for what they tell and thrown away."""

from collections.abc import Callable
from typing import Any

import torch

from dale.data import Data
from dale.train.batches import Batches
from dale.train.building import (
    asking,
    build_augment,
    build_model,
    build_optimizer,
)
from dale.train.engine import Engine
from dale.train.layers import Layerwise
from dale.train.optimizers import OPTIMIZERS
from dale.train.recipe import Recipe
from dale.train.seams import Seams, classification
from dale.train.trajectory import Trajectory
from dale.train.update import Updater


class Rehearsal:
    """The network, optimiser and batches of a recipe, without a run.

    Updates are those of training: the same batches in the same order, cut into the
    same microbatches. They seed PyTorch's generators; fork these around a rehearsal.

    Args:
        recipe: What would be trained.
        data: Its data.
        wrap: Put around the network's call, to listen to it.
        trajectory: Whose updates; those of a trajectory that learns from labels alone
            unless given.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: Data,
        wrap: Callable[[Any], Any] = lambda call: call,
        trajectory: Trajectory | None = None,
    ) -> None:
        engine, split = Engine(recipe.engine), data.splits["train"]
        self._seams = Seams()
        if trajectory is not None:
            split = trajectory.split(data)
            self._seams = asking(trajectory, recipe, data, engine, self._seams)
        self.model = engine.place_model(build_model(recipe, data, recipe.seed))
        optimizer = build_optimizer(recipe, self.model)
        self._batches, self._seed = Batches.of(split, recipe.batch), recipe.seed
        if trajectory is not None:
            self._batches = trajectory.batches(split, recipe.batch)
        # an epoch of training is one of all examples, labelled or not
        per_epoch = recipe.budget(recipe.seen(data.examples)).per_epoch
        steps = recipe.epochs * per_epoch if trajectory is None else trajectory.steps
        rule = recipe.layer_rule(steps, per_epoch)
        self._layers = None if rule is None else Layerwise(optimizer, rule)
        call, self.optimizer = engine.prepare(self.model, optimizer)
        self._order_N, self._ordered = torch.empty(0, dtype=torch.int64), -1
        self._updater = Updater(
            name="rehearsal",
            seed=recipe.seed,
            model=self.model,
            call=wrap(call),
            optimizer=self.optimizer,
            split=split,
            classes=data.classes,
            engine=engine,
            objective=self._seams.objective or classification(recipe.label_smoothing),
            augment=build_augment(recipe),
            needs=OPTIMIZERS[recipe.optimizer.name].needs,
        )

    @property
    def remembered(self) -> int:
        """Bytes that are remembered of every example from update to update."""
        return sum(getattr(c, "nbytes", 0) for c in self._seams.carried.values())

    def update(self, step: int, rate: float) -> float:
        """Make an update.

        Args:
            step: Updates done so far.
            rate: Learning rate.

        Returns:
            The loss of the batch, before the update.
        """
        epoch, place = divmod(step, self._batches.per_epoch)
        if epoch != self._ordered:
            self._order_N = self._batches.order(self._seed, epoch)
            self._ordered = epoch
            self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)
        start, end = self._batches.bounds(place)
        loss, _ = self._updater(self._order_N[start:end], step)
        for hook in self._seams.after_step:
            hook(step + 1)
        return float(loss)
