"""Snapshots: the live weights at given steps."""

from collections.abc import Sequence
from numbers import Integral

from torch import Tensor, nn

from dale.errors import InputError, RecipeError
from dale.train.collect.collector import Collector, Span
from dale.train.specs import Length, steps_of
from dale.weights import Weights, weights_of


class SnapshotCollector(Collector):
    """Takes the live weights at given steps.

    Args:
        ends: Steps, counted as updates done, at which a member is taken.
        how: Name recorded with the members.
    """

    averaged = False

    def __init__(self, ends: Sequence[int], how: str = "snapshot") -> None:
        self.how = how
        self._index = {end: number for number, end in enumerate(ends, start=1)}

    def emits(self, step: int) -> tuple[int, ...]:
        """The number of the cycle that ends here."""
        return (self._index[step],) if step in self._index else ()

    def cut(self, step: int) -> None:
        """Take no more; the first one here, if there was none yet."""
        kept = {end: number for end, number in self._index.items() if end <= step}
        self._index = kept or {step: 1}

    def member(self, index: int, weights: Weights) -> Weights:
        """The live weights."""
        return weights


def snapshot(span: Span, *, every: Length = "1 epoch") -> Collector:
    """The live weights at equal distances, whatever the schedule does.

    Args:
        span: The trajectory.
        every: Distance between two members.

    Returns:
        The collector.

    Raises:
        RecipeError: No member fits in.
    """
    stride = steps_of(every, span.steps, span.per_epoch)
    if not 1 <= stride <= span.steps:
        raise RecipeError(f"every {every!r} takes no member in {span.steps} steps")
    return SnapshotCollector(range(stride, span.steps + 1, stride))


class Snapshots:
    """Takes snapshots in a training loop of your own.

    Call `update` once after each optimiser step; when the number of calls reaches
    one of `ends`, a copy of the model's weights is kept.

    Args:
        ends: Steps at which to take a snapshot, such as the `ends` of a schedule.

    Raises:
        InputError: There is no step to take a snapshot at, or one that never comes.

    Example:
        >>> from torch import nn
        >>> model = nn.Linear(2, 2)
        >>> snapshots = Snapshots(ends=(2, 4))
        >>> for _ in range(4):
        ...     taken = snapshots.update(model)
        >>> taken, len(snapshots.weights)
        (True, 2)
    """

    def __init__(self, ends: Sequence[int]) -> None:
        if not ends:
            raise InputError("ends is empty; expected the steps to take snapshots at")
        if any(not isinstance(end, Integral) or end < 1 for end in ends):
            raise InputError(
                f"ends: expected whole numbers of at least 1, got {tuple(ends)}"
            )
        self.ends = tuple(ends)
        self.weights: list[dict[str, Tensor]] = []
        self.step = 0

    def update(self, model: nn.Module) -> bool:
        """Count one optimiser step; keep the weights when a cycle ends.

        Args:
            model: The model being trained.

        Returns:
            Whether a snapshot was taken.
        """
        self.step += 1
        if self.step not in self.ends:
            return False
        self.weights.append(weights_of(model))
        return True
