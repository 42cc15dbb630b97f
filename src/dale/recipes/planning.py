"""What a recipe will cost, before it is run."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from dale.data import Data
from dale.models import count_parameters
from dale.train import (
    Batches,
    Engine,
    Recipe,
    Trajectory,
    build_augment,
    build_model,
    build_optimizer,
)
from dale.weights import weights_of

_PILOT_SECONDS = 2.0


@dataclass(frozen=True)
class Planned:
    """One trajectory of a plan.

    Args:
        name: Of the trajectory.
        steps: Updates.
        members: Steps at which members are taken.
        first_rate: Learning rate of the first update.
        peak: Largest rate.
        last_rate: Rate of the last update.
        curve: The rate at 48 equal distances, as shares of the peak.
    """

    name: str
    steps: int
    members: tuple[int, ...]
    first_rate: float
    peak: float
    last_rate: float
    curve: tuple[float, ...]


@dataclass(frozen=True)
class Plan:
    """What a recipe will do and cost.

    Args:
        trajectories: What is trained.
        per_epoch: Updates in an epoch.
        examples: Sizes of the splits.
        parameters: Trainable numbers of the model.
        disk_bytes: Members and the last saved states.
        seconds_per_step: Measured in a short pilot.
        seconds: Of all updates, from the pilot; evaluation comes on top.
    """

    trajectories: tuple[Planned, ...]
    per_epoch: int
    examples: Mapping[str, int]
    parameters: int
    disk_bytes: int
    seconds_per_step: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def plan(recipe: Recipe, data: Data) -> Plan:
    """Count the steps, time a pilot and add up the disk space.

    Args:
        recipe: What would be trained.
        data: Its data.

    Returns:
        The plan. Nothing is written.
    """
    examples = len(data.splits["train"])
    trajectories = recipe.trajectories(examples)
    planned = tuple(_planned(trajectory) for trajectory in trajectories)
    model = build_model(recipe, data, recipe.seed)
    size = sum(t.numel() * t.element_size() for t in weights_of(model).values())
    members = sum(trajectory.member_count() for trajectory in trajectories)
    each = _pilot(recipe, data)
    return Plan(
        trajectories=planned,
        per_epoch=recipe.budget(examples).per_epoch,
        examples={name: len(split) for name, split in data.splits.items()},
        parameters=count_parameters(model),
        disk_bytes=size * (members + 3),
        seconds_per_step=each,
        seconds=each * sum(item.steps for item in planned),
    )


def _planned(trajectory: Trajectory) -> Planned:
    schedule, points = trajectory.schedule, 48
    rates = [schedule(schedule.steps * i // points) for i in range(points)]
    peak = max(schedule.values())
    return Planned(
        name=trajectory.name,
        steps=schedule.steps,
        members=tuple(trajectory.member_steps()),
        first_rate=schedule(0),
        peak=peak,
        last_rate=schedule(schedule.steps - 1),
        curve=tuple(rate / peak if peak else 0.0 for rate in rates),
    )


def _pilot(recipe: Recipe, data: Data) -> float:
    """Median seconds of an update: batch, forward, backward, step."""
    engine = Engine(recipe.engine)
    with torch.random.fork_rng():
        model = build_model(recipe, data, recipe.seed).to(engine.device)
        call, optimizer = engine.prepare(model, build_optimizer(recipe, model))
        split = data.splits["train"]
        batches = Batches(len(split), recipe.batch)
        order = batches.order(recipe.seed, 0)
        augment = build_augment(recipe)
        generator = torch.Generator().manual_seed(recipe.seed)
        seconds: list[float] = []
        begun = time.perf_counter()
        while time.perf_counter() - begun < _PILOT_SECONDS or len(seconds) < 3:
            start, end = batches.bounds(len(seconds) % batches.per_epoch)
            chosen, started = order[start:end], time.perf_counter()
            inputs = engine.place(split.batch(chosen, augment, generator))
            loss = cross_entropy(call(inputs), engine.place(split.targets_N[chosen]))
            optimizer.zero_grad()
            engine.backward(loss)
            optimizer.step()
            loss.item()
            seconds.append(time.perf_counter() - started)
    return sorted(seconds)[len(seconds) // 2]
