"""Averages in the subspace that the models span. Shape suffixes: K, models; D, weights.

Everything follows from the K × K inner products of the models' differences from an
origin; nothing of size D × D is made.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from dale.errors import InputError
from dale.merge.gram import grams
from dale.merge.ties import Walk
from dale.weights import Weights, linear
from dale.weights.algebra import shared_names
from dale.weights.layout import role_of


def subspace(
    tensors_K: Sequence[Tensor],
    base: Tensor,
    coefficients_K: Sequence[float],
) -> Tensor:
    """Mean of the models, projected on the main directions in which they moved.

    ::

        T = [x_1 − base, …, x_K − base]        Tᵀ T = V Λ Vᵀ
        base + U_r U_rᵀ mean(T)        U_r = T V_r Λ_r^(−½)
        = base + T V_r V_rᵀ (1/K, …, 1/K)

    with the r largest eigenvalues of ``Tᵀ T`` over all tensors at once. Directions in
    which the models hardly moved, such as the noise of single steps, are left out.

    Args:
        tensors_K: One tensor of each model, of one shape.
        base: That of the origin: the common ancestor, or the start of the trajectory.
        coefficients_K: From `directions`, over all tensors.

    Returns:
        The result, in float32 or wider.

    Example:
        >>> x_K = [torch.tensor([3.0, 1.0]), torch.tensor([3.0, -1.0])]
        >>> origin = torch.zeros(2)
        >>> shares = directions(lambda: [(x_K, origin)], rank=1)
        >>> found = subspace(x_K, origin, shares)
        >>> [round(value) for value in found.tolist()]
        [3, 0]

    References:
        Izmailov et al. (2019), Subspace inference for Bayesian deep learning, arXiv
        1907.07504, for subspaces of principal components; Li et al. (2022), Trainable
        weight averaging, arXiv 2205.13104, for averages in the span of a trajectory.
        Theirs are centred at the mean, where a projected mean is itself; here lengths
        are counted from the origin.
    """
    rest = 1 - sum(coefficients_K)
    return linear([*tensors_K, base], [*coefficients_K, rest])


def directions(
    walk: Walk,
    *,
    rank: int | None = None,
    variance: float = 0.9,
) -> tuple[float, ...]:
    """Coefficients of the models in the mean projected on their main directions.

    Args:
        walk: Starts a walk over all tensors: those of the K models, and the origin's.
        rank: How many directions, 1 or more; more than there are is all.
        variance: If there is no `rank`, as many as hold this share of the sum of
            squared lengths, in ``(0, 1]``.

    Returns:
        K numbers, all 1/K if every direction is kept; none if there are no tensors.

    Raises:
        InputError: A setting is out of range.
    """
    if rank is not None and rank < 1:
        raise InputError(f"rank must be 1 or more, got {rank}")
    if not 0 < variance <= 1:
        raise InputError(f"variance must be in (0, 1], got {variance}")
    parts, count = [], 0
    for tensors_K, origin in walk():
        count = len(tensors_K)
        flat = [tensor.reshape(1, -1) for tensor in tensors_K]
        (found,) = grams(flat, origin.reshape(1, -1))
        # masks of −∞ are no direction
        if found.isfinite().all():
            parts.append(found)
    if not parts:
        return (1 / count,) * count if count else ()
    # in order of size: files may hold the tensors in any order
    inner = torch.stack(parts).sort(0).values.sum(0)
    values, vectors = torch.linalg.eigh(inner)
    if not values[-1] > 0:
        return (1 / len(inner),) * len(inner)
    kept = vectors.flip(1)[:, : rank or _enough(values.flip(0), variance)]
    return tuple((kept @ kept.sum(0) / len(inner)).tolist())


def _enough(values: Tensor, variance: float) -> int:
    """How many of the largest eigenvalues hold this share of their sum."""
    shares = values.clamp(min=0).cumsum(0) / values.clamp(min=0).sum()
    return int((shares < variance * (1 - 1e-12)).sum()) + 1


def subspace_coefficients(
    weights_K: Sequence[Weights],
    base: Weights | None = None,
    *,
    rank: int | None = None,
    variance: float = 0.9,
) -> list[float]:
    """First of two passes: what `subspace` multiplies the models by.

    Args:
        weights_K: Models with the same names and shapes, read name by name.
        base: Origin; the first model, where the trajectory began, if there is none.
        rank: How many directions.
        variance: If there is no `rank`, as many as hold this share.

    Returns:
        One number for each model and then one for the base, if it was given. They sum
        to 1, so that any weighted sum can be the second pass.

    Raises:
        InputError: No models, or a setting out of range.
        WeightsError: Names or shapes differ.

    Example:
        >>> path = [{"w": torch.tensor([0.0, 0.0])}, {"w": torch.tensor([3.0, 1.0])},
        ...         {"w": torch.tensor([3.0, -1.0])}]
        >>> subspace_coefficients(path, rank=1)
        [0.33..., 0.33..., 0.33...]
    """
    if not weights_K:
        raise InputError("1 or more models are needed, got 0")
    origin = weights_K[0] if base is None else base
    groups = shared_names([*weights_K, origin])

    def walk() -> Iterable[tuple[Sequence[Tensor], Tensor]]:
        for name, *_ in groups:
            # statistics follow from the weights, and have units of their own
            if role_of(name, origin[name].dtype) == "parameter":
                yield [weights[name] for weights in weights_K], origin[name]

    known = directions(walk, rank=rank, variance=variance)
    found = known or (0.0,) * len(weights_K)
    rest = 1 - sum(found)
    return [found[0] + rest, *found[1:]] if base is None else [*found, rest]
