"""Whether tensors fit together: names, shapes, kinds and shared memory."""

from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from dale.errors import WeightsError

Weights = Mapping[str, Tensor]
"""Named tensors, in any order, read and never written."""

_SHOWN = 5


class _Shaped(Protocol):
    @property
    def shape(self) -> tuple[int, ...]: ...


@runtime_checkable
class Tied(Protocol):
    """Weights that know their ties without being read, such as those in a file."""

    @property
    def ties(self) -> dict[str, str]:
        """Every tied name but the first of its group, and that first name."""
        ...


def is_inexact(tensor: Tensor) -> bool:
    """Whether the tensor takes part in arithmetic: floating-point or complex."""
    return tensor.is_floating_point() or tensor.is_complex()


def identity(tensor: Tensor) -> tuple[object, ...]:
    """A key that two tensors share exactly when they are the same memory and view."""
    if tensor.device.type == "meta" or tensor.layout != torch.strided:
        return (id(tensor),)
    if tensor.numel() == 0:
        return (id(tensor),)
    place = (tensor.device, tensor.data_ptr(), tensor.dtype)
    return (
        *place,
        tuple(tensor.shape),
        tensor.stride(),
        tensor.is_conj(),
        tensor.is_neg(),
    )


def ties_of(weights: Weights | Tied) -> dict[str, str]:
    """Names that share the tensor of an earlier name, and that earlier name.

    Example:
        >>> shared = torch.ones(2)
        >>> ties_of({"embed": shared, "head": shared, "other": torch.ones(2)})
        {'head': 'embed'}
    """
    if isinstance(weights, Tied):
        return weights.ties
    first: dict[tuple[object, ...], str] = {}
    # the list keeps every tensor alive, so that no two share an address by accident
    pairs = list(weights.items())
    leaders = {name: first.setdefault(identity(tensor), name) for name, tensor in pairs}
    return {name: leader for name, leader in leaders.items() if name != leader}


def listing(names: Iterable[str]) -> str:
    """The first few names and how many there are, for a one-line message.

    Example:
        >>> listing(["a", "b"])
        "'a', 'b'"
        >>> listing(map(str, range(9)))
        "'0', '1', '2', '3', '4' and 4 more"
    """
    names = list(names)
    shown = ", ".join(map(repr, names[:_SHOWN]))
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def check_match(
    expected: Mapping[str, _Shaped], actual: Mapping[str, _Shaped], what: str
) -> None:
    """Require the same names and the same shapes.

    Args:
        expected: Tensors or layout entries that set the measure.
        actual: Tensors or layout entries to be compared.
        what: The compared thing, for the message, such as ``"model 2"``.

    Raises:
        WeightsError: Names are missing or unknown, or shapes differ.

    Example:
        >>> check_match({"w": torch.ones(2)}, {"v": torch.ones(2)}, "model 2")
        Traceback (most recent call last):
            ...
        dale.errors.WeightsError: model 2: names missing: 'w'; names unknown: 'v'
    """
    faults = []
    if missing := [name for name in expected if name not in actual]:
        faults.append(f"names missing: {listing(missing)}")
    if unknown := [name for name in actual if name not in expected]:
        faults.append(f"names unknown: {listing(unknown)}")
    if not faults:
        shapes = {
            n: (tuple(e.shape), tuple(actual[n].shape)) for n, e in expected.items()
        }
        wrong = {name: pair for name, pair in shapes.items() if pair[0] != pair[1]}
        for name, (wanted, found) in list(wrong.items())[:_SHOWN]:
            faults.append(f"{name!r} must have shape {wanted}, has {found}")
        if len(wrong) > _SHOWN:
            faults.append(f"and {len(wrong) - _SHOWN} more shapes")
    if faults:
        raise WeightsError(f"{what}: {'; '.join(faults)}")


def check_ties(expected: Weights | Tied, actual: Weights, what: str) -> None:
    """Require equal values under every two names that `expected` ties.

    Raises:
        WeightsError: Two tied names have different values.

    Example:
        >>> one = torch.ones(2)
        >>> tied = {"embed": one, "head": one}
        >>> check_ties(tied, {"embed": one, "head": 2 * one}, "model 2")
        Traceback (most recent call last):
            ...
        dale.errors.WeightsError: model 2: tied names have different values: 'head'
    """
    pairs = ties_of(expected).items()
    wrong = [n for n, leader in pairs if not _same(actual[n], actual[leader])]
    if wrong:
        raise WeightsError(
            f"{what}: tied names have different values: {listing(wrong)}"
        )


def _same(first: Tensor, second: Tensor) -> bool:
    return identity(first) == identity(second) or torch.equal(first, second)
