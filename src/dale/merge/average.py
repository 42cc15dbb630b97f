"""Averages: kernels that see one tensor of every model. Shape suffix: K, models."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from dale.errors import InputError
from dale.merge.blocks import elementwise
from dale.merge.steps import Each, each
from dale.weights import Weights, map_floats, wide
from dale.weights import linear as combined
from dale.weights.mixture import mix_variances


@elementwise
def uniform(tensors_K: Sequence[Tensor], *, last: int | None = None) -> Tensor:
    """Mean of all tensors, or of the last few.

    ::

        (1 / k) Σ_{i > K − k} x_i        k = last or K

    Args:
        tensors_K: One tensor of each model, of one shape, in order of training when
            `last` is given.
        last: How many models from the end are averaged, in ``[1, K]``.

    Returns:
        The mean, in float32 or wider. K equal tensors give that tensor, bit for bit.

    Raises:
        InputError: `last` is outside its range, or there are no tensors.

    Example:
        >>> import torch
        >>> x_K = [torch.tensor(value) for value in (0.0, 2.0, 4.0)]
        >>> uniform(x_K), uniform(x_K, last=2)
        (tensor(2.), tensor(3.))

    References:
        Wortsman et al. (2022), Model soups, arXiv 2203.05482 (uniform soup). Rakhlin,
        Shamir and Sridharan (2012), arXiv 1109.5647 (suffix averaging).
    """
    if last is None:
        return combined(tensors_K, normalize=True)
    if not 1 <= last <= len(tensors_K):
        raise InputError(f"last must be from 1 to {len(tensors_K)} models, got {last}")
    return combined(tensors_K[-last:], normalize=True)


@elementwise
def weighted(
    tensors_K: Sequence[Tensor],
    *,
    coefficients: Sequence[float],
    normalize: bool = True,
) -> Tensor:
    """Weighted mean, or weighted sum.

    ::

        Σ c_k x_k / Σ c_k        or, without `normalize`,        Σ c_k x_k

    Args:
        tensors_K: One tensor of each model, of one shape.
        coefficients: K finite numbers; negative ones lead away from a model.
        normalize: Divide by the sum of the coefficients.

    Returns:
        The result, in float32 or wider. Coefficients 0 but for one give that tensor,
        bit for bit, when the one is 1 or `normalize` is set.

    Raises:
        InputError: Another number of coefficients, one that is not finite, or a sum
            of 0 to be divided by.

    Example:
        >>> import torch
        >>> weighted([torch.tensor(0.0), torch.tensor(4.0)], coefficients=(3, 1))
        tensor(1.)

    References:
        Izmailov et al. (2018), arXiv 1803.05407; Wortsman et al. (2022), arXiv
        2203.05482.
    """
    return combined(tensors_K, coefficients, normalize)


@elementwise
def linear(
    tensors_K: Sequence[Tensor], *, weight: Each = 1.0, normalize: bool = True
) -> Tensor:
    """Weighted mean, or weighted sum, by the names of mergekit.

    As `weighted`, with one number for all models or one for each.

    Args:
        tensors_K: One tensor of each model, of one shape.
        weight: Finite numbers; negative ones lead away from a model.
        normalize: Divide by the sum of the weights.

    Returns:
        The result, in float32 or wider.

    Raises:
        InputError: Weights that do not fit, or a sum of 0 to be divided by.

    Example:
        >>> import torch
        >>> x_K = [torch.tensor(1.0), torch.tensor(3.0)]
        >>> linear(x_K), linear(x_K, normalize=False)
        (tensor(2.), tensor(4.))

    References:
        Wortsman et al. (2022), arXiv 2203.05482.
    """
    return combined(tensors_K, each("weight", weight, len(tensors_K)), normalize)


@elementwise
def passthrough(tensors_K: Sequence[Tensor], *, scale: float = 1.0) -> Tensor:
    """One model as it is, or scaled.

    Args:
        tensors_K: One tensor.
        scale: Factor, finite.

    Returns:
        The result, in float32 or wider.

    Raises:
        InputError: `scale` is not finite.

    Example:
        >>> import torch
        >>> passthrough([torch.tensor(3.0)], scale=0.5)
        tensor(1.5000)

    References:
        A method of mergekit.
    """
    (scale,) = each("scale", scale, 1)
    return wide(tensors_K[0]) if scale == 1 else wide(tensors_K[0]) * scale


def average(
    weights_K: Sequence[Weights],
    coefficients: Sequence[float] | None = None,
    *,
    last: int | None = None,
) -> dict[str, Tensor]:
    """Mean of models, name by name, in the types of the first.

    Args:
        weights_K: Models with the same names and shapes. Models in files are read one
            name at a time.
        coefficients: One for each model, to be divided by their sum; equal when not
            given.
        last: Average only so many models from the end; not with `coefficients`.

    Returns:
        New weights. Counters are carried from the first model, ties kept; running
        variances are those of the mixture, see `dale.weights.mixture`.

    Raises:
        InputError: No models, or settings out of range.
        WeightsError: Names, shapes or kinds differ.

    Example:
        >>> import torch
        >>> average([{"w": torch.zeros(2)}, {"w": torch.ones(2)}], (1, 3))
        {'w': tensor([0.7500, 0.7500])}
    """
    if coefficients is not None and last is not None:
        raise InputError("an average takes coefficients or last, not both")
    if coefficients is None:
        result = over_names(uniform, weights_K, last=last)
        chosen = weights_K if last is None else weights_K[-last:]
        return mix_variances(result, chosen, [1.0] * len(chosen))
    result = over_names(weighted, weights_K, coefficients=coefficients)
    return mix_variances(result, weights_K, coefficients)


def over_names(
    kernel: Callable[..., Tensor], weights_K: Sequence[Weights], **settings: Any
) -> dict[str, Tensor]:
    """Apply a merging kernel to each name.

    Args:
        kernel: Called as ``kernel(tensors_K, **settings)`` for every floating-point
            tensor; its result is cast to the type of the first model.
        weights_K: Models with the same names and shapes.
        settings: Settings of the kernel.

    Returns:
        New weights. Counters are carried from the first model, ties kept.

    Raises:
        InputError: No models.
        WeightsError: Names, shapes or kinds differ.
    """
    if not weights_K:
        raise InputError("1 or more models are needed, got 0")
    return map_floats(lambda *tensors_K: kernel(tensors_K, **settings), *weights_K)
