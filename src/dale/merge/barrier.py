"""Loss along the straight path between two networks. Shape suffix: T, path points."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dale.errors import InputError
from dale.weights import Weights, lerp

Refresh = Callable[[Sequence[Weights]], Sequence[Weights]]


@dataclass(frozen=True)
class Barrier:
    """A loss along a path, and how far it rises above the chord between its ends.

    Attributes:
        t_T: Places on the path, from 0 to 1.
        loss_T: The loss at each.

    Example:
        >>> path = Barrier((0.0, 0.5, 1.0), (1.0, 3.0, 2.0))
        >>> path.height, path.at
        (1.5, 0.5)
    """

    t_T: tuple[float, ...]
    loss_T: tuple[float, ...]

    @property
    def rises_T(self) -> tuple[float, ...]:
        """``L(t) − [(1 − t) L(0) + t L(1)]``; 0 at both ends."""
        first, last = self.loss_T[0], self.loss_T[-1]
        pairs = [*zip(self.t_T, self.loss_T, strict=True)][1:-1]
        between = (loss - (first + t * (last - first)) for t, loss in pairs)
        return (0.0, *between, 0.0)

    @property
    def height(self) -> float:
        """The barrier: the largest rise, at least 0."""
        return max(self.rises_T)

    @property
    def at(self) -> float:
        """Where it is largest."""
        return self.t_T[self.rises_T.index(self.height)]


def barriers(
    loss: Callable[[Weights], float],
    models: Sequence[Weights],
    merged: Weights,
    points: int = 5,
    refresh: Refresh | None = None,
) -> tuple[Barrier, ...]:
    """The barrier on the straight path from each model to what they were merged into.

    ::

        B = sup_t { L((1 − t) x + t w) − [(1 − t) L(x) + t L(w)] }

    Args:
        loss: Of weights; lower is better.
        models: Where the paths begin.
        merged: Where they end.
        points: Of each path, both ends included, evenly apart; 2 or more.
        refresh: Gives the weights between the ends with statistics of normalisation
            layers estimated anew; the ends keep theirs.

    Returns:
        One for each model.

    Raises:
        InputError: `points` is less than 2.
        WeightsError: Names or shapes differ.

    Example:
        >>> import torch
        >>> hill = lambda w: 1 - float(w["w"]) ** 2
        >>> ends = {"w": torch.tensor(-1.0)}, {"w": torch.tensor(1.0)}
        >>> (path,) = barriers(hill, ends[:1], ends[1], points=3)
        >>> path.loss_T, path.height
        ((0.0, 1.0, 0.0), 1.0)

    References:
        Frankle et al. (2020), arXiv 1912.05671; Entezari et al. (2022), arXiv
        2110.06296, whose supremum over the chord this is.
    """
    if points < 2:
        raise InputError(f"points: expected 2 or more, got {points}")
    t_T = tuple(point / (points - 1) for point in range(points))
    end, found = loss(merged), []
    for model in models:
        between: Sequence[Weights] = [lerp(model, merged, t) for t in t_T[1:-1]]
        if refresh is not None and between:
            between = refresh(between)
        found.append(Barrier(t_T, (loss(model), *map(loss, between), end)))
    return tuple(found)
