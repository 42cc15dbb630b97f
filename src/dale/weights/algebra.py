"""Arithmetic on named tensors.

Floating-point tensors are computed in float32 or wider and cast back once; integer and
Boolean tensors, which count or select, are carried from the first argument. Names that
share a tensor in every argument share the result. Shape suffix: K, models.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from dale.errors import WeightsError
from dale.weights.kernels import coefficients_of, linear, wide
from dale.weights.layout import described
from dale.weights.match import Weights, check_match, is_inexact, listing, ties_of

Kernel = Callable[..., Tensor]
"""A pure function of one or more tensors of one shape."""


def map_tensors(kernel: Kernel, first: Weights, *others: Weights) -> dict[str, Tensor]:
    """Apply a function to the tensors of each name, whatever their type.

    Args:
        kernel: Gets the tensors of one name, in the order of the arguments.
        first: Sets the names and their order.
        others: Weights with the same names and shapes.

    Returns:
        What the function returned for each name. Names that share one tensor in every
        argument are computed once and share it again.

    Raises:
        WeightsError: Names or shapes differ.

    Example:
        >>> map_tensors(torch.neg, {"w": torch.ones(2)})
        {'w': tensor([-1., -1.])}
    """
    everyone = (first, *others)
    result: dict[str, Tensor] = {}
    for names in shared_names(everyone):
        tensors = [weights[names[0]] for weights in everyone]
        result |= dict.fromkeys(names, named(names[0], kernel, tensors))
    return {name: result[name] for name in first}


def shared_names(weights_K: Sequence[Weights]) -> list[tuple[str, ...]]:
    """Groups of names that share one tensor in every one of several weights.

    Args:
        weights_K: One or more, with the same names and shapes. No tensor is read from
            weights in files.

    Returns:
        Every name in one group, alone or with others, in the order of the first.

    Raises:
        WeightsError: Names or shapes differ.

    Example:
        >>> one, two = torch.ones(2), torch.zeros(2)
        >>> shared_names([{"embed": one, "norm": two, "head": one}])
        [('embed', 'head'), ('norm',)]
    """
    first, *others = map(described, weights_K)
    for position, other in enumerate(others, start=2):
        check_match(first, other, f"weights {position}")
    ties = [ties_of(weights) for weights in weights_K]
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in first:
        groups.setdefault(tuple(tie.get(name, name) for tie in ties), []).append(name)
    return [tuple(names) for names in groups.values()]


def named(name: str, kernel: Kernel, tensors: Sequence[Tensor]) -> Tensor:
    """Call a kernel; the name stands in the messages of its errors.

    Raises:
        WeightsError: The kernel raised one.
    """
    try:
        return kernel(*tensors)
    except WeightsError as error:
        raise WeightsError(f"{name!r}: {error}") from None


def map_floats(kernel: Kernel, first: Weights, *others: Weights) -> dict[str, Tensor]:
    """Apply arithmetic to floating-point tensors and carry the rest.

    Args:
        kernel: Gets the tensors of one name as they are and computes in a wider type,
            see `wide`; its result is cast to the type of the first.
        first: Sets the names, their order and their types, and gives the counters.
        others: Weights with the same names and shapes.

    Returns:
        New tensors; none shares memory with an argument.

    Raises:
        WeightsError: Names or shapes differ, or a name counts in one and not in all.

    Example:
        >>> twice = {"w": torch.ones(1).bfloat16(), "n": torch.tensor(3)}
        >>> map_floats(lambda x: 2 * wide(x), twice)
        {'w': tensor([2.], dtype=torch.bfloat16), 'n': tensor(3)}
    """
    return map_tensors(partial(floats, kernel), first, *others)


def floats(kernel: Kernel, *tensors: Tensor) -> Tensor:
    """What `map_floats` does to the tensors of one name.

    Raises:
        WeightsError: Some are floating-point and some are not.
    """
    inexact = [is_inexact(tensor) for tensor in tensors]
    if any(inexact) != all(inexact):
        kinds = listing(str(tensor.dtype) for tensor in tensors)
        raise WeightsError(f"floating-point in one model and not in all: {kinds}")
    if not inexact[0]:
        return tensors[0].detach().clone()
    value = kernel(*(tensor.detach() for tensor in tensors))
    return value.to(tensors[0].dtype, copy=_aliased(value, tensors))


def _aliased(value: Tensor, tensors: Sequence[Tensor]) -> bool:
    place = value.untyped_storage().data_ptr()
    return any(place == tensor.untyped_storage().data_ptr() for tensor in tensors)


def add(first: Weights, second: Weights) -> dict[str, Tensor]:
    """``first + second``, name by name."""
    return map_floats(lambda x, y: wide(x) + wide(y), first, second)


def sub(first: Weights, second: Weights) -> dict[str, Tensor]:
    """``first − second``, name by name: a task vector, when `second` is the base."""
    return map_floats(lambda x, y: wide(x) - wide(y), first, second)


def scale(weights: Weights, factor: float) -> dict[str, Tensor]:
    """``factor · weights``, name by name."""
    return map_floats(lambda x: wide(x) * factor, weights)


def lerp(first: Weights, second: Weights, t: float) -> dict[str, Tensor]:
    """``(1 − t) first + t second``, name by name; exact at both ends.

    Example:
        >>> lerp({"w": torch.tensor(1.0)}, {"w": torch.tensor(3.0)}, 0.25)
        {'w': tensor(1.5000)}
    """

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        x, y = wide(x), wide(y).to(wide(x).dtype)
        return torch.where(x.isinf() & (x == y), x, torch.lerp(x, y, t))

    return map_floats(kernel, first, second)


def weighted_sum(
    weights_K: Sequence[Weights], coefficients_K: Sequence[float]
) -> dict[str, Tensor]:
    """``Σ c_k weights_k``, name by name; see `linear`.

    Example:
        >>> one, two = {"w": torch.ones(2)}, {"w": 2 * torch.ones(2)}
        >>> weighted_sum([one, two], [1.0, -1.0])
        {'w': tensor([-1., -1.])}
    """
    coefficients_of(len(weights_K), coefficients_K, False)
    return map_floats(lambda *x_K: linear(x_K, coefficients_K), *weights_K)


def mean(
    weights_K: Sequence[Weights], coefficients_K: Sequence[float] | None = None
) -> dict[str, Tensor]:
    """``Σ c_k weights_k / Σ c_k``, name by name; equal coefficients when not given.

    Example:
        >>> mean([{"w": torch.zeros(2)}, {"w": torch.ones(2)}])
        {'w': tensor([0.5000, 0.5000])}
    """
    coefficients_of(len(weights_K), coefficients_K, True)
    return map_floats(lambda *x_K: linear(x_K, coefficients_K, True), *weights_K)


def copied(weights: Weights) -> dict[str, Tensor]:
    """Detached clones; names that share a tensor share its clone."""
    return map_tensors(lambda tensor: tensor.detach().clone(), weights)


def dot(first: Weights, second: Weights) -> float:
    """``Σ first · second`` over floating-point tensors, in float64.

    Tied tensors are counted once; statistics are counted with the parameters.

    Example:
        >>> dot({"w": torch.ones(3)}, {"w": torch.full((3,), 2.0)})
        6.0
    """
    return _total(lambda x, y: torch.vdot(x, y).real, first, second)


def norm(weights: Weights) -> float:
    """Euclidean length over floating-point tensors, in float64; see `dot`."""
    return math.sqrt(dot(weights, weights))


def distance(first: Weights, second: Weights) -> float:
    """Euclidean distance over floating-point tensors, in float64; see `dot`."""
    return math.sqrt(_total(lambda x, y: (x - y).abs().square().sum(), first, second))


def _total(kernel: Kernel, first: Weights, second: Weights) -> float:
    parts: list[float] = []

    def run(x: Tensor, y: Tensor) -> Tensor:
        if is_inexact(x):
            dtype = torch.complex128 if x.is_complex() else torch.float64
            flat = (v.detach().to("cpu", dtype).reshape(-1) for v in (x, y))
            parts.append(kernel(*flat).item())
        return x

    map_tensors(run, first, second)
    return math.fsum(parts)
