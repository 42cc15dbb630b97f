"""Exponential moving averages of the weights."""

from functools import partial
from typing import Literal

from dale.errors import RecipeError
from dale.train.collect.average import AverageCollector
from dale.train.collect.collector import Span
from dale.train.specs import Length, steps_of

Early = Literal["bias", "warmup", "first"]


def ema(
    span: Span,
    *,
    decay: float = 0.999,
    every: Length = 1,
    early: Early = "bias",
    statistics: Literal["average", "reestimate"] = "average",
) -> AverageCollector:
    """An exponential moving average of the weights, updated by the clock of updates.

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
        span: The trajectory.
        decay: Weight d of what came before, in [0, 1). A model's weight is halved after
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
    return AverageCollector(
        range(stride, span.steps + 1, stride),
        span.steps,
        how="ema",
        averaged=statistics == "reestimate",
        share=partial(_share, decay, early),
        facts={"decay": decay},
    )


def _share(decay: float, early: Early, n: int) -> float:
    if early == "bias":
        return (1 - decay) / (1 - decay**n)
    if early == "warmup":
        return 1 - min(decay, n / (n + 9))
    return 1 - decay
