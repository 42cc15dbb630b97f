"""RegMean: linear layers merged so that their outputs change least.

Shape suffixes: K, models; G, groups of channels; D, inputs of one output unit.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from dale.errors import InputError, WeightsError
from dale.merge.informed.observe import layers_of, walked
from dale.merge.informed.statistics import Statistics, combined
from dale.weights import Weights, digest, linear, wide
from dale.weights.statistics import Batch


def grams(
    module: nn.Module,
    weights: Weights,
    batches: Iterable[Batch],
    *,
    data: str | None = None,
) -> Statistics:
    """Mean outer product of the inputs of every linear and convolutional layer.

    ::

        G = (1/R) Σ_r x_r x_rᵀ

    over all rows r that a layer multiplies by its matrix: examples, positions of a
    sequence, patches of an image. Convolutions in groups have one G for each.

    Args:
        module: The network, left exactly as it is. It runs in evaluation mode.
        weights: The weights to be measured.
        batches: Inputs, see `dale.weights.reestimate`, on the network's device.
        data: Words for the data; by default a digest of what was walked over.

    Returns:
        float32 ``[G, D, D]`` by the name of each layer's weight. Matrices that are not
        used through ``nn.Linear``, ``nn.Conv1d`` or ``nn.Conv2d`` have none.

    Raises:
        InputError: No examples.
        WeightsError: The weights do not fit the network.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> inputs = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
        >>> grams(net, net.state_dict(), [inputs])["weight"]
        tensor([[[5., 1.],
                 [1., 2.]]])

    References:
        Jin et al. (2023), Dataless knowledge fusion by merging weights of language
        models, arXiv 2212.09849. They sum over rows; here it is the mean, so that a
        model does not count more for having been measured on more data.
    """
    sums: dict[str, Tensor] = {}
    rows: dict[str, int] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def record(layer: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            inputs_GRD = _rows(layer, arguments[0]).float()
            product = (inputs_GRD.mT @ inputs_GRD).cpu().double()
            sums[name] = sums[name] + product if name in sums else product
            rows[name] = rows.get(name, 0) + inputs_GRD.shape[1]

        return record

    def hooks() -> list[RemovableHandle]:
        found = layers_of(module, (nn.Linear, nn.Conv1d, nn.Conv2d))
        return [layer.register_forward_pre_hook(watch(n)) for n, layer in found]

    seen = walked(module, weights, batches, hooks)
    if not seen.examples:
        raise InputError("Gram matrices need 1 or more examples, got 0")
    means = {name: (total / rows[name]).float() for name, total in sums.items()}
    source = seen.digest() if data is None else data
    return Statistics(means, "gram", "mean", seen.examples, digest(weights), source)


def _rows(layer: nn.Module, inputs: Tensor) -> Tensor:
    """What the layer's matrix is multiplied by, ``[G, R, D]``."""
    if isinstance(layer, nn.Linear):
        return inputs.reshape(1, -1, inputs.shape[-1])
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    if inputs.ndim == len(layer.kernel_size) + 1:
        inputs = inputs[None]
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded = functional.pad(inputs, layer._reversed_padding_repeated_twice, mode=mode)
    size, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    if isinstance(layer, nn.Conv1d):
        padded = padded[:, :, None]
        size, stride, dilation = (1, *size), (1, *stride), (1, *dilation)
    patches = functional.unfold(padded, size, dilation, 0, stride)
    count, width, _ = patches.shape
    split = patches.view(count, layer.groups, width // layer.groups, -1)
    return split.permute(1, 0, 3, 2).flatten(1, 2)


def regmean(
    weights_K: Sequence[Weights],
    grams_K: Sequence[Weights],
    coefficients: Sequence[float] | None = None,
    *,
    alpha: float = 0.9,
) -> dict[str, Tensor]:
    """Merge linear layers so that outputs on each model's inputs change least.

    ::

        W = (Σ λ_k G̃_k)⁻¹ Σ λ_k G̃_k W_k        G̃ = α G + (1 − α) diag G

    solves ``min_W Σ λ_k E‖x_kᵀ W − x_kᵀ W_k‖²`` for α = 1, where x_k are the inputs of
    the layer in model k and W_k has a column for each output.

    Args:
        weights_K: Models with the same names and shapes, read name by name.
        grams_K: Of each model, from `grams` or `load_statistics`. Tensors without
            one, such as biases, are averaged.
        coefficients: Shares λ of the models, 0 or more; equal when not given.
        alpha: How much of what is off the diagonal counts, in ``[0, 1]``.

    Returns:
        New weights in the types of the first model. Counters are carried, ties kept.
        Equal models give that model. Inputs that were always 0 keep the mean.

    Raises:
        InputError: Numbers that do not fit, or out of range.
        WeightsError: Names or shapes differ, or statistics of another model or kind.

    Example:
        >>> models = [{"w": torch.zeros(1, 2)}, {"w": torch.full((1, 2), 4.0)}]
        >>> one = torch.tensor([[[3.0, 0.0], [0.0, 0.0]]])
        >>> regmean(models, [{"w": one}, {"w": one / 3}])
        {'w': tensor([[1., 2.]])}

    References:
        Jin et al. (2023), arXiv 2212.09849; their α is 0.9. They leave what has no
        Gram matrix to the mean, as here; convolutions are an addition.
    """
    check_alpha(alpha)
    return combined(
        partial(closest, alpha=alpha), weights_K, grams_K, coefficients, "gram"
    )


def check_alpha(alpha: float) -> None:
    """Refuse a share of what is off the diagonal that is none.

    Raises:
        InputError: It is not in ``[0, 1]``.
    """
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha must be in [0, 1], got {alpha}")


def closest(
    tensors_K: Sequence[Tensor],
    grams_K: Sequence[Tensor],
    shares_K: Sequence[float],
    *,
    alpha: float,
) -> Tensor:
    """The matrix whose outputs are nearest to those of K matrices; see `regmean`.

    Raises:
        WeightsError: Something is not finite, or models have other groups.
    """
    groups, width = grams_K[0].shape[:2]
    if any(gram.shape[0] != groups for gram in grams_K):
        counts = [gram.shape[0] for gram in grams_K]
        raise WeightsError(f"Gram matrices in {counts} groups, expected one number")
    middle = wide(linear(tensors_K, shares_K, normalize=True))
    if not middle.numel():
        return middle
    left = torch.zeros(groups, width, width, dtype=torch.float64)
    right = torch.zeros(
        groups, width, tensors_K[0].numel() // (groups * width), dtype=torch.float64
    )
    for tensor, gram, share in zip(tensors_K, grams_K, shares_K, strict=True):
        shrunk = share * _shrunk(gram.cpu().double(), alpha)
        apart = (wide(tensor) - middle).cpu().double()
        left += shrunk
        right += shrunk @ apart.reshape(groups, -1, width).mT
    if not bool(left.isfinite().all() & right.isfinite().all()):
        raise WeightsError("weights or Gram matrices have numbers that are not finite")
    step = _solved(left, right, alpha < 1).mT.reshape(middle.shape)
    return middle + step.to(middle)


def _shrunk(gram: Tensor, alpha: float) -> Tensor:
    kept = alpha * gram
    kept.diagonal(dim1=1, dim2=2).copy_(gram.diagonal(dim1=1, dim2=2))
    return kept


def _solved(left: Tensor, right: Tensor, definite: bool) -> Tensor:
    """The least solution of ``left @ x = right``, scaled to a unit diagonal first."""
    spread = left.diagonal(dim1=1, dim2=2).sqrt()
    inverse = torch.where(spread > 0, 1 / spread, 0.0)[:, :, None]
    even, side = inverse * left * inverse.mT, inverse * right
    if definite:
        # rows of inputs that were never on are empty: their unknowns are 0
        even.diagonal(dim1=1, dim2=2).copy_(torch.ones_like(spread))
        factor, failed = torch.linalg.cholesky_ex(even)
        if not bool(failed.any()):
            return inverse * torch.cholesky_solve(side, factor)
    return inverse * (torch.linalg.pinv(even, hermitian=True) @ side)
