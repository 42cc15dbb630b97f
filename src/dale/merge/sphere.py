"""Spherical interpolation between two tensors. Shape suffixes: K, models; R, parts."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from dale.merge.blocks import piecewise, spans
from dale.merge.gram import along, cosines
from dale.merge.steps import Each, divisor, each
from dale.weights import wide

_PARALLEL = 0.9995
"""Absolute cosine above which two tensors are interpolated on a straight line."""


@piecewise
def slerp(tensors_K: Sequence[Tensor], *, t: float) -> Iterator[Tensor]:
    """Spherical interpolation from the first tensor to the second.

    ::

        cos θ = ⟨a, b⟩ / (|a| |b|)
        [sin((1 − t) θ) a + sin(t θ) b] / sin θ
        (1 − t) a + t b        where |cos θ| > 0.9995

    A tensor of zeros counts as orthogonal to every other.

    Args:
        tensors_K: Two tensors of one shape, each taken as one vector.
        t: Where on the way, 0 at the first and 1 at the second; finite. Outside of
            these the arc is followed beyond the tensors, as in mergekit.

    Yields:
        The result in flat pieces, which a call joins, in float32 or wider; bit
        for bit the first at 0, the second at 1.

    Raises:
        InputError: `t` is not finite.

    Example:
        >>> slerp([torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])], t=0.5)
        tensor([0.7071, 0.7071])

    References:
        Shoemake (1985), Animating rotation with quaternion curves, SIGGRAPH.
    """
    (t,) = each("t", t, 1)

    def coefficients(grams_RKK: Tensor) -> Tensor:
        cosine = cosines(grams_RKK)[:, 0, 1]
        return _arc(cosine, t, cosine.abs() > _PARALLEL)

    if t in {0.0, 1.0}:
        end = tensors_K[int(t)].reshape(-1)
        yield from (wide(end[place]) for place in spans(len(end)))
        return
    yield from along(tensors_K, None, coefficients)


@piecewise
def nuslerp(
    tensors_K: Sequence[Tensor],
    base: Tensor | None = None,
    *,
    weight: Each = 1.0,
    nuslerp_flatten: bool = True,
    nuslerp_row_wise: bool = False,
) -> Iterator[Tensor]:
    """Spherical interpolation of two tensors, or of two task vectors, by weights.

    ::

        t = w_2 / (w_1 + w_2)        slerp(x_1, x_2; t)   or
        base + slerp(x_1 − base, x_2 − base; t)

    Straight only where the vectors are parallel in float64; see `slerp`.

    Args:
        tensors_K: Two tensors of one shape.
        base: That of their common ancestor, to interpolate task vectors.
        weight: One number for both or one for each. They must not sum to 0, for
            which mergekit has ``t = ½``.
        nuslerp_flatten: Take the whole tensor as one vector.
        nuslerp_row_wise: Otherwise, take vectors along the first axis instead of
            along the last.

    Yields:
        The result in flat pieces, which a call joins, in float32 or wider.

    Raises:
        InputError: Weights that do not fit, or that sum to 0.

    Example:
        >>> pair = [torch.tensor([1.0, 0.0]), torch.tensor([0.0, 4.0])]
        >>> nuslerp(pair, weight=(1, 2))
        tensor([0.5000, 3.4641])

    References:
        A method of mergekit; Shoemake (1985) for the interpolation.
    """
    first, second = each("weight", weight, 2)
    t = second / divisor((first, second))

    def coefficients(grams_RKK: Tensor) -> Tensor:
        cosine = cosines(grams_RKK)[:, 0, 1]
        return _arc(cosine, t, 1 - cosine.square() <= 1e-16)

    dim = None if nuslerp_flatten else (0 if nuslerp_row_wise else -1)
    yield from along(tensors_K, base, coefficients, dim)


def _arc(cosines_R: Tensor, t: float, straight_R: Tensor) -> Tensor:
    """Coefficients ``[R, 2]`` of two vectors, spherical or straight."""
    angles = torch.where(straight_R, 0, cosines_R).acos()
    ways = torch.tensor([1 - t, t], dtype=torch.float64)
    curved = (ways * angles[:, None]).sin() / angles.sin()[:, None]
    return torch.where(straight_R[:, None], ways, curved)
