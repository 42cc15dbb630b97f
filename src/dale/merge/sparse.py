"""Task vectors made sparse: by magnitude, between two magnitudes, or by chances."""

from collections.abc import Callable, Iterator

import torch
from torch import Generator, Tensor

from dale.merge.blocks import spans
from dale.merge.select import Cut, bracket, largest, ranked
from dale.merge.steps import Rescale, total, way
from dale.weights import wide
from dale.weights.kernels import difference

TINY = 1e-30
"""The least that is divided by."""
_SAMPLE = 1 << 16
"""About how many magnitudes a threshold is guessed from."""


def preserved(delta: Tensor, kept: Tensor, rescale: Rescale) -> Tensor:
    """Scale what was kept of a task vector to the same sum of absolute values, or not.

    Raises:
        InputError: `rescale` is neither ``"l1"`` nor ``"none"``.
    """
    if way(rescale, "none", "l1") == "none":
        return kept
    before, after = total(delta.abs()), total(kept.abs())
    return kept * (before / after) if after else kept


def trims(
    tensor: Tensor, base: Tensor, density: float, rescale: Rescale
) -> Callable[[Tensor], Tensor]:
    """What trims a task vector that is shown in pieces, in order.

    Args:
        tensor: Of the model, a vector.
        base: Of the base, a vector.
        density: Share of the magnitudes that is kept: of n elements the largest
            ``max(1, ⌊density · n⌋)``, none at 0.
        rescale: ``"l1"`` or ``"none"``.

    Raises:
        InputError: Another `rescale`.

    Example:
        >>> x, base = torch.tensor([1.0, -3.0, 2.0, 0.5]), torch.zeros(4)
        >>> trims(x, base, 0.5, "none")(x)
        tensor([ 0., -3.,  2.,  0.])
    """
    name = way(rescale, "none", "l1")
    if density == 1 or not len(tensor):
        return lambda delta: delta
    count = max(1, int(density * len(tensor))) if density else 0
    dtype = (wide(tensor[:0]) - wide(base[:0])).dtype
    rank = None
    if count:
        near = bracket(_sample(tensor, base), count / len(tensor))
        rank = ranked(lambda: _sizes(tensor, base), count, dtype, near)
    if name == "none":
        return Cut(rank)
    cut, before, after = Cut(rank), 0.0, 0.0
    for delta in walked(tensor, base):
        before += total(delta.abs())
        after += total(cut(delta).abs())
    final = Cut(rank)
    scale = before / after if after else 1.0
    return lambda delta: final(delta) * scale


def walked(tensor: Tensor, base: Tensor) -> Iterator[Tensor]:
    """A task vector in pieces, in order."""
    for place in spans(len(tensor)):
        yield difference(tensor[place], wide(base[place]))


def _sample(tensor: Tensor, base: Tensor) -> Tensor:
    """Every so many magnitudes; the step is odd, so that it meets every column."""
    step = max(1, len(tensor) // _SAMPLE) | 1
    return difference(tensor[::step], wide(base[::step])).abs_().cpu()


def _sizes(tensor: Tensor, base: Tensor) -> Iterator[Tensor]:
    return (delta.abs_() for delta in walked(tensor, base))


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
    delta: Tensor, chances: Tensor, generator: Generator, rescale: Rescale
) -> Tensor:
    """Keep every element with a chance of its own, and make up for the rest.

    Args:
        delta: Any shape.
        chances: Of being kept, in ``[0, 1]``, for each element.
        generator: On the CPU, so that every device draws the same.
        rescale: ``"l1"`` multiplies by ``Σ |δ| / Σ |kept|``, ``"inverse"`` divides by
            the chance.

    Returns:
        The task vector with zeros in it.

    Example:
        >>> delta, generator = torch.ones(8), torch.Generator().manual_seed(0)
        >>> kept = dropped(delta, 0.5 * delta, generator, "l1")
        >>> int(kept.count_nonzero()), kept.sum()
        (5, tensor(8.))
    """
    name = way(rescale, "none", "l1", "inverse")
    draws = torch.rand(delta.shape, generator=generator).to(delta.device)
    kept = torch.where(draws < chances, delta, 0)
    if name == "inverse":
        # what has no chance is 0 already, and stays so
        return kept / chances.clamp(min=TINY)
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
