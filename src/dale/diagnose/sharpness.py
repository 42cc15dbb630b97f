"""How sharp the valley around a solution is.

Shapes: D elements of a tensor.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev

import torch
from torch import Tensor

from dale.errors import InputError
from dale.keys import key
from dale.weights import Weights, layout_of_weights


@dataclass(frozen=True)
class Perturbation:
    """The loss around a solution.

    Args:
        scale: Size of the change, relative to each tensor's own.
        loss: At the solution.
        losses: After each random change.

    Example:
        >>> around = Perturbation(0.1, 1.0, (1.5, 2.5))
        >>> around.rise, around.standard_error
        (1.0, 0.5)
    """

    scale: float
    loss: float
    losses: tuple[float, ...]

    @property
    def rise(self) -> float:
        """Mean rise of the loss: the sharpness."""
        return mean(self.losses) - self.loss

    @property
    def standard_error(self) -> float:
        """Of the mean rise; NaN for one draw."""
        count = len(self.losses)
        return stdev(self.losses) / sqrt(count) if count > 1 else float("nan")


def perturbation(
    weights: Weights,
    loss: Callable[[Weights], float],
    scale: float = 0.05,
    *,
    draws: int = 10,
    seed: int = 0,
) -> Perturbation:
    """Rise of a loss when the weights are shaken.

    Every parameter tensor w of D elements becomes ``w + scale · ‖w‖ / √D · ε`` with
    standard normal ε, so that a tensor's change is `scale` times as long as the tensor
    itself, on average over its square. Networks that differ in the scale of a layer
    alone, as ReLU and normalisation layers permit, are as sharp as one another.
    Statistics and counters stay as they are.

    Args:
        weights: The solution.
        loss: Of weights; should be deterministic.
        scale: Relative size of the change; positive.
        draws: Random changes; the same for other weights of the same names and shapes.
        seed: Of the changes.

    Returns:
        The losses.

    Raises:
        InputError: `scale` or `draws` is not positive.

    Example:
        >>> bowl = lambda w: float(w["w"].square().sum())
        >>> flat = perturbation({"w": torch.ones(100)}, bowl, 0.1, draws=50)
        >>> abs(flat.rise - 0.1**2 * 100) < 3 * flat.standard_error
        True

    Reference:
        The average-case sharpness of M. Andriushchenko, F. Croce, M. Müller, M. Hein,
        N. Flammarion, A Modern Look at the Relationship between Sharpness and
        Generalization, 2023, arXiv 2302.07011, with the change scaled by tensor.
    """
    if not scale > 0:
        raise InputError(f"scale: expected a number > 0, got {scale}")
    if draws < 1:
        raise InputError(f"draws: expected 1 or more, got {draws}")
    shaken = layout_of_weights(weights).names("parameter")
    losses = []
    for draw in range(draws):
        changed = dict(weights)
        for name in shaken:
            changed[name] = _shaken(
                weights[name], scale, key(seed, "shake", draw, name)
            )
        losses.append(loss(changed))
    return Perturbation(scale, loss(weights), tuple(losses))


def _shaken(tensor: Tensor, scale: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(tensor.shape, generator=generator).to(tensor.device)
    wide = tensor.to(torch.float32) if tensor.dtype.itemsize < 4 else tensor
    size = float(wide.norm()) / sqrt(max(tensor.numel(), 1))
    return (wide + scale * size * noise).to(tensor.dtype)
