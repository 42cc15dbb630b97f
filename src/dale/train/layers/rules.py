"""Rules for the rates of layers: when gradients are measured, and what follows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dale.errors import RecipeError
from dale.schedules import (
    Steps,
    discriminative_rates,
    equalised_rates,
    signal_ratios,
)

Window = tuple[int, int]
"""Updates from the first to before the second, counted from 0."""


@dataclass(frozen=True)
class Measured:
    """What was seen of each layer.

    Args:
        gradients: Mean norm of its gradient over the updates of a window.
        weights: Norm of its weights at the end of it.
        decays: Norm of its weight decay, ``wd · w``, at the end of it.
    """

    gradients: Sequence[float]
    weights: Sequence[float]
    decays: Sequence[float]


@dataclass(frozen=True)
class Rule:
    """How the rates of layers are set; this one sets them once and looks at nothing.

    Args:
        patterns: Layers in place of the model's own, from the input to the head.
        factor: Of a layer's rate to that of the next one towards the head.
    """

    patterns: tuple[str, ...] = ()
    factor: float = 1.0

    def first(self, layers: int) -> list[float]:
        """The factors to begin with."""
        return discriminative_rates(layers, self.factor)

    def window(self, step: int) -> Window | None:
        """The updates in or after `step` that are measured next."""
        return None

    def rates(self, found: Measured) -> list[float] | None:
        """New factors, or None to keep those there are."""
        return None

    def ratios(self, found: Measured) -> list[float] | None:
        """Each layer's signal against its decay, if the rule asks for it."""
        return None

    def freezes(self, ratio: float) -> bool:
        """Whether a layer with this ratio is to be left alone from now on."""
        return False


@dataclass(frozen=True)
class _Equalised(Rule):
    pilot: int = 20
    every: int | None = None
    of: Literal["mean", "largest"] = "mean"
    relative: bool = False
    limit: float = 100.0

    def window(self, step: int) -> Window | None:
        if step < self.pilot:
            return 0, self.pilot
        if self.every is None:
            return None
        end = (step // self.every + 1) * self.every
        return end - self.pilot, end

    def rates(self, found: Measured) -> list[float] | None:
        targets = found.weights if self.relative and all(found.weights) else None
        return equalised_rates(found.gradients, targets, self.of, self.limit)


@dataclass(frozen=True)
class _Signal(Rule):
    threshold: float = 0.1
    every: int = 1

    def window(self, step: int) -> Window | None:
        begin = step // self.every * self.every
        return begin, begin + self.every

    def ratios(self, found: Measured) -> list[float] | None:
        return signal_ratios(found.gradients, found.decays)

    def freezes(self, ratio: float) -> bool:
        return ratio < self.threshold


def discriminative(*, factor: float = 1 / 2.6, patterns: tuple[str, ...] = ()) -> Rule:
    """Rates that shrink by the same factor from layer to layer, from the head back.

    Args:
        factor: Of a layer's rate to that of the next one towards the head.
        patterns: Layers in place of the model's own, from the input to the head.

    Returns:
        The rule.

    Raises:
        RecipeError: The factor is not above 0.
    """
    if not 0 < factor < float("inf"):
        raise RecipeError(f"factor must be above 0, got {factor:g}")
    return Rule(patterns, factor)


def equalised(
    *,
    pilot: Steps = 20,
    every: Steps | None = None,
    of: Literal["mean", "largest"] = "mean",
    relative: bool = False,
    limit: float = 100.0,
    patterns: tuple[str, ...] = (),
) -> Rule:
    """Rates with which the expected update has the same size in every layer.

    ``α_ℓ ∝ 1 / E‖g_ℓ‖``, or ``‖w_ℓ‖ / E‖g_ℓ‖`` for updates of the same size relative
    to the weights. The expectation is a mean over `pilot` updates, which are made
    with one rate for all layers.

    Args:
        pilot: Updates over which gradients are measured.
        every: Updates after which they are measured again, over the `pilot` last of
            them; never if left out.
        of: Which rate is the schedule's: the mean of all layers' or the largest.
        relative: Equal sizes relative to the norm of the layer's weights.
        limit: No rate is more than so many times the median, nor less than that part.
        patterns: Layers in place of the model's own, from the input to the head.

    Returns:
        The rule.

    Raises:
        RecipeError: A setting is out of range.
    """
    if pilot < 1:
        raise RecipeError(f"pilot must be at least 1 update, got {pilot}")
    if every is not None and every < 2 * pilot:
        raise RecipeError(
            f"every must be at least twice the pilot's {pilot} updates, got {every}"
        )
    if not 1 <= limit < float("inf"):
        raise RecipeError(f"limit must be at least 1, got {limit:g}")
    return _Equalised(
        patterns, pilot=pilot, every=every, of=of, relative=relative, limit=limit
    )


def signal(
    *, every: Steps, threshold: float = 0.1, patterns: tuple[str, ...] = ()
) -> Rule:
    """Layers that learn too little against their weight decay are frozen.

    Over each window of updates the ratio ``E‖∇data‖ / (wd ‖w‖)`` of every layer is
    measured. A layer below the threshold is frozen for good: no update, no weight
    decay, no momentum. Statistics of normalisation layers go on being measured.

    Args:
        every: Updates of a window.
        threshold: Least ratio that is not frozen; 0 only watches.
        patterns: Layers in place of the model's own, from the input to the head.

    Returns:
        The rule.

    Raises:
        RecipeError: A setting is out of range.
    """
    if every < 1:
        raise RecipeError(f"every must be at least 1 update, got {every}")
    if not 0 <= threshold < float("inf"):
        raise RecipeError(f"threshold must be at least 0, got {threshold:g}")
    return _Signal(patterns, threshold=threshold, every=every)
