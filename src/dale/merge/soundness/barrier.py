"""The loss on the way from each model to the merged network. Shape suffix: K, models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dale.errors import InputError
from dale.weights import Weights
from dale.weights.algebra import lerp

Loss = Callable[[Weights], float]
"""A loss of weights on data; lower is better."""


@dataclass(frozen=True)
class Barrier:
    """The straight path from one model to the merged network.

    Attributes:
        model: Its position.
        points: Places on the path, from 0, the model, to 1, the merged network.
        losses: The loss at each.
        height: The most by which the loss exceeds the line between both ends; 0 or
            more.
        at: Where.
    """

    model: int
    points: tuple[float, ...]
    losses: tuple[float, ...]
    height: float
    at: float


def barriers(
    merged: Weights, models_K: Sequence[Weights], loss: Loss, points: int = 5
) -> tuple[Barrier, ...]:
    """Loss barriers between each model and the merged network.

    ::

        B_k = max_t L((1 − t) w_k + t w) − [(1 − t) L(w_k) + t L(w)]

    Args:
        merged: The merged network.
        models_K: What it was made from.
        loss: A function of weights. Networks with normalisation statistics need them
            re-estimated in it.
        points: On each path, both ends included; 2 or more.

    Returns:
        One for each model.

    Raises:
        InputError: Too few points.

    Example:
        >>> import torch
        >>> ends = {"w": torch.tensor(-1.0)}, {"w": torch.tensor(1.0)}
        >>> found, = barriers(ends[1], ends[:1], lambda w: 1 - w["w"].item() ** 2)
        >>> found.height, found.at
        (1.0, 0.5)

    References:
        Frankle et al. (2020), Linear mode connectivity and the lottery ticket
        hypothesis, arXiv 1912.05671; Entezari et al. (2022), arXiv 2110.06296.
    """
    if points < 2:
        raise InputError(f"a path needs 2 or more points, got {points}")
    places = tuple(i / (points - 1) for i in range(points))
    last = float(loss(merged))
    found = []
    for position, model in enumerate(models_K):
        inner = [float(loss(lerp(model, merged, t))) for t in places[1:-1]]
        losses = (float(loss(model)), *inner, last)
        line = [(1 - t) * losses[0] + t * last for t in places]
        above = [value - level for value, level in zip(losses, line, strict=True)]
        top = max(range(points), key=lambda i: above[i])
        found.append(
            Barrier(position, places, losses, max(0.0, above[top]), places[top])
        )
    return tuple(found)
