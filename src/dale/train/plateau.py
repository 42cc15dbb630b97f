"""Plateau decay: the one schedule that depends on what training sees."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field
from torch.optim import Optimizer

from dale.train.specs import Spec


class PlateauSpec(Spec):
    """The part of a recipe about lowering the rate when the score stands still.

    Args:
        metric: The validation score that must go on falling.
        factor: What the rate is multiplied by, each time.
        patience: Epochs without a new best that are put up with.
        threshold: Share by which a score must be below the best to be a new one.
        cooldown: Epochs after a drop in which nothing is counted.
        floor: Least factor in all.
    """

    metric: Literal["nll", "error"] = "nll"
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    patience: Annotated[int, Field(ge=0)] = 10
    threshold: Annotated[float, Field(ge=0, lt=1)] = 1e-4
    cooldown: Annotated[int, Field(ge=0)] = 0
    floor: Annotated[float, Field(ge=0, le=1)] = 0.0


class Plateau:
    """A factor of the rate that falls when the validation score stands still.

    After each epoch: a score below ``(1 − threshold)`` times the best is a new best.
    After more than `patience` epochs without one the rate is multiplied by `factor`,
    and the counting begins again after `cooldown` epochs.

    Args:
        spec: Its settings.

    Example:
        >>> plateau = Plateau(PlateauSpec(factor=0.5, patience=1))
        >>> [plateau.note({"nll": nll}) for nll in (0.9, 0.8, 0.8, 0.8, 0.7)]
        [1.0, 1.0, 1.0, 0.5, 0.5]

    References:
        PyTorch's ``ReduceLROnPlateau``, whose rates these are. Here the factor is on
        top of any schedule.
    """

    def __init__(self, spec: PlateauSpec) -> None:
        self.spec = spec
        self.scale = self.used = 1.0
        self._best, self._bad, self._cooling = math.inf, 0, 0

    def note(self, scores: Mapping[str, float]) -> float:
        """Take note of an epoch.

        Args:
            scores: Validation scores.

        Returns:
            The factor of the rate from now on.
        """
        spec, score = self.spec, scores[self.spec.metric]
        if score < self._best * (1 - spec.threshold) or (
            self._best == math.inf and score < math.inf
        ):
            self._best, self._bad = score, 0
        else:
            self._bad += 1
        if self._cooling > 0:
            self._cooling, self._bad = self._cooling - 1, 0
        if self._bad > spec.patience:
            self.scale = max(self.scale * spec.factor, spec.floor)
            self._cooling, self._bad = spec.cooldown, 0
        return self.scale

    def apply(self, optimizer: Optimizer) -> None:
        """Multiply the rates that were just set."""
        self.used = self.scale
        for group in optimizer.param_groups:
            group["lr"] *= self.scale

    def state(self) -> dict[str, Any]:
        """Everything it knows."""
        best = None if self._best == math.inf else self._best
        return {
            "scale": self.scale,
            "used": self.used,
            "best": best,
            "bad": self._bad,
            "cooling": self._cooling,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.scale, self.used = state["scale"], state["used"]
        self._best = math.inf if state["best"] is None else state["best"]
        self._bad, self._cooling = state["bad"], state["cooling"]
