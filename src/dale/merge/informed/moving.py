"""Importance-weighted moving average, importances by parameter.

Shape suffix: K, models.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dale.errors import InputError, WeightsError
from dale.merge.informed.statistics import Statistics, check_statistics
from dale.merge.moving import remaining
from dale.weights import Weights, linear, wide
from dale.weights.algebra import floats, named, shared_names
from dale.weights.match import listing


def importance_merge(
    weights_K: Sequence[Weights],
    importances_K: Sequence[Weights],
    base: Weights,
    *,
    alpha: float = 0.1,
    rounds: int = 1,
    floor: float = 1e-6,
) -> dict[str, Tensor]:
    """Move an average towards models, each parameter by its importance in each.

    ::

        w ← (1 − α) w + α Σ a_k w_k / Σ a_k        a_k = max(importance_k, floor)

    from w = base, so many rounds; see `dale.merge.importance` for one number a model.

    Args:
        weights_K: Models with the same names and shapes, read name by name.
        importances_K: For each model 0 or more by name: a tensor of the parameter's
            shape, such as a Fisher diagonal from `fisher` or `load_statistics`, or one
            that spreads to it, such as a single number for a layer. Where there is
            none the models count alike.
        base: The average as it was before these models came.
        alpha: How much of the average is new in a round, in ``[0, 1]``; 0.1 moves
            fast, 0.01 slowly.
        rounds: How often the same models come, 0 or more.
        floor: Where no model has importance the mean is taken; positive.

    Returns:
        The new average in the types of the base, with its counters; ties kept. It is
        the base, bit for bit, for an `alpha` of 0.

    Raises:
        InputError: No models, or numbers that do not fit or are out of range.
        WeightsError: Names or shapes differ, or statistics of another model or kind.

    Example:
        >>> models = [{"w": torch.tensor([0.0, 0.0])}, {"w": torch.tensor([4.0, 4.0])}]
        >>> known = [{"w": torch.tensor([3.0, 0.0])}, {"w": torch.tensor([1.0, 0.0])}]
        >>> importance_merge(models, known, {"w": torch.zeros(2)}, alpha=0.5)
        {'w': tensor([0.5000, 1.0000])}

    References:
        Matena and Raffel (2022), arXiv 2111.09832, for importances by Fisher
        information; Tarvainen and Valpola (2017), arXiv 1703.01780, for moving
        averages.
    """
    if not 0 < floor < float("inf"):
        raise InputError(f"floor must be positive, got {floor}")
    if not weights_K or len(weights_K) != len(importances_K):
        raise InputError(
            f"1 or more models need importances each: {len(weights_K)} models, "
            f"{len(importances_K)} importances"
        )
    if any(isinstance(found, Statistics) for found in importances_K):
        check_statistics(weights_K, importances_K, "fisher")
    for position, found in enumerate(importances_K, start=1):
        odd = [name for name in found if name not in base]
        if odd:
            raise WeightsError(
                f"importances {position} are of names that no model has: {listing(odd)}"
            )
    kept = remaining(alpha, rounds)
    result: dict[str, Tensor] = {}
    for names in shared_names([base, *weights_K]):
        known = next((n for n in names if any(n in a for a in importances_K)), None)

        def run(
            origin: Tensor, *tensors_K: Tensor, known: str | None = known
        ) -> Tensor:
            if known is None:
                new = (1 - kept) / len(tensors_K)
                shares = [kept, *[new] * len(tensors_K)]
                return linear([origin, *tensors_K], shares, normalize=True)
            found_K = [found.get(known) for found in importances_K]
            fresh = _mean(tensors_K, found_K, floor)
            return wide(origin) + (1 - kept) * (fresh - wide(origin))

        tensors = [weights[names[0]] for weights in [base, *weights_K]]
        value = named(names[0], lambda *x, run=run: floats(run, *x), tensors)
        result |= dict.fromkeys(names, value)
    return {name: result[name] for name in base}


def _mean(
    tensors_K: Sequence[Tensor], importances_K: Sequence[Tensor | None], floor: float
) -> Tensor:
    first = wide(tensors_K[0])
    above, below = torch.zeros_like(first), torch.zeros_like(first)
    for tensor, importance in zip(tensors_K, importances_K, strict=True):
        weight = _spread(importance, first).clamp(min=floor)
        above += weight * (wide(tensor) - first)
        below += weight
    return first + above / below


def _spread(importance: Tensor | None, first: Tensor) -> Tensor:
    """The importance of every element.

    Raises:
        WeightsError: It is missing, or does not fit the parameter.
    """
    if importance is None:
        raise WeightsError("some models have importances and some have none")
    try:
        value = torch.as_tensor(importance, dtype=first.dtype, device=first.device)
    except (TypeError, ValueError, RuntimeError):
        found = type(importance).__name__
        raise WeightsError(
            f"importances must be tensors or numbers, got a {found}"
        ) from None
    if not bool((value >= 0).all() & value.isfinite().all()):
        raise WeightsError("importances must be finite numbers, 0 or more")
    try:
        return value.expand(first.shape)
    except RuntimeError:
        raise WeightsError(
            f"importance of shape {tuple(value.shape)} does not fit a parameter of "
            f"shape {tuple(first.shape)}"
        ) from None
