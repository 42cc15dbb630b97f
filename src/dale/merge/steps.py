"""The steps that methods against interference share: differences, weights, sums, votes.

All work on task vectors, ``τ_k = x_k − base``, in float32 or wider, and take them one
after the other, so that no more than one is in memory beside the sums. Shape suffix: K,
models.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Real
from typing import Literal

import torch
from torch import Tensor

from dale.errors import InputError
from dale.weights import wide
from dale.weights.kernels import difference

LARGEST = torch.finfo(torch.float32).max
"""The largest number in the narrowest type in which models are merged."""
Each = float | Sequence[float]
"""One number for all models, or one for each."""
Rescale = Literal["none", "l1", "inverse"] | bool
"""What makes up for dropped elements: nothing, a factor that keeps the sum of absolute
values, or division of every kept element by its chance of being kept. True is
``"l1"``, False ``"none"``."""


def each(name: str, value: Each, count: int, share: bool = False) -> list[float]:
    """A setting as one number for each model, finite also in float32.

    Args:
        name: The setting, for the message.
        value: One number for all, or one for each.
        count: K.
        share: Require numbers in ``[0, 1]``.

    Raises:
        InputError: Another number of numbers, or one out of range.

    Example:
        >>> each("weight", 0.5, 3)
        [0.5, 0.5, 0.5]
        >>> each("density", (0.5, 2), 2, share=True)
        Traceback (most recent call last):
            ...
        dale.errors.InputError: density must be in [0, 1], got [0.5, 2.0]
    """
    try:
        given = _floats(value, count)
    except (TypeError, ValueError):
        raise InputError(
            f"{name} must be a number, or one for each model, got {value!r}"
        ) from None
    if len(given) != count:
        raise InputError(f"{name} has {len(given)} numbers for {count} models")
    if not all(map(math.isfinite, given)):
        raise InputError(f"{name} must be finite, got {given}")
    if not all(abs(number) <= LARGEST for number in given):
        raise InputError(f"{name} must lie within ±3.4e38, got {given}")
    if share and not all(0 <= number <= 1 for number in given):
        raise InputError(f"{name} must be in [0, 1], got {given}")
    return given


def _floats(value: Each, count: int) -> list[float]:
    """Numbers of Python, of NumPy, or tensors of one element or one dimension."""
    if isinstance(value, str):
        raise TypeError
    single = isinstance(value, Real) or getattr(value, "ndim", 1) == 0
    return [float(value)] * count if single else [*map(float, value)]  # type: ignore


def way(rescale: Rescale, *known: str) -> str:
    """The name of a way to make up for dropped elements.

    Raises:
        InputError: It is none of those that are known here.

    Example:
        >>> way(True, "none", "l1")
        'l1'
    """
    name = ("l1" if rescale else "none") if isinstance(rescale, bool) else rescale
    if name not in known:
        raise InputError(f"rescale must be one of {', '.join(known)}, got {rescale!r}")
    return name


def divisor(weights_K: Sequence[float]) -> float:
    """The sum by which weights are normalised.

    Raises:
        InputError: The sum is 0.
    """
    whole = math.fsum(weights_K)
    if whole == 0:
        raise InputError(f"weights to be normalised must not sum to 0: {weights_K}")
    return whole


def deltas(tensors_K: Iterable[Tensor], base: Tensor) -> Iterator[Tensor]:
    """Task vectors, each a new tensor.

    Yields:
        ``x_k − base`` in float32 or wider.

    Example:
        >>> [*deltas([torch.tensor(3.0).bfloat16()], torch.tensor(1.0))]
        [tensor(2.)]
    """
    origin = wide(base)
    for tensor in tensors_K:
        yield difference(tensor, origin)


def shifted(base: Tensor, change: Tensor, factor: float) -> Tensor:
    """``base + factor · change``, in float32 or wider."""
    return torch.add(wide(base), change, alpha=factor)


def total(tensor: Tensor) -> float:
    """The sum of all elements, accumulated in float64."""
    plain = tensor.cpu() if tensor.device.type == "mps" else tensor
    return plain.sum(dtype=torch.float64).item()


def is_finite(tensor: Tensor) -> bool:
    """Whether the sum is; a sum is cheap, and seldom overflows."""
    return bool(tensor.sum().isfinite())


def precise(tensor: Tensor) -> Tensor:
    """The tensor in float64, on the CPU where its device has no such type."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def summed(
    deltas_K: Iterable[Tensor], weights_K: Sequence[float], normalize: bool
) -> Tensor:
    """``Σ w_k δ_k``, divided by ``Σ w_k`` if asked. The task vectors are used up.

    Example:
        >>> summed(iter([torch.tensor(1.0), torch.tensor(4.0)]), (2, 1), True)
        tensor(2.)
    """
    scale = divisor(weights_K) if normalize else 1.0
    parts = zip(deltas_K, weights_K, strict=True)
    first, weight = next(parts)
    change = first if weight == 1 else first.mul_(weight)
    for delta, weight in parts:
        change.add_(delta, alpha=weight)
    return change if scale == 1 else change / scale


