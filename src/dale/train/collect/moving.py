"""Exponential moving averages of the weights."""

from collections.abc import Mapping
from typing import Any, Literal, cast

from dale.errors import RecipeError
from dale.train.collect.collector import Collector, Span
from dale.train.specs import Length, steps_of
from dale.weights import RunningMean, Weights
from dale.weights.running import RunningState

Early = Literal["bias", "warmup", "first"]


class MovingCollector(Collector):
    """Keeps an exponential moving average of the weights and takes it at the end.

    ::

        w̄ ← w̄ + s_n (w − w̄)      for the n-th model, with s_1 = 1

        early = "bias"     s_n = (1 − d) / (1 − dⁿ)
        early = "warmup"   s_n = 1 − min(d, n / (n + 9))
        early = "first"    s_n = 1 − d

    ``"bias"`` is the average that starts from zero, divided by what is missing to
    one: the n-th of n models weighs ``(1 − d)`` and each earlier one `d` times the
    next, up to a common factor. ``"first"`` starts from the first model, which
    keeps the weight ``dⁿ⁻¹`` that the others never get.

    Args:
        decay: d, in [0, 1).
        every: Updates between two models that enter.
        end: Step at which the average becomes a member.
        early: What the first models weigh.
        averaged: Whether the statistics of normalisation layers are re-estimated for
            the average; else they are averaged like the weights. Counters are
            carried from the latest model in either case.
    """

    how = "ema"

    def __init__(
        self, decay: float, every: int, end: int, early: Early, averaged: bool
    ) -> None:
        self._decay, self._every, self._end = decay, every, end
        self._early, self.averaged = early, averaged
        self._mean = RunningMean()

    def wants(self, step: int) -> bool:
        """At every stride, counted in updates."""
        return 0 < step <= self._end and step % self._every == 0

    def update(self, step: int, weights: Weights) -> None:
        """Move towards the weights."""
        self._mean.update(weights, self._share(self._mean.count + 1))

    def _share(self, n: int) -> float:
        if self._early == "bias":
            return (1 - self._decay) / (1 - self._decay**n)
        if self._early == "warmup":
            return 1 - min(self._decay, n / (n + 9))
        return 1 - self._decay

    def emits(self, step: int) -> tuple[int, ...]:
        """One member, at the end."""
        return (1,) if step == self._end else ()

    def member(self, index: int, weights: Weights) -> Weights:
        """The average."""
        return self._mean.value()

    def details(self, index: int) -> dict[str, Any]:
        """How many models entered, and with which decay."""
        return {"models": self._mean.count, "decay": self._decay}

    def state(self) -> dict[str, Any]:
        """The average and how many models entered."""
        return dict(self._mean.state())

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on with an average that was saved."""
        self._mean = RunningMean.from_state(cast(RunningState, state))


def ema(
    span: Span,
    *,
    decay: float = 0.999,
    every: Length = 1,
    early: Early = "bias",
    statistics: Literal["average", "reestimate"] = "average",
) -> MovingCollector:
    """An exponential moving average of the weights, updated by the clock of updates.

    Args:
        span: The trajectory.
        decay: Weight of what came before, in [0, 1). A model's weight is halved after
            ``ln 2 / (1 − decay)`` further ones: 693 with the default.
        every: Updates between two models that enter.
        early: What the first models weigh: ``"bias"``, ``"warmup"`` or ``"first"``.
        statistics: Of normalisation layers: averaged like the weights, or re-estimated
            on the training examples at the end.

    Returns:
        The collector.

    Raises:
        RecipeError: A setting is out of range.
    """
    stride = steps_of(every, span.steps, span.per_epoch)
    if not 0 <= decay < 1:
        raise RecipeError(f"decay must be in [0, 1), got {decay}")
    if not 1 <= stride <= span.steps:
        raise RecipeError(f"every {every!r} lets no model in, in {span.steps} steps")
    return MovingCollector(
        decay, stride, span.steps, early, averaged=statistics == "reestimate"
    )
