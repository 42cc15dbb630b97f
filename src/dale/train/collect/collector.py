"""What the training loop asks of a collector, and what a collector knows of its span.

A collector sees the step, counted as updates done so far, and the weights at that
step. `update` may change what the collector carries along, and what it carries is
part of a checkpoint; `member` is a pure function of that state and the weights. So
a checkpoint can be written first and the members taken afterwards: whatever moment a
process is killed at, the members are taken again from the same state.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dale.weights import Weights


@dataclass(frozen=True)
class Span:
    """What a collector that is named in a recipe may know of its trajectory.

    Args:
        steps: Updates of the whole trajectory.
        per_epoch: Updates in one epoch.
        seed: The trajectory's seed.
    """

    steps: int
    per_epoch: int
    seed: int


class Collector(ABC):
    """What the training loop asks of a collector."""

    how: str
    """How its members are made; recorded with each."""
    averaged: bool
    """Whether its members need their normalisation statistics re-estimated."""
    judges: bool = False
    """Whether `judge` must see the scores after each epoch."""
    copies: int = 0
    """Copies of the weights that its state has when it is largest."""
    keeps: bool = False
    """Whether its `keepsake` is that state, kept when the trajectory has ended."""
    added: str = ""
    """The word that a recipe added it by; empty for a strategy's own collector."""

    @abstractmethod
    def emits(self, step: int) -> tuple[int, ...]:
        """Indices of the members, from 1, to take after `step` updates."""

    @abstractmethod
    def cut(self, step: int) -> None:
        """The trajectory ends after `step` updates: take here what comes at its end.

        It can be called again with the same step, after a resume.
        """

    @abstractmethod
    def member(self, index: int, weights: Weights) -> Weights:
        """The weights of the member with this index, given the live ones."""

    def details(self, index: int) -> dict[str, Any]:
        """What is recorded with a member, as JSON values."""
        return {}

    def wants(self, step: int) -> bool:
        """Whether `update` must see the weights after `step` updates."""
        return False

    def update(self, step: int, weights: Weights) -> None:
        """Take note of the weights after `step` updates."""
        raise NotImplementedError  # only called where `wants` is true

    def judge(self, step: int, scores: Mapping[str, float], weights: Weights) -> None:
        """Take note of the validation scores of the live weights after an epoch."""
        raise NotImplementedError  # only called where `judges` is true

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold: tensors and JSON values."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        assert not state, "a collector that carries nothing was given a state"

    def keepsake(self) -> dict[str, Any]:
        """What to keep in a file of its own beside the members; often nothing."""
        return {}
