"""Kernels that make a tensor piece by piece, in memory bounded by one piece.

A piece is a block of 262,144 elements in row-major order: float32 temporaries of such a
size stay in the cache of a processor, and threads seldom wait for the interpreter. An
elementwise kernel does not notice how it is cut. A piecewise one looks at whole tensors
first, block by block, for a threshold, a sum or an angle, and is elementwise from then
on. Shape suffix: K, models.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from typing import Any

import torch
from torch import Tensor

BLOCK = 1 << 18
Kernel = Callable[..., Tensor]
"""``kernel(tensors_K[, base][, …], **settings)``."""
Pieces = Callable[..., Iterator[Tensor]]
"""The same, giving flat pieces one after the other."""


def spans(count: int, size: int = BLOCK) -> Iterator[slice]:
    """Consecutive places of so many elements.

    Yields:
        Slices; the last is of what is left.

    Example:
        >>> [*spans(5, 2)]
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
        >>> [*spans(0)]
        [slice(0, 0, None)]
    """
    for start in range(0, max(1, count), size):
        yield slice(start, min(start + size, count))


def flat(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Each tensor as a vector in row-major order, without a copy where possible."""
    return [tensor.reshape(-1) for tensor in tensors]


def elementwise(kernel: Kernel) -> Kernel:
    """Mark a kernel whose results at one place depend on values at that place alone.

    It gets an attribute ``pieces``, see `pieces_of`, and is otherwise as it was.
    """

    def pieces(
        tensors_K: Sequence[Tensor], *given: Any, **settings: Any
    ) -> Iterator[Tensor]:
        rows_K = flat(tensors_K)
        rest = [x.reshape(-1) if isinstance(x, Tensor) else x for x in given]
        for place in spans(tensors_K[0].numel()):
            here = [x[place] if isinstance(x, Tensor) else x for x in rest]
            yield kernel([row[place] for row in rows_K], *here, **settings)

    kernel.pieces = pieces  # type: ignore[attr-defined]
    return kernel


def piecewise(pieces: Pieces) -> Kernel:
    """A kernel from a function that makes its result piece by piece."""

    @wraps(pieces)
    def kernel(tensors_K: Sequence[Tensor], *given: Any, **settings: Any) -> Tensor:
        made = [*pieces(tensors_K, *given, **settings)]
        whole = made[0] if len(made) == 1 else torch.cat(made)
        return whole.view(tensors_K[0].shape)

    kernel.pieces = pieces  # type: ignore[attr-defined]
    return kernel


def pieces_of(kernel: Kernel) -> Pieces | None:
    """How a kernel makes its result piece by piece, if it can."""
    return getattr(kernel, "pieces", None)
