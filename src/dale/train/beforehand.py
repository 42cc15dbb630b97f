"""What can be known to fail before a run is made."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dale.data import Data, Split
from dale.errors import RecipeError
from dale.train.building import build_augment, build_model, build_optimizer
from dale.train.drive import folds_of
from dale.train.engine import Engine
from dale.train.recipe import Recipe
from dale.train.trackers import openers
from dale.train.trajectory import Trajectory

_LOOKED = 8
"""Examples whose two predictions are compared."""


def check_beforehand(recipe: Recipe, data: Data) -> nn.Module:
    """Refuse what could not be trained, so that no run is begun for it.

    Training checks the same again where it matters: here folds are passed over, whose
    batches are smaller.

    Args:
        recipe: What would be trained.
        data: Its data.

    Returns:
        The recipe's network; its statistics of normalisation may have changed.

    Raises:
        InputError: A setting of the augmentation is out of range or it does not fit
            the data, a tracker could not be opened, or the network does not fit.
        RecipeError: A strategy does not fit into the budget, folds or optimiser cannot
            be made, a batch has fewer examples than parts, or the Π-model would
            compare two predictions that cannot differ.
    """
    openers(recipe.trackers)
    trajectories = recipe.trajectories(data.examples)
    if recipe.folds is not None:
        folds_of(recipe, data)
    model = build_model(recipe, data, recipe.seed)
    build_optimizer(recipe, model)
    _check_parts(recipe, data, trajectories)
    augment = build_augment(recipe)
    if augment is not None:
        _check_crop(dict(recipe.augment or {})["crop"], data)
        data.splits["train"].batch(torch.arange(1), augment, torch.Generator())
    compared = [t.consistency for t in trajectories if t.consistency is not None]
    if augment is None and any(a.decay is None and not a.noise for a in compared):
        _check_chance(model, data.splits["train"])
    return model


def _check_parts(
    recipe: Recipe, data: Data, trajectories: Sequence[Trajectory]
) -> None:
    parts = Engine(recipe.engine).parts
    for trajectory in trajectories:
        batches = trajectory.batches(trajectory.split(data), recipe.batch)
        if batches.smallest < parts:
            raise RecipeError(
                f"{trajectory.name}: a batch of {batches.smallest} examples cannot be "
                f"cut into {parts} parts (processes × accumulate); expected a larger "
                "batch"
            )


def _check_crop(crop: int, data: Data) -> None:
    """Refuse a padding that could push all of an image out of sight."""
    size = max(data.shape[1:], default=crop)
    if crop > size:
        raise RecipeError(
            f"augment: crop is {crop}; expected at most {size}, the size of the images"
        )


def _check_chance(model: nn.Module, split: Split) -> None:
    """Refuse a network that says the same of an example twice."""
    inputs = split.batch(torch.arange(min(_LOOKED, len(split))))
    training = model.training
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        said: Tensor = model.train()(torch.cat([inputs, inputs]))
    model.train(training)
    one_BC, other_BC = said.chunk(2)
    if torch.allclose(one_BC, other_BC, 1e-5, 1e-6):
        raise RecipeError(
            "pi: both predictions of an update would be the same; expected a network "
            "with dropout, augment in the recipe or noise in the strategy"
        )
