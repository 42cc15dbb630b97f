"""Stochastic weight averaging: one mean over chosen steps."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from dale.errors import RecipeError
from dale.train.collect.collector import Collector, Span
from dale.train.specs import Length, steps_of
from dale.weights import RunningMean, Weights
from dale.weights.running import RunningState


class AverageCollector(Collector):
    """Keeps a running mean of the weights at given steps and takes it at the end.

    ``w̄ ← w̄ + s_n (w − w̄)`` for the n-th model, whose share is ``s_n = 1/n`` unless
    given; ``s_1 = 1``, so that the first model counts once.

    Args:
        at: Steps, counted as updates done, whose weights enter the mean; a range, or
            a few.
        end: Step at which the mean becomes a member; not before the first of `at`.
        how: Name recorded with the member.
        averaged: Whether the statistics of normalisation layers are re-estimated for
            the mean; else they are averaged like the weights. Counters are carried
            from the latest model in either case.
        share: From n to s_n, or None for 1/n.
        facts: Recorded with the member, as JSON values.

    Raises:
        RecipeError: No model enters the mean before it is taken.
    """

    copies = 1

    def __init__(
        self,
        at: Sequence[int],
        end: int,
        how: str = "swa",
        averaged: bool = True,
        share: Callable[[int], float] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self.how, self.averaged = how, averaged
        self._at, self._end = at, end
        self._share, self._facts = share, dict(facts or {})
        if not at or min(at) > end:
            raise RecipeError(f"no model enters the average that is taken at {end}")
        self._mean = RunningMean()

    def wants(self, step: int) -> bool:
        """At the steps given."""
        return step <= self._end and step in self._at

    def update(self, step: int, weights: Weights) -> None:
        """Let one more model into the mean."""
        share = None if self._share is None else self._share(self._mean.count + 1)
        self._mean.update(weights, share)

    def emits(self, step: int) -> tuple[int, ...]:
        """One member, at the end."""
        return (1,) if step == self._end else ()

    def cut(self, step: int) -> None:
        """Take the mean here, if there is one yet."""
        self._end = step if self._mean.count else 0

    @property
    def models(self) -> int:
        """How many models are in the mean."""
        return self._mean.count

    def member(self, index: int, weights: Weights) -> Weights:
        """The mean."""
        return self._mean.value()

    def details(self, index: int) -> dict[str, Any]:
        """How many models are in the mean."""
        return {"models": self._mean.count, **self._facts}

    def state(self) -> dict[str, Any]:
        """The mean and how many models are in it."""
        return dict(self._mean.state())

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on with a mean that was saved."""
        self._mean = RunningMean.from_state(cast(RunningState, state))


def swa(
    span: Span, *, start: Length = "75%", every: Length = "1 epoch"
) -> AverageCollector:
    """The mean of the weights over a tail of the run, whatever the schedule does.

    ``w̄ ← w̄ + (w − w̄) / n`` at ``start + every, start + 2·every, …``: stochastic
    weight averaging (Izmailov et al. 2018, arXiv 1803.05407), which wants a rate
    that stays high or comes back; the strategy ``swa`` brings its own.

    Args:
        span: The trajectory.
        start: Where averaging begins.
        every: Distance between two models that enter the mean.

    Returns:
        The collector.

    Raises:
        RecipeError: No model enters the mean.
    """
    return AverageCollector(stride_of(span, start, every), span.steps)


def stride_of(span: Span, start: Length, every: Length) -> range:
    """Steps at whole strides after a start.

    Raises:
        RecipeError: There is none.

    Example:
        >>> list(stride_of(Span(steps=10, per_epoch=2, seed=0), "50%", 2))
        [7, 9]
    """
    begin = steps_of(start, span.steps, span.per_epoch)
    stride = steps_of(every, span.steps, span.per_epoch)
    if begin < 0 or not 1 <= stride <= span.steps - begin:
        raise RecipeError(
            f"start {start!r} and every {every!r} leave no model to average in "
            f"{span.steps} steps"
        )
    return range(begin + stride, span.steps + 1, stride)
