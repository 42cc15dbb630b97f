"""Collectors: small values that watch a trajectory and take members out of it.

A collector sees the step, counted as updates done so far, and the weights at that
step. `update` may change what the collector carries along, and what it carries is
part of a checkpoint; `member` is a pure function of that state and the weights. So
a checkpoint can be written first and the member taken afterwards: whatever moment a
process is killed at, the member is taken again from the same state.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn

from dale.errors import InputError
from dale.weights import RunningMean, Weights, weights_of
from dale.weights.running import RunningState


class Collector(ABC):
    """What the training loop asks of a collector."""

    how: str
    """How its members are made; recorded with each."""
    averaged: bool
    """Whether its members need their normalisation statistics re-estimated."""

    @abstractmethod
    def emits(self, step: int) -> int | None:
        """Index of the member, from 1, to take after `step` updates, if any."""

    @abstractmethod
    def member(self, weights: Weights) -> Weights:
        """The member's weights, given the live ones."""

    def wants(self, step: int) -> bool:
        """Whether `update` must see the weights after `step` updates."""
        return False

    def update(self, step: int, weights: Weights) -> None:
        """Take note of the weights after `step` updates."""
        raise NotImplementedError  # only called where `wants` is true

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold: tensors and JSON values."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        assert not state, "a collector that carries nothing was given a state"


class SnapshotCollector(Collector):
    """Takes the live weights at given steps.

    Args:
        ends: Steps, counted as updates done, at which a member is taken.
        how: Name recorded with the members.
    """

    averaged = False

    def __init__(self, ends: Sequence[int], how: str = "snapshot") -> None:
        self.how = how
        self._index = {end: number for number, end in enumerate(ends, start=1)}

    def emits(self, step: int) -> int | None:
        """The number of the cycle that ends here."""
        return self._index.get(step)

    def member(self, weights: Weights) -> Weights:
        """The live weights."""
        return weights


class AverageCollector(Collector):
    """Keeps the running mean of the weights over a tail and takes it at the end.

    ``w̄ ← w̄ + (w − w̄) / (n + 1)`` at ``start + every, start + 2·every, …, end``:
    stochastic weight averaging (Izmailov et al. 2018, arXiv 1803.05407).

    Args:
        start: Step after which averaging begins.
        every: Steps between two models that enter the mean.
        end: Step at which the mean becomes a member.
        how: Name recorded with the member.
    """

    averaged = True

    def __init__(self, start: int, every: int, end: int, how: str = "swa") -> None:
        self.how = how
        self._start, self._every, self._end = start, every, end
        self._mean = RunningMean()

    def wants(self, step: int) -> bool:
        """At whole strides into the tail."""
        past = step - self._start
        return 0 < past and step <= self._end and past % self._every == 0

    def update(self, step: int, weights: Weights) -> None:
        """Let one more model into the mean."""
        self._mean.update(weights)

    def emits(self, step: int) -> int | None:
        """One member, at the end."""
        return 1 if step == self._end else None

    def member(self, weights: Weights) -> Weights:
        """The mean."""
        return self._mean.value()

    def state(self) -> dict[str, Any]:
        """The mean and how many models are in it."""
        return dict(self._mean.state())

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on with a mean that was saved."""
        self._mean = RunningMean.from_state(cast(RunningState, state))


class Snapshots:
    """Takes snapshots in a training loop of your own.

    Call `update` once after each optimiser step; when the number of calls reaches
    one of `ends`, a copy of the model's weights is kept.

    Args:
        ends: Steps at which to take a snapshot, such as the `ends` of a schedule.

    Raises:
        InputError: There is no step to take a snapshot at.

    Example:
        >>> from torch import nn
        >>> model = nn.Linear(2, 2)
        >>> snapshots = Snapshots(ends=(2, 4))
        >>> for _ in range(4):
        ...     taken = snapshots.update(model)
        >>> taken, len(snapshots.weights)
        (True, 2)
    """

    def __init__(self, ends: Sequence[int]) -> None:
        if not ends:
            raise InputError("ends is empty; expected the steps to take snapshots at")
        self.ends = tuple(ends)
        self.weights: list[dict[str, Tensor]] = []
        self.step = 0

    def update(self, model: nn.Module) -> bool:
        """Count one optimiser step; keep the weights when a cycle ends.

        Args:
            model: The model being trained.

        Returns:
            Whether a snapshot was taken.
        """
        self.step += 1
        if self.step not in self.ends:
            return False
        self.weights.append(weights_of(model))
        return True
