"""The best checkpoint: the live weights of the epoch that validation likes most."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from dale.train.collect.collector import Collector, Span
from dale.weights import Weights
from dale.weights.match import ties_of


class BestCollector(Collector):
    """Keeps the live weights of the epoch with the lowest validation score.

    The first of several lowest is kept; an epoch whose score is NaN never is. If none
    has a score, the last weights are taken.

    Args:
        end: Step at which they become a member.
        metric: The score.
    """

    how = "best"
    averaged = False
    judges = True
    copies = 1

    def __init__(self, end: int, metric: str) -> None:
        self._end, self._metric = end, metric
        self._value, self._step = math.inf, end
        self._weights: dict[str, Any] = {}

    def judge(self, step: int, scores: Mapping[str, float], weights: Weights) -> None:
        """Keep these weights if they are better than those kept."""
        if scores[self._metric] < self._value:
            self._value, self._step = scores[self._metric], step
            ties = ties_of(weights)
            kept = {n: t.clone() for n, t in weights.items() if n not in ties}
            self._weights = {n: kept[ties.get(n, n)] for n in weights}

    def emits(self, step: int) -> tuple[int, ...]:
        """One member, at the end."""
        return (1,) if step == self._end else ()

    def cut(self, step: int) -> None:
        """Take it here."""
        self._end = step

    def member(self, index: int, weights: Weights) -> Weights:
        """The weights kept."""
        return self._weights or weights

    def details(self, index: int) -> dict[str, Any]:
        """Which epoch it was, and its score."""
        if not self._weights:
            return {}
        return {"best_step": self._step, f"best_val_{self._metric}": self._value}

    def state(self) -> dict[str, Any]:
        """The weights kept, and their score."""
        if not self._weights:
            return {}
        ties = ties_of(self._weights)
        kept = {n: t for n, t in self._weights.items() if n not in ties}
        return {
            "value": self._value,
            "step": self._step,
            "names": list(self._weights),
            "ties": ties,
            "weights": kept,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on with weights that were saved."""
        if state:
            self._value, self._step = state["value"], state["step"]
            kept, ties = state["weights"], state["ties"]
            self._weights = {n: kept[ties.get(n, n)] for n in state["names"]}


def best(span: Span, *, metric: Literal["nll", "error"] = "nll") -> BestCollector:
    """The live weights of the epoch with the lowest validation score.

    Args:
        span: The trajectory.
        metric: The score: ``"nll"`` or ``"error"``.

    Returns:
        The collector.
    """
    return BestCollector(span.steps, metric)
