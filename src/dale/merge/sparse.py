"""Task vectors made sparse: by magnitude, between two magnitudes, or at random."""

import torch
from torch import Generator, Tensor

from dale.merge.select import largest
from dale.merge.steps import Rescale, total, way

_TINY = 1e-30


def preserved(delta: Tensor, kept: Tensor, rescale: Rescale) -> Tensor:
    """Scale what was kept of a task vector to the same sum of absolute values, or not.

    Raises:
        InputError: `rescale` is neither ``"l1"`` nor ``"none"``.
    """
    if way(rescale, "none", "l1") == "none":
        return kept
    before, after = total(delta.abs()), total(kept.abs())
    return kept * (before / after) if after else kept


def trimmed(delta: Tensor, density: float, rescale: Rescale = "none") -> Tensor:
    """Keep the ``max(1, ⌊density · n⌋)`` largest magnitudes; density 0 keeps none.

    Example:
        >>> trimmed(torch.tensor([1.0, -3.0, 2.0, 0.5]), 0.5)
        tensor([ 0., -3.,  2.,  0.])
    """
    way(rescale, "none", "l1")
    if density == 1:
        return delta
    count = max(1, int(density * delta.numel())) if density else 0
    return preserved(delta, torch.where(largest(delta.abs(), count), delta, 0), rescale)


def without_outliers(
    delta: Tensor, density: float, gamma: float, rescale: Rescale = "none"
) -> Tensor:
    """Keep ``⌊density · n⌋`` magnitudes below the ``⌊gamma · n⌋`` largest.

    Where fewer than that lie below, the largest are spared until the count is right.

    Example:
        >>> without_outliers(torch.tensor([1.0, -3.0, 2.0, 0.5]), 0.5, 0.25)
        tensor([1., 0., 2., 0.])
    """
    way(rescale, "none", "l1")
    if density == 1:
        return delta
    count, magnitudes = delta.numel(), delta.abs()
    share, top = int(density * count), int(gamma * count)
    lowest = count - max(0, count - share - top)
    chosen = largest(magnitudes, lowest) & ~largest(magnitudes, lowest - share)
    return preserved(delta, torch.where(chosen, delta, 0), rescale)


def dropped(
    delta: Tensor, chance: float | Tensor, generator: Generator, rescale: Rescale
) -> Tensor:
    """Keep every element with a chance of its own, and make up for the rest.

    Args:
        delta: Any shape.
        chance: Of being kept, in ``[0, 1]``, for all or for each element.
        generator: On the CPU, so that every device draws the same.
        rescale: ``"l1"`` multiplies by ``Σ |δ| / Σ |kept|``, ``"inverse"`` divides by
            the chance.

    Returns:
        The task vector with zeros in it; as it was, if nothing can be dropped.

    Example:
        >>> delta = torch.ones(8)
        >>> kept = dropped(delta, 0.5, torch.Generator().manual_seed(0), "l1")
        >>> int(kept.count_nonzero()), kept.sum()
        (5, tensor(8.))
    """
    name = way(rescale, "none", "l1", "inverse")
    if not isinstance(chance, Tensor):
        if chance == 1:
            return delta
        chance = torch.full((), chance, dtype=delta.dtype, device=delta.device)
    draws = torch.rand(delta.shape, generator=generator).to(delta.device)
    kept = torch.where(draws < chance, delta, 0)
    if name == "inverse":
        # what has no chance is 0 already, and stays so
        return kept / chance.clamp(min=_TINY)
    return preserved(delta, kept, rescale)


def chances(delta: Tensor, density: float, epsilon: float) -> Tensor:
    """Chances of being kept that grow with the rank of the magnitude in its row.

    ::

        p = density − epsilon + 2 · epsilon · rank / (n − 1)        rank = 0 … n − 1

    A row is what feeds one output: all but the first axis. Equal magnitudes rank in
    order; the only element of a row has the chance `density`.

    Example:
        >>> chances(torch.tensor([[1.0, -9.0, 4.0]]), 0.5, 0.25)
        tensor([[0.2500, 0.7500, 0.5000]])
    """
    rows = delta.abs()
    rows = rows.flatten(1) if rows.ndim > 1 else rows.reshape(1, -1)
    if rows.shape[1] < 2:
        return torch.full_like(delta, density)
    order = rows.argsort(dim=1, stable=True)
    ranks = torch.empty_like(order)
    steps = torch.arange(rows.shape[1], device=rows.device)
    ranks.scatter_(1, order, steps.expand_as(order))
    share = ranks.to(rows.dtype) / (rows.shape[1] - 1)
    return (density - epsilon + 2 * epsilon * share).view(delta.shape)
