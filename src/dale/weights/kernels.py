"""Linear combinations of single tensors. Shape suffix: K, models."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dale.errors import InputError


def wide(tensor: Tensor) -> Tensor:
    """The tensor in the type that sums of it are computed in, float32 or wider."""
    if tensor.is_complex():
        return tensor.to(torch.promote_types(tensor.dtype, torch.complex64))
    return tensor.float() if tensor.dtype.itemsize < 4 else tensor


def difference(tensor: Tensor, origin: Tensor) -> Tensor:
    """``tensor − origin`` as a new tensor, in float32 or wider.

    Args:
        tensor: Of any floating-point type.
        origin: In float32 or wider.

    Example:
        >>> difference(torch.tensor(3.0).bfloat16(), torch.tensor(1.0))
        tensor(2.)
    """
    own = wide(tensor)
    if own is tensor or own.dtype != origin.dtype:
        return own - origin
    return own.sub_(origin)


def linear(
    tensors_K: Sequence[Tensor],
    coefficients_K: Sequence[float] | None = None,
    normalize: bool = False,
) -> Tensor:
    """Weighted sum of K tensors, written around the one that weighs most.

    ::

        Σ c_k x_k = (Σ c_k) x_a + Σ c_k (x_k − x_a)      a = argmax |c_k|

    Models of one basin are close to each other, so the differences are small and lose
    little; K equal tensors give that tensor, and coefficients (0, …, 1, …, 0) give
    that member, bit for bit. One member is widened at a time.

    Args:
        tensors_K: K tensors of one shape, of any floating-point types.
        coefficients_K: K finite numbers; all 1 when not given. A model with
            coefficient 0 is not read.
        normalize: Divide the coefficients by their sum.

    Returns:
        The sum in float32 or wider.

    Raises:
        InputError: No tensors, another number of coefficients, a coefficient that is
            not finite, or a sum of 0 to be divided by.

    Example:
        >>> linear([torch.tensor(1.0), torch.tensor(4.0)], [2, 1], normalize=True)
        tensor(2.)
    """
    weights_K, total = coefficients_of(len(tensors_K), coefficients_K, normalize)
    anchor = max(range(len(weights_K)), key=lambda k: abs(weights_K[k]))
    center = wide(tensors_K[anchor])
    result = center if total == 1.0 else center * total
    rest = [k for k, c in enumerate(weights_K) if c and k != anchor]
    for k in rest:
        step = difference(tensors_K[k], center)
        own = step.dtype == torch.promote_types(step.dtype, result.dtype)
        own &= not (step.requires_grad or result.requires_grad)
        result = torch.add(result, step, alpha=weights_K[k], out=step if own else None)
    # a sum is cheap, and finite unless one of its terms is not
    if rest and not result.sum().isfinite() and center.isinf().any():
        chosen = [(weights_K[k], tensors_K[k]) for k in rest]
        return _with_infinities(result, center, weights_K[anchor], chosen, total)
    return result


def _with_infinities(
    result: Tensor,
    center: Tensor,
    coefficient: float,
    rest: Sequence[tuple[float, Tensor]],
    total: float,
) -> Tensor:
    """The sum where the anchor is infinite, as masks of −∞ are, which buffers hold."""
    plain, same = coefficient * center, torch.ones_like(center, dtype=torch.bool)
    for other, tensor in rest:
        plain = plain + other * wide(tensor)
        same &= wide(tensor) == center
    plain = torch.where(same, center * total, plain)
    return torch.where(center.isinf(), plain, result)


def coefficients_of(
    count: int, coefficients_K: Sequence[float] | None, normalize: bool
) -> tuple[list[float], float]:
    """Coefficients, checked and divided by their sum if asked, and their sum."""
    given = [1.0] * count if coefficients_K is None else [*map(float, coefficients_K)]
    if not count or len(given) != count:
        raise InputError(
            f"one coefficient for each of 1 or more models is needed: {count} models, "
            f"{len(given)} coefficients"
        )
    if not all(map(math.isfinite, given)):
        raise InputError(f"coefficients must be finite, got {given}")
    total = math.fsum(given)
    if not normalize:
        return given, total
    if total == 0:
        raise InputError(f"coefficients to be normalised must not sum to 0: {given}")
    return [value / total for value in given], 1.0
