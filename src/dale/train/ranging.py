"""The learning-rate range test: which rates a network can be trained with."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite, log
from typing import Any

import torch

from dale.data import Data
from dale.errors import InputError, TrainingError
from dale.schedules import geometric
from dale.train.recipe import Recipe
from dale.train.rehearsal import Rehearsal

_DIVERGED = 4.0  # times the lowest smoothed loss


@dataclass(frozen=True)
class RangeTest:
    """What a range test found.

    Args:
        rates: Learning rate of each update, rising.
        losses: Loss of each batch, before its update.
        smoothed: The same, smoothed.
        lowest: Rate at which the smoothed loss is lowest.
        steepest: Rate at which it falls fastest, per factor of the rate.
        diverged: The loss ran away before the last rate was reached.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    lowest: float
    steepest: float
    diverged: bool

    @property
    def suggested(self) -> float | None:
        """A peak for the rate: a tenth of where the smoothed loss is lowest.

        None where the smoothed loss is lowest at the first rate: it never fell.
        """
        return self.lowest / 10 if self.lowest > self.rates[0] else None

    @property
    def still_falling(self) -> bool:
        """The loss was lowest at the last rate, so that larger ones are worth a try."""
        return not self.diverged and self.lowest == self.rates[-1]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        facts = {"suggested": self.suggested, "still_falling": self.still_falling}
        return {**asdict(self), **facts}


def range_test(
    recipe: Recipe,
    data: Data,
    *,
    first: float = 1e-5,
    last: float = 10.0,
    steps: int = 200,
    smoothing: float = 0.9,
) -> RangeTest:
    """Train with a rate that rises from update to update until the loss runs away.

    The rate is ``first (last / first)^(t / (steps - 1))`` at update t. The loss of the
    batches is smoothed by a moving average of decay ``smoothing``, with its bias
    corrected. The test ends early where that is above four times its lowest value, or
    no number.

    Args:
        recipe: What would be trained; its strategies do not matter.
        data: Its data.
        first: Smallest rate, > 0.
        last: Largest rate, > `first`.
        steps: Updates, at least 10.
        smoothing: Decay in [0, 1).

    Returns:
        The losses and what they suggest. Nothing is written.

    Raises:
        InputError: An argument is out of range.
        TrainingError: The loss is no number from the start.

    Example:
        >>> from dale.data import load
        >>> from dale.train import parse_recipe
        >>> text = "{data: digits, model: mlp, epochs: 1, strategies: [single]}"
        >>> found = range_test(parse_recipe(text), load("digits"), steps=60)
        >>> 0.01 < found.suggested < 1
        True

    Reference:
        L. N. Smith, Cyclical Learning Rates for Training Neural Networks, 2015, arXiv
        1506.01186. Theirs rises on a straight line and is read by eye; a tenth of the
        lowest point is common practice with an exponential one.
    """
    if not 0 < first < last or not isfinite(last):
        raise InputError(
            f"rates: expected 0 < first < last, got {first:g} and {last:g}"
        )
    if steps < 10:
        raise InputError(f"steps: expected at least 10, got {steps}")
    if not 0 <= smoothing < 1:
        raise InputError(f"smoothing: expected a number in [0, 1), got {smoothing:g}")
    rising = geometric(first, last, steps)
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    total = weight = 0.0
    with torch.random.fork_rng():
        rehearsal = Rehearsal(recipe, data)
        for step in range(steps):
            loss = rehearsal.update(step, rising(step))
            if not isfinite(loss):
                break
            total = smoothing * total + (1 - smoothing) * loss
            weight = smoothing * weight + (1 - smoothing)
            if smoothed and total / weight > _DIVERGED * min(smoothed):
                break
            rates.append(rising(step))
            losses.append(loss)
            smoothed.append(total / weight)
    if len(rates) < 2:
        raise TrainingError(f"range test: the loss is no number at a rate of {first:g}")
    lowest = min(range(len(rates)), key=smoothed.__getitem__)
    steepest = _steepest(rates[: lowest + 1], smoothed[: lowest + 1])
    return RangeTest(
        rates=tuple(rates),
        losses=tuple(losses),
        smoothed=tuple(smoothed),
        lowest=rates[lowest],
        steepest=steepest,
        diverged=len(rates) < steps,
    )


def _steepest(rates: Sequence[float], smoothed: Sequence[float]) -> float:
    """Where the smoothed loss falls fastest, over a tenth of its way at a time."""
    reach = max(1, len(rates) // 10)
    falls = [
        (smoothed[place + reach] - smoothed[place - reach])
        / log(rates[place + reach] / rates[place - reach])
        for place in range(reach, len(rates) - reach)
    ]
    if not falls:
        return rates[-1]
    return rates[reach + min(range(len(falls)), key=falls.__getitem__)]
