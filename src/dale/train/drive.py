"""Trains every trajectory of a recipe into a run folder."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from hashlib import sha256

import torch
from torch import nn
from torch.optim import Optimizer

from dale.data import Augment, Data, augmentation
from dale.errors import ModelError, RecipeError
from dale.keys import key
from dale.models import build, build_factory, check_output
from dale.store import Member, Run
from dale.train.companions import before_each_step, build_companions
from dale.train.consistency import Consistent
from dale.train.engine import Engine
from dale.train.follow import Follower
from dale.train.guard import Guard
from dale.train.keeper import Evaluate, RunKeeper, Watcher
from dale.train.loop import Loop
from dale.train.optimizers import OPTIMIZERS
from dale.train.plateau import Plateau
from dale.train.proximal import after_each_step
from dale.train.recipe import Recipe
from dale.train.seams import Seams
from dale.train.specs import settings
from dale.train.trajectory import Trajectory

Hang = Callable[[Trajectory, nn.Module, Optimizer], Seams]


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
    """The recipe's optimiser over a model's parameters.

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
        return row.function(model.parameters(), **given)
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


def train(
    run: Run,
    recipe: Recipe,
    data: Data,
    evaluate: Evaluate,
    watcher: Watcher | None = None,
    seams: Hang = lambda trajectory, model, optimizer: Seams(),
) -> list[Member]:
    """Train a run to its end, or go on with one that was stopped.

    Args:
        run: The run folder, held for writing.
        recipe: What to train; the run's own.
        data: Splits ``"train"`` and ``"val"``.
        evaluate: Scores of a model on a split, such as ``{"error": 0.1}``.
        watcher: Who is told, and who may stop.
        seams: Makes, for each trajectory, what is hung into its updates.

    Returns:
        The members of the run's trajectories.

    Raises:
        InputError: The recipe or the data are not those that training began with.
        NotFiniteError: The loss became NaN or infinite; members so far are kept.
        Interrupted: Stopped on request; train again to go on.
    """
    watcher = watcher or Watcher()
    team = Engine(recipe.engine).team
    inputs = {run.recipe_path.name: run.recipe_digest, **_fingerprints(data)}
    team.lead(lambda: run.pin(inputs))
    trajectories = recipe.trajectories(data.examples)
    with torch.random.fork_rng(), _threads(recipe.engine.threads):
        steps = [trajectory.steps for trajectory in trajectories]
        spent, limit = 0.0, None
        for index, trajectory in enumerate(trajectories):
            if recipe.minutes is not None:  # the same share for every update
                left = max(60 * recipe.minutes - spent, 0.0)
                limit = left * steps[index] / sum(steps[index:])
            facts = run, recipe, data, trajectory, evaluate, watcher
            keeper = team.lead(partial(RunKeeper, *facts)) or Follower(run, trajectory)
            if not keeper.finished:
                one = trajectory, recipe, data, keeper, watcher, seams, limit
                keeper.finish(_train_one(*one))
            spent += keeper.seconds
    team.most(0)  # nobody leaves before the first process has written everything
    groups = {group for trajectory in trajectories for group in trajectory.groups()}
    return [m for m in run.population if m.group in groups and not m.parents]


def _fingerprints(data: Data) -> dict[str, str]:
    """What identifies the data, without reading every training image.

    Normalisation is measured on the training examples and is part of the digests of
    the other splits, so that other training examples show in those as well.
    """
    targets = data.splits["train"].targets_N.contiguous().numpy()
    found = {name: data.splits[name].digest() for name in ("val", "test")}
    if data.unlabelled is not None:
        count = str(len(data.unlabelled)).encode()
        found["unlabelled examples"] = sha256(count).hexdigest()
    return {"train targets": sha256(targets.tobytes()).hexdigest(), **found}


def _train_one(
    trajectory: Trajectory,
    recipe: Recipe,
    data: Data,
    keeper: RunKeeper | Follower,
    watcher: Watcher,
    seams: Hang,
    seconds: float | None,
) -> float:
    # one engine for each trajectory: what Accelerate holds is freed with it, and a
    # loss scaler starts afresh, as it does when the run is resumed here
    engine = Engine(recipe.engine)
    made = build_model(recipe, data, trajectory.seed)
    whole = engine.twin(made)
    model = engine.place_model(made)
    optimizer = build_optimizer(recipe, model)
    split, per_epoch = trajectory.split(data), recipe.budget(data.examples).per_epoch
    hung = asking(trajectory, recipe, data, engine, seams(trajectory, model, optimizer))
    if recipe.companions:
        name = recipe.optimizer.name
        schedules = build_companions(
            recipe.companions, name, trajectory.steps, per_epoch
        )
        follow = before_each_step(optimizer, schedules)
        hung = replace(hung, before_step=(follow, *hung.before_step))
    if recipe.soft_threshold:
        shrink = after_each_step(optimizer, recipe.soft_threshold)
        hung = replace(hung, after_step=(shrink, *hung.after_step))
    return Loop(
        trajectory=trajectory,
        model=model,
        optimizer=optimizer,
        split=split,
        classes=data.classes,
        batch=recipe.batch,
        per_epoch=per_epoch,
        engine=engine,
        keeper=keeper,
        evaluate=keeper.score,
        augment=build_augment(recipe),
        label_smoothing=recipe.label_smoothing,
        needs=OPTIMIZERS[recipe.optimizer.name].needs,
        seconds=seconds,
        plateau=None if recipe.plateau is None else Plateau(recipe.plateau),
        guard=None if recipe.guard is None else Guard(recipe.guard),
        seams=hung,
        whole=whole,
        watch=watcher.progress,
        stop=watcher.stop,
    ).run()


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
