"""A layer's weight and the product of two narrow matrices that is added to it."""

import torch
from torch import Tensor

from dale.errors import WeightsError
from dale.weights.kernels import wide


def with_lora(
    weight: Tensor,
    down: Tensor,
    up: Tensor,
    scale: float,
    *,
    embedding: bool = False,
    transposed: bool = False,
    magnitude: Tensor | None = None,
) -> Tensor:
    """A layer's weight with its low-rank adapter.

    ::

        V = W + scale · B A                      DoRA:  V_o · m_o / |V_o|

    Args:
        weight: W, ``[out, in, *]``; or ``[in, out]`` of a layer that keeps it so; or
            ``[entries, width]`` of a table of embeddings.
        down: A, ``[r, in, *]``, or ``[r, entries]``.
        up: B, ``[out, r, *]``, or ``[width, r]``.
        scale: Factor.
        embedding: The weight is a table of embeddings.
        transposed: How to read a square matrix; any other tells by its shape.
        magnitude: m, one length for each output, of DoRA.

    Returns:
        The result, in float32 or wider, however narrow the arguments.

    Raises:
        WeightsError: Shapes do not fit.

    Example:
        >>> w, a, b = torch.zeros(2, 1), torch.ones(1, 1), torch.tensor([[1.0], [2.0]])
        >>> with_lora(w, a, b, 0.5).tolist()
        [[0.5], [1.0]]

    References:
        Hu et al. (2021), LoRA, arXiv 2106.09685. Kalajdzievski (2023), A rank
        stabilization scaling factor, arXiv 2312.03732. Liu et al. (2024), DoRA, arXiv
        2402.09353. PEFT rounds the product to the adapter's type before it is added;
        here the sum is rounded once.
    """
    product = wide(up).flatten(1) @ wide(down).flatten(1)
    turned = embedding or _turned(weight, product, transposed)
    product = product.T if turned else product
    if product.numel() != weight.numel() or product.shape[0] != weight.shape[0]:
        raise WeightsError(
            f"an adapter of shape {tuple(product.shape)} does not fit a weight of "
            f"shape {tuple(weight.shape)}"
        )
    whole = torch.add(wide(weight), product.view(weight.shape), alpha=scale)
    if magnitude is None:
        return whole
    axis = 1 if turned else 0
    lengths = whole.movedim(axis, 0).flatten(1).norm(dim=1)
    shape = [-1 if i == axis else 1 for i in range(whole.ndim)]
    return whole * (wide(magnitude).flatten() / lengths).view(shape)


def _turned(weight: Tensor, product: Tensor, transposed: bool) -> bool:
    if weight.ndim != 2 or product.shape[0] == product.shape[1]:
        return transposed and weight.ndim == 2
    return weight.shape == product.T.shape
