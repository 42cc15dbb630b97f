"""Trains every trajectory of a recipe into a run folder."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from hashlib import sha256

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dale.data import Data, leave_out, make_folds
from dale.errors import RecipeError
from dale.store import Member, Run
from dale.train.building import asking, build_augment, build_model, build_optimizer
from dale.train.companions import before_each_step, build_companions
from dale.train.engine import Engine
from dale.train.follow import Follower
from dale.train.guard import Guard
from dale.train.keeper import RunKeeper
from dale.train.layers import Layerwise
from dale.train.loop import Loop
from dale.train.optimizers import OPTIMIZERS
from dale.train.outlets import Evaluate, Watcher
from dale.train.plateau import Plateau
from dale.train.proximal import after_each_step
from dale.train.recipe import Recipe
from dale.train.seams import Seams
from dale.train.stacked import parts
from dale.train.stacked.together import Together
from dale.train.trackers import Mirror, flattened, mirrored, openers
from dale.train.trajectory import Trajectory

Hang = Callable[[Trajectory, nn.Module, Optimizer], Seams]


def _nothing(trajectory: Trajectory, model: nn.Module, optimizer: Optimizer) -> Seams:
    return Seams()


def folds_of(recipe: Recipe, data: Data) -> Tensor:
    """The fold, from 0, of each training example of a recipe that has folds.

    Raises:
        RecipeError: Part of the examples has no label.
    """
    assert recipe.folds is not None
    if data.unlabelled is not None:
        raise RecipeError("folds: expected a label for every training example")
    return make_folds(data.splits["train"].targets_N, recipe.folds, recipe.seed)


def train(
    run: Run,
    recipe: Recipe,
    data: Data,
    evaluate: Evaluate,
    watcher: Watcher | None = None,
    seams: Hang = _nothing,
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
    mirror = team.lead(lambda: _mirror(run, recipe, watcher))
    if mirror is not None:
        watcher = replace(watcher, record=mirror.send)
    stacking, hung = recipe.engine.stack != "never", seams is not _nothing
    together = Together(run, recipe, data, evaluate, watcher, team.size, hung)
    with torch.random.fork_rng(), _threads(recipe.engine.threads), mirrored(mirror):
        spent, owed = 0.0, sum(trajectory.steps for trajectory in trajectories)
        for part in parts(trajectories):
            if stacking and len(part) > 1 and team.lead(partial(together.train, part)):
                continue
            for trajectory in part:
                limit = None
                if recipe.minutes is not None:  # the same share for every update
                    left = max(60 * recipe.minutes - spent, 0.0)
                    limit = left * trajectory.steps / owed
                mine = data
                if trajectory.fold is not None:
                    fold = trajectory.fold - 1
                    mine, _ = leave_out(data, folds_of(recipe, data), fold)
                facts = run, recipe, mine, trajectory, evaluate, watcher
                made = team.lead(partial(RunKeeper, *facts))
                keeper = made or Follower(run, trajectory)
                if not keeper.finished:
                    one = trajectory, recipe, mine, keeper, watcher, seams, limit
                    keeper.finish(_train_one(*one))
                spent, owed = spent + keeper.seconds, owed - trajectory.steps
    team.most(0)  # nobody leaves before the first process has written everything
    groups = {group for trajectory in trajectories for group in trajectory.groups()}
    return [m for m in run.population if m.group in groups and not m.parents]


def _mirror(run: Run, recipe: Recipe, watcher: Watcher) -> Mirror | None:
    """What sends the log to the recipe's trackers, if it has any."""
    if not recipe.trackers:
        return None
    config = flattened(recipe.model_dump(mode="json"))
    return Mirror(run, openers(recipe.trackers), config, watcher.warn)


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
    span = trajectory.steps, per_epoch
    if recipe.companions:
        name = recipe.optimizer.name
        schedules = build_companions(recipe.companions, name, *span)
        follow = before_each_step(optimizer, schedules, model)
        hung = replace(hung, before_step=(follow, *hung.before_step))
    rule = recipe.layer_rule(*span)
    if rule is not None:
        layers = Layerwise(optimizer, rule, engine.team.most)
        hung = replace(
            hung,
            before_step=(*hung.before_step, layers.apply),
            carried={**hung.carried, "layers": layers},
            records=(*hung.records, layers.record),
        )
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
