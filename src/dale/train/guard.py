"""A guard against over-fitting: the live weights and their average, epoch by epoch."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from dale.train.specs import Spec


class GuardSpec(Spec):
    """The part of a recipe about watching for over-fitting.

    Args:
        of: The word under ``collect`` whose average is scored beside the live weights
            after each epoch.
        metric: What of its validation scores must go on falling.
        window: Epochs that the trend of the gap is fitted to.
        patience: Epochs without a new best after which training stops and the average
            is taken; without it, training is only watched.
    """

    of: str = "ema"
    metric: Literal["nll", "error"] = "nll"
    window: Annotated[int, Field(ge=2)] = 5
    patience: Annotated[int, Field(ge=1)] | None = None


class Guard:
    """Keeps the scores of a trajectory's epochs, and says when to stop.

    The gap of an epoch is the validation NLL of the live weights less the training
    loss; its trend is the slope of the least-squares line through the last gaps,
    in NLL per epoch. A gap that grows is over-fitting.

    Args:
        spec: What to watch.

    Example:
        >>> guard = Guard(GuardSpec(patience=2, window=3))
        >>> for nll in (0.9, 0.5, 0.6, 0.7):
        ...     stop = guard.note(0.4, {"nll": nll}, {"nll": nll - 0.1})
        >>> stop, guard.record()["gap_trend"]
        (True, 0.1)
    """

    def __init__(self, spec: GuardSpec) -> None:
        self.spec = spec
        self._gaps: list[float] = []
        self._watched: list[float] = []
        self._average: dict[str, float] = {}

    def note(
        self, loss: float, live: Mapping[str, float], average: Mapping[str, float]
    ) -> bool:
        """Take note of an epoch.

        Args:
            loss: Mean training loss.
            live: Validation scores of the live weights.
            average: Validation scores of the average; empty while it has no model.

        Returns:
            Whether to stop.
        """
        spec = self.spec
        self._average = dict(average)
        self._gaps = [*self._gaps, live["nll"] - loss][-spec.window :]
        self._watched.append((average or live)[spec.metric])
        if spec.patience is None:
            return False
        return len(self._watched) - _best(self._watched) >= spec.patience

    def record(self) -> dict[str, float]:
        """What the log says of the last epoch."""
        if not self._gaps:
            return {}
        return {
            "gap": self._gaps[-1],
            "gap_trend": round(slope(self._gaps), 12),
            **{f"average_val_{name}": value for name, value in self._average.items()},
        }

    def state(self) -> dict[str, Any]:
        """The scores so far."""
        return {
            "gaps": self._gaps,
            "watched": self._watched,
            "average": self._average,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._gaps, self._watched = list(state["gaps"]), list(state["watched"])
        self._average = dict(state["average"])


def _best(values: Sequence[float]) -> int:
    """How many values there were at the first of the lowest; NaN is never lowest."""
    numbers = [math.inf if math.isnan(value) else value for value in values]
    return 1 + numbers.index(min(numbers))


def slope(values: Sequence[float]) -> float:
    """Slope of the least-squares line through equally spaced values.

    ``Σ (i − ī)(y_i − ȳ) / Σ (i − ī)²``, and 0 for fewer than two values.

    Example:
        >>> slope([1.0, 3.0, 5.0])
        2.0
    """
    n = len(values)
    if n < 2:
        return 0.0
    middle, mean = (n - 1) / 2, sum(values) / n
    above = sum((i - middle) * (y - mean) for i, y in enumerate(values))
    return above / sum((i - middle) ** 2 for i in range(n))
