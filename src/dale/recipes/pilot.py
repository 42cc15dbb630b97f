"""A few updates that are thrown away: what an update takes in time and memory."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import quantiles

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from dale.data import Data
from dale.predict import infer
from dale.train import (
    Batches,
    Engine,
    Recipe,
    build_augment,
    build_model,
    build_optimizer,
)

_SECONDS = 2.0
_SCORED = 1000  # examples that scoring is timed on


@dataclass(frozen=True)
class Memory:
    """Bytes that an update needs at once, on one device.

    Args:
        weights: Parameters and buffers.
        gradients: One number for each parameter.
        optimizer: What the optimiser keeps between updates.
        activations: What the forward pass of a microbatch keeps for the backward.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All of it; data, averages that are carried along and PyTorch come on top."""
        return self.weights + self.gradients + self.optimizer + self.activations


@dataclass(frozen=True)
class Pilot:
    """What was measured.

    Args:
        seconds: Of an update, the median.
        low: Lower quartile of the same.
        high: Upper quartile.
        updates: How many were timed.
        scoring: Seconds to score one example, in evaluation mode.
        memory: Of an update.
    """

    seconds: float
    low: float
    high: float
    updates: int
    scoring: float
    memory: Memory


def fly(recipe: Recipe, data: Data) -> Pilot:
    """Make a few updates of a recipe's network on its data, and keep nothing.

    Args:
        recipe: What would be trained.
        data: Its data.

    Returns:
        Time and memory. Neither the random generators nor the disk are touched.
    """
    engine = Engine(recipe.engine)
    with torch.random.fork_rng():
        model = engine.place_model(build_model(recipe, data, recipe.seed))
        call, optimizer = engine.prepare(model, build_optimizer(recipe, model))
        split = data.splits["train"]
        batches = Batches(len(split), recipe.batch)
        order = batches.order(recipe.seed, 0)
        augment = build_augment(recipe)
        generator = torch.Generator().manual_seed(recipe.seed)
        seconds: list[float] = []
        activations = 0
        begun = time.perf_counter()
        while time.perf_counter() - begun < _SECONDS or len(seconds) < 4:
            start, end = batches.bounds(len(seconds) % batches.per_epoch)
            chosen, started = order[start:end], time.perf_counter()
            optimizer.zero_grad()
            for part in chosen.chunk(min(recipe.engine.accumulate, len(chosen))):
                inputs = engine.place(split.batch(part, augment, generator))
                # a compiled network cannot be listened to
                if seconds or recipe.engine.compile:
                    outputs = call(inputs)
                else:
                    with _listening(model) as heard:
                        outputs = call(inputs)
                    activations = max(activations, sum(heard.values()))
                loss = cross_entropy(outputs, engine.place(split.targets_N[part]))
                engine.backward(loss)
            optimizer.step()
            loss.item()
            seconds.append(time.perf_counter() - started)
        memory = _memory(model, optimizer, activations)
        few = data.splits["val"].subset(
            torch.arange(min(_SCORED, len(data.splits["val"])))
        )
        started = time.perf_counter()
        infer(model, few)
        scoring = (time.perf_counter() - started) / len(few)
    # the first update also sets things up
    low, middle, high = quantiles(seconds[1:], n=4)
    return Pilot(middle, low, high, len(seconds) - 1, scoring, memory)


def _memory(model: nn.Module, optimizer: Optimizer, activations: int) -> Memory:
    held = [*model.parameters(), *model.buffers()]
    state = [
        value
        for entry in optimizer.state.values()
        for value in entry.values()
        if isinstance(value, Tensor)
    ]
    return Memory(
        weights=sum(map(_size, held)),
        gradients=sum(_size(p) for p in model.parameters() if p.requires_grad),
        optimizer=sum(map(_size, state)),
        activations=activations,
    )


@contextmanager
def _listening(model: nn.Module) -> Iterator[dict[int, int]]:
    """Sizes of what a forward pass saves for the backward, by place in memory."""
    own = {tensor.untyped_storage().data_ptr() for tensor in model.parameters()}
    heard: dict[int, int] = {}

    def hear(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            heard[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(hear, lambda tensor: tensor):
        yield heard


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