def elected(
    deltas_K: Iterable[Tensor], weights_K: Sequence[float], normalize: bool
) -> Tensor:
    """Elect a sign for every element and merge what agrees with it.

    ::

        γ = sign(Σ w_k δ_k), with sign(0) = +        A = {k : sign(w_k δ_k) = γ}
        Σ_{k ∈ A} w_k δ_k,  divided by  Σ_{k ∈ A} w_k  if asked

    Args:
        deltas_K: Task vectors, which are used up.
        weights_K: One for each.
        normalize: Divide by the weights of those that agree; where none does, by 1.

    Returns:
        The merged task vector.

    Example:
        >>> parts = [torch.tensor([1.0, -4.0]), torch.tensor([3.0, 2.0])]
        >>> elected(parts, (1, 1), normalize=False)
        tensor([ 4., -4.])
    """
    if normalize:
        return elected_mean(deltas_K, weights_K)
    pairs = zip(deltas_K, weights_K, strict=True)
    # rounded before they are summed, so that equal votes of both signs are a tie
    parts = (delta if weight == 1 else delta.mul_(weight) for delta, weight in pairs)
    votes = next(parts)
    sizes = votes.abs()
    for part in parts:
        votes.add_(part)
        sizes.add_(part.abs_())
    # Σ and Σ|·| with its sign, halved, are what agrees: nothing is chosen or kept
    return votes.add_(sizes.copysign_(votes)).mul_(0.5)


def elected_mean(
    deltas_K: Iterable[Tensor], weights_K: Sequence[float], plain_vote: bool = False
) -> Tensor:
    """Elect a sign for every element and take the mean of what agrees with it.

    Args:
        deltas_K: Task vectors.
        weights_K: One for each.
        plain_vote: Elect by ``Σ δ_k`` instead of ``Σ w_k δ_k``; for weights that are
            not negative.

    Returns:
        As `elected`, divided.

    Example:
        >>> parts = [torch.tensor([1.0, -4.0]), torch.tensor([3.0, 2.0])]
        >>> elected_mean(parts, (1, 1))
        tensor([ 2., -4.])
    """
    parts_K = []
    votes: Tensor | None = None
    for delta, weight in zip(deltas_K, weights_K, strict=True):
        parts_K.append(delta if weight == 1 else delta * weight)
        vote = delta if plain_vote else parts_K[-1]
        votes = vote.clone() if votes is None else votes.add_(vote)
    assert votes is not None
    # products with 1 and −1 are exact, and much faster than a choice
    sign = _as_number(torch.ge, votes).mul_(2).sub_(1)
    change = agreeing = torch.zeros(())
    for part, weight in zip(parts_K, weights_K, strict=True):
        share = (part * sign).relu_()
        change = share + change
        agreeing = share.sign_().mul_(weight).add_(agreeing)
    # where none agrees the change is 0
    agreeing = agreeing.add_(_as_number(torch.eq, agreeing))
    return change.mul_(sign).div_(agreeing)


def _as_number(compare: Callable[..., Tensor], tensor: Tensor) -> Tensor:
    """1 where the comparison with 0 holds, 0 elsewhere, in the tensor's type."""
    return compare(tensor, 0, out=torch.empty_like(tensor))
