"""What a recipe asks for, built: the network, its optimiser, the augmentation."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from dale.data import Augment, Data, augmentation
from dale.errors import ModelError, RecipeError
from dale.keys import key
from dale.models import build, build_factory, check_output
from dale.train.consistency import Consistent
from dale.train.engine import Engine
from dale.train.layers import parameter_groups
from dale.train.optimizers import OPTIMIZERS
from dale.train.recipe import Recipe
from dale.train.seams import Seams
from dale.train.specs import settings
from dale.train.trajectory import Trajectory


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
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError(f"model {name} has no parameter to train")
    return model


def build_optimizer(recipe: Recipe, model: nn.Module) -> Optimizer:
    """The recipe's optimiser over a model's parameters; see `optimizer_of`."""
    fields = [list(f) for f in recipe.companions.values() if isinstance(f, Mapping)]
    layers = None if recipe.layers is None else recipe.layers.patterns
    return optimizer_of(recipe, parameter_groups(model, layers, fields))


def optimizer_of(recipe: Recipe, parameters: Iterable[Any]) -> Optimizer:
    """The recipe's optimiser over some parameters.

    Raises:
        RecipeError: A setting is out of range, or the engine cannot give the optimiser
            what it needs.
    """
    name, engine = recipe.optimizer.name, recipe.engine
    row, given = OPTIMIZERS[name], settings(recipe.optimizer, "name")
    if row.needs != "gradient" and engine.precision == "fp16":
        raise RecipeError(f"optimizer {name}: scaled losses of fp16 will not do")
    if row.needs == "graph" and (engine.compile or engine.clip is not None):
        key = "compile" if engine.compile else "clip"
        raise RecipeError(f"optimizer {name}: works without engine.{key} only")
    try:
        return row.function(parameters, **given)
    except ValueError as error:
        raise RecipeError(f"optimizer {name}: {error}") from error


def build_augment(recipe: Recipe) -> Augment | None:
    """The recipe's augmentation, or None."""
    return None if recipe.augment is None else augmentation(**dict(recipe.augment))


def asking(
    trajectory: Trajectory, recipe: Recipe, data: Data, engine: Engine, seams: Seams
) -> Seams:
    """What is hung into the updates, with the objective of the trajectory, if any."""
    if trajectory.consistency is None:
        return seams
    return Consistent(
        trajectory.consistency,
        trajectory.batches(trajectory.split(data), recipe.batch),
        data.classes,
        engine,
        recipe.budget(data.examples).per_epoch,
        recipe.label_smoothing,
    ).hang(seams)
