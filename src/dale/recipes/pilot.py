"""A few updates that are thrown away: what an update takes in time and memory."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import quantiles

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from dale.data import Data
from dale.predict import infer
from dale.train import Recipe, Rehearsal, Trajectory

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
        targets: Mean predictions of every example, for temporal ensembling.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    targets: int = 0

    @property
    def total(self) -> int:
        """All of it; data, averages that are carried along and PyTorch come on top."""
        held = self.weights + self.gradients + self.optimizer
        return held + self.activations + self.targets


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


def fly(
    recipe: Recipe,
    data: Data,
    trajectory: Trajectory | None = None,
    share: float = 1.0,
) -> Pilot:
    """Make a few updates of a recipe's network on its data, and keep nothing.

    Args:
        recipe: What would be trained.
        data: Its data.
        trajectory: Whose updates they are, where it asks for more than right answers.
        share: Of the usual time.

    Returns:
        Time and memory. Neither the random generators nor the disk are touched.
    """
    heard: list[int] = []

    def listen(call: nn.Module) -> Callable[[Tensor], Tensor]:
        # a compiled network cannot be listened to
        return call if recipe.engine.compile else _Listener(call, heard)

    with torch.random.fork_rng():
        rehearsal = Rehearsal(recipe, data, listen, trajectory)
        model, seconds = rehearsal.model, list[float]()
        # from the last step on: by then everything that is asked for is computed
        first = 0 if trajectory is None else trajectory.steps
        begun = time.perf_counter()
        while time.perf_counter() - begun < share * _SECONDS or len(seconds) < 4:
            started = time.perf_counter()
            # at a rate of zero: the time is the same, and no loss runs away
            rehearsal.update(first + len(seconds), 0.0)
            seconds.append(time.perf_counter() - started)
        activations = max(heard, default=0)
        memory = _memory(rehearsal, activations)
        few = data.splits["val"].subset(
            torch.arange(min(_SCORED, len(data.splits["val"])))
        )
        started = time.perf_counter()
        infer(model, few)
        scoring = (time.perf_counter() - started) / len(few)
    # the first update also sets things up
    low, middle, high = quantiles(seconds[1:], n=4)
    return Pilot(middle, low, high, len(seconds) - 1, scoring, memory)


def _memory(rehearsal: Rehearsal, activations: int) -> Memory:
    model = rehearsal.model
    held = [*model.parameters(), *model.buffers()]
    state = [
        value
        for entry in rehearsal.optimizer.state.values()
        for value in entry.values()
        if isinstance(value, Tensor)
    ]
    return Memory(
        weights=sum(tensor.nbytes for tensor in held),
        gradients=sum(p.nbytes for p in model.parameters() if p.requires_grad),
        optimizer=sum(tensor.nbytes for tensor in state),
        activations=activations,
        targets=rehearsal.remembered,
    )


class _Listener:
    """A network's call that notes what its first forward pass keeps for the backward.

    Args:
        call: The network.
        heard: Where the bytes are noted.
    """

    def __init__(self, call: nn.Module, heard: list[int]) -> None:
        self._call, self._heard = call, heard

    def __call__(self, inputs: Tensor) -> Tensor:
        if self._heard:
            return self._call(inputs)
        with _listening(self._call) as kept:
            outputs = self._call(inputs)
        self._heard.append(sum(kept.values()))
        return outputs


@contextmanager
def _listening(model: nn.Module) -> Iterator[dict[int, int]]:
    """Sizes of what a forward pass saves for the backward, by place in memory."""
    held = (*model.parameters(), *model.buffers())
    own = {tensor.untyped_storage().data_ptr() for tensor in held}
    heard: dict[int, int] = {}

    def hear(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            heard[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(hear, lambda tensor: tensor):
        yield heard
