"""Tail averages whose start is chosen after the run."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from dale.errors import RecipeError
from dale.train.collect.collector import Collector, Span
from dale.train.specs import Length, steps_of
from dale.weights import RunningMean, Weights


class TailCollector(Collector):
    """Keeps one mean for each block between two starts; any suffix is their mean.

    With blocks of ``n_b`` models and means ``m_b``, the average from the start of
    block j on is ``Σ_{b≥j} n_b m_b / Σ_{b≥j} n_b``: exact, with one copy of the
    weights for each start and one pass over them for each model, however many
    starts there are.

    Args:
        starts: Steps after which a tail may begin, increasing.
        every: Updates between two models that enter.
        end: Step at which the averages become members, the longest tail first.

    Raises:
        RecipeError: No model enters.
    """

    how = "tail"
    averaged = True

    def __init__(self, starts: Sequence[int], every: int, end: int) -> None:
        self._every, self._end = every, end
        counts = [
            stop // every - start // every for start, stop in _bounds(starts, end)
        ]
        self._starts = [s for s, count in zip(starts, counts, strict=True) if count]
        if not self._starts:
            raise RecipeError(f"no model enters a tail average that ends at {end}")
        self._blocks = [RunningMean() for _ in self._starts]
        self.copies = len(self._starts)

    def wants(self, step: int) -> bool:
        """At every stride after the first start."""
        return self._starts[0] < step <= self._end and step % self._every == 0

    def update(self, step: int, weights: Weights) -> None:
        """Let the model into the block that it belongs to."""
        self._blocks[bisect_left(self._starts, step) - 1].update(weights)

    def emits(self, step: int) -> tuple[int, ...]:
        """One member for each start, at the end."""
        numbers = range(1, len(self._starts) + 1)
        return tuple(numbers) if step == self._end else ()

    def cut(self, step: int) -> None:
        """Take the averages here, from the starts that were reached."""
        self._end = step
        # later starts have no model: those reached come first
        reached = sum(block.count > 0 for block in self._blocks)
        del self._starts[reached:], self._blocks[reached:]

    def member(self, index: int, weights: Weights) -> Weights:
        """The average from the start with this index."""
        first, *later = self._blocks[index - 1 :]
        whole, count = first.copy(), first.count
        for block in later:  # in order: counters are the latest
            count += block.count
            whole.update(_wide(block), block.count / count)
        return whole.value()

    def details(self, index: int) -> dict[str, Any]:
        """Where the tail begins, and how many models are in it."""
        models = sum(block.count for block in self._blocks[index - 1 :])
        return {"start": self._starts[index - 1], "models": models}

    def state(self) -> dict[str, Any]:
        """The mean of each block."""
        return {"blocks": [dict(block.state()) for block in self._blocks]}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on with means that were saved."""
        self._blocks = [RunningMean.from_state(item) for item in state["blocks"]]


def _bounds(starts: Sequence[int], end: int) -> list[tuple[int, int]]:
    return list(pairwise((*starts, end)))


def _wide(block: RunningMean) -> Weights:
    """The accumulators themselves: no rounding to the weights' type on the way."""
    state = block.state()
    return {
        name: state["mean"][state["ties"].get(name, name)] for name in state["mean"]
    }


def tail(span: Span, *, starts: int = 4, every: Length = 1) -> TailCollector:
    """Averages over tails of the run, the best start to be chosen afterwards.

    Tails begin at 0, 1/2, 3/4, 7/8 … of the run: the suffix averages of Rakhlin et al.
    2012 (arXiv 1109.5647), at binary distances so that some start is within a factor
    of two of the best one. Choose on validation examples.

    Args:
        span: The trajectory.
        starts: Number of starts.
        every: Updates between two models that enter.

    Returns:
        The collector.

    Raises:
        RecipeError: A setting is out of range.
    """
    stride = steps_of(every, span.steps, span.per_epoch)
    if starts < 1 or not 1 <= stride <= span.steps:
        raise RecipeError(
            f"starts {starts} and every {every!r} leave no model to average in "
            f"{span.steps} steps"
        )
    steps = span.steps
    begins = sorted({0, *(steps - -(-steps // 2**j) for j in range(1, starts))})
    return TailCollector(begins, stride, steps)
