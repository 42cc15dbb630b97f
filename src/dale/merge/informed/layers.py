"""Layers taken over from one model and corrected for the others.

Shape suffix: K, models.
"""

from collections.abc import Sequence

from torch import Tensor

from dale.errors import InputError, nearest
from dale.merge.informed.cpis import check_place
from dale.merge.informed.regmean import check_alpha, closest
from dale.merge.informed.statistics import check_statistics, shares_of
from dale.weights import Weights, linear
from dale.weights.algebra import floats, named, shared_names


def import_layers(
    weights_K: Sequence[Weights],
    grams_K: Sequence[Weights],
    *,
    layers: Sequence[str],
    donor: int = -1,
    into: int = 0,
    strength: float = 1.0,
    alpha: float = 0.9,
) -> dict[str, Tensor]:
    """Take over layers of one model, corrected towards the outputs of the others.

    ::

        W = argmin  E‖x_dᵀ W − x_dᵀ W_d‖² + s/(K − 1) Σ_{k ≠ d} E‖x_kᵀ W − x_kᵀ W_k‖²
          = (Σ λ_k G̃_k)⁻¹ Σ λ_k G̃_k W_k        λ_d = 1,  λ_k = s/(K − 1)

    for every chosen layer, where x_k are its inputs in model k and G̃_k their mean outer
    product, as in `regmean`. The imported layer keeps the donor's outputs on the
    donor's inputs and comes as near as it can to the other members' outputs on theirs.

    Args:
        weights_K: Models with the same names and shapes, read name by name.
        grams_K: Of each model, from `grams` or `load_statistics`. Tensors of a chosen
            layer without one, such as biases, get the mean with the same shares.
        layers: What to take: names of layers or of parts that hold several, such as
            ``["head"]``; ``""`` is everything.
        donor: Position of the model that gives; -1 is the last.
        into: Position of the model that receives; it keeps all its other layers.
        strength: s: how much the others count, together, against the donor; 0 takes
            the layers as they are.
        alpha: How much of what is off the diagonal counts, in ``[0, 1]``.

    Returns:
        New weights in the types of the receiving model, with its counters; ties kept.

    Raises:
        InputError: An unknown layer, or numbers out of range.
        WeightsError: Names or shapes differ, or statistics of another model or kind.

    Example:
        >>> import torch
        >>> models = [{"a.w": torch.zeros(1, 1), "b.w": torch.zeros(1, 1)},
        ...           {"a.w": torch.ones(1, 1), "b.w": torch.ones(1, 1)}]
        >>> one = {name: torch.ones(1, 1, 1) for name in ("a.w", "b.w")}
        >>> import_layers(models, [one, one], layers=["b"], strength=0.25)
        {'a.w': tensor([[0.]]), 'b.w': tensor([[0.8000]])}

    References:
        Jin et al. (2023), arXiv 2212.09849, for the closed form.
    """
    count = len(weights_K)
    donor = donor + count if donor < 0 else donor
    shares_K = _shares(count, donor, strength)
    shares_of(weights_K, grams_K, shares_K)
    check_statistics(weights_K, grams_K, "gram")
    check_place("into", into, count)
    check_alpha(alpha)
    receiver = weights_K[into]
    _known(layers, receiver)
    result: dict[str, Tensor] = {}
    for names in shared_names([receiver, *weights_K]):
        known = next((name for name in names if name in grams_K[0]), None)
        chosen = any(_within(name, layer) for name in names for layer in layers)

        def run(
            own: Tensor,
            *all_K: Tensor,
            known: str | None = known,
            chosen: bool = chosen,
        ) -> Tensor:
            if not chosen:
                return own
            if known is None:
                return linear(all_K, shares_K, normalize=True)
            found_K = [found[known] for found in grams_K]
            return closest(all_K, found_K, shares_K, alpha=alpha)

        tensors = [weights[names[0]] for weights in [receiver, *weights_K]]
        value = named(names[0], lambda *x, run=run: floats(run, *x), tensors)
        result |= dict.fromkeys(names, value)
    return {name: result[name] for name in receiver}


def _shares(count: int, donor: int, strength: float) -> list[float]:
    if count < 2:
        raise InputError(f"layers are taken from one of 2 or more models, got {count}")
    check_place("donor", donor, count)
    if not 0 <= strength < float("inf"):
        raise InputError(f"strength must be 0 or more, got {strength}")
    return [1.0 if k == donor else strength / (count - 1) for k in range(count)]


def _within(name: str, layer: str) -> bool:
    return not layer or name == layer or name.startswith(f"{layer}.")


def _known(layers: Sequence[str], weights: Weights) -> None:
    if isinstance(layers, str) or not layers:
        raise InputError(f"layers must be a list of names, got {layers!r}")
    for layer in layers:
        if not any(_within(name, layer) for name in weights):
            parts = {name.rpartition(".")[0] for name in weights} - {""}
            raise InputError(f"no layer {layer!r}; {nearest(layer, parts)}")
