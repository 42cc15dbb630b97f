"""CPIS: taking over only the units that matter most. Shape suffix: K, models."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dale.errors import InputError
from dale.merge.informed.covariance import unit_importance
from dale.merge.informed.statistics import check_statistics, shares_of
from dale.weights import Weights, linear
from dale.weights.algebra import floats, named, shared_names


@dataclass(frozen=True)
class Imported:
    """A model that took something over from others.

    Attributes:
        weights: The model.
        units: What was taken over: output units in order, by the name of the weight.
    """

    weights: dict[str, Tensor]
    units: dict[str, tuple[int, ...]]


def cpis(
    weights_K: Sequence[Weights],
    covariances_K: Sequence[Weights],
    coefficients: Sequence[float] | None = None,
    *,
    into: int = 0,
    share: float = 0.2,
) -> Imported:
    """Replace a model's most important units, layer by layer, by those of the others.

    ::

        Σ = Σ_k λ_k Σ_k / Σ_k λ_k = V Λ Vᵀ        s_c = Σ_i Λ_i |v_ci|
        w_c ← Σ_{k ≠ into} λ_k w_kc / Σ_{k ≠ into} λ_k    for the units c of largest s

    A unit is a row of a layer's weight, its bias, and its place in a normalisation
    layer. Everything else stays as the receiving model has it.

    Args:
        weights_K: Models with the same names and shapes, read name by name.
        covariances_K: Of each model, from `covariances` or `load_statistics`.
        coefficients: Shares λ of the models, 0 or more; equal when not given.
        into: Position of the receiving model.
        share: Share of every layer's units that is taken over, in ``[0, 1]``; rounded
            up to whole units.

    Returns:
        The new model and the units it took. It is the receiving model, bit for bit, at
        a share of 0. Counters are carried from it, ties kept. Re-estimate
        normalisation statistics after.

    Raises:
        InputError: Numbers that do not fit, or out of range.
        WeightsError: Names or shapes differ, or statistics of another model or kind.

    Example:
        >>> models = [{"w": torch.zeros(2, 1)}, {"w": torch.ones(2, 1)}]
        >>> varied = {"w": torch.tensor([[1.0, 0.0], [0.0, 4.0]])}
        >>> found = cpis(models, [varied, varied], share=0.5)
        >>> found.units, found.weights["w"].flatten()
        ({'w': (1,)}, tensor([0., 1.]))

    References:
        None that we know of but the name; `unit_importance` says what is meant here.
    """
    shares_K = shares_of(weights_K, covariances_K, coefficients)
    check_statistics(weights_K, covariances_K, "covariance")
    check_place("into", into, len(weights_K))
    if not 0 <= share <= 1:
        raise InputError(f"share must be in [0, 1], got {share}")
    donors = [c if k != into else 0.0 for k, c in enumerate(shares_K)]
    if not any(donors):
        raise InputError("no model has a share beside the one that takes over")
    units = {
        name: _largest([found[name] for found in covariances_K], shares_K, share)
        for name in covariances_K[0]
    }
    receiver = weights_K[into]
    by_layer = {name.rpartition(".")[0]: chosen for name, chosen in units.items()}
    sizes = {n.rpartition(".")[0]: len(covariances_K[0][n]) for n in units}
    result: dict[str, Tensor] = {}
    for names in shared_names([receiver, *weights_K]):
        layer = next((n.rpartition(".")[0] for n in names if n in units), None)
        layer = names[0].rpartition(".")[0] if layer is None else layer
        tensors = [weights[names[0]] for weights in [receiver, *weights_K]]
        chosen = by_layer.get(layer, ())
        if chosen and tensors[0].shape[:1] != (sizes[layer],):
            chosen = ()

        def run(own: Tensor, *all_K: Tensor, at: Sequence[int] = chosen) -> Tensor:
            return _replaced(own, all_K, donors, at)

        value = named(names[0], lambda *x, run=run: floats(run, *x), tensors)
        result |= dict.fromkeys(names, value)
    return Imported({name: result[name] for name in receiver}, units)


def check_place(name: str, place: int, count: int) -> None:
    """Refuse the position of a model that is not there.

    Raises:
        InputError: It is not.
    """
    if not 0 <= place < count:
        raise InputError(f"{name} must be from 0 to {count - 1}, got {place}")


def _largest(
    covariances_K: Sequence[Tensor], shares_K: Sequence[float], share: float
) -> tuple[int, ...]:
    """The units of largest importance, in order; of equal ones the first."""
    pooled = linear([c.double() for c in covariances_K], shares_K, normalize=True)
    count = math.ceil(share * len(pooled) - 1e-9)
    order = unit_importance(pooled).argsort(descending=True, stable=True)
    return tuple(sorted(order[:count].tolist()))


def _replaced(
    own: Tensor, all_K: Sequence[Tensor], donors: Sequence[float], at: Sequence[int]
) -> Tensor:
    if not at:
        return own
    places = torch.tensor(at, device=own.device)
    fresh = linear([tensor[places] for tensor in all_K], donors, normalize=True)
    value = own.to(fresh.dtype, copy=True)
    return value.index_copy_(0, places, fresh)
