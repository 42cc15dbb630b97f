"""How the outputs of each layer vary, and which units matter for it.

Shape suffixes: R, rows (examples, positions, patches); C, output units of a layer.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from dale.errors import InputError
from dale.merge.informed.observe import layers_of, walked
from dale.merge.informed.statistics import Statistics
from dale.weights import Weights, digest
from dale.weights.statistics import Batch

_OUTPUTS = (nn.Linear, nn.Conv1d, nn.Conv2d)
_INPUTS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm)


def covariances(
    module: nn.Module,
    weights: Weights,
    batches: Iterable[Batch],
    *,
    data: str | None = None,
) -> Statistics:
    """Covariance of the outputs of every linear and convolutional layer.

    ::

        Σ = (1/R) Σ_r (y_r − ȳ)(y_r − ȳ)ᵀ

    over all rows r: examples, positions of a sequence or of an image. A normalisation
    layer has that of its inputs, which are the outputs of the layer before it, so that
    a unit and its normalisation are judged alike.

    Args:
        module: The network, left exactly as it is. It runs in evaluation mode.
        weights: The weights to be measured.
        batches: Inputs, see `dale.weights.reestimate`, on the network's device.
        data: Words for the data; by default a digest of what was walked over.

    Returns:
        float32 ``[C, C]`` by the name of each layer's weight. Matrices that are not
        used through ``nn.Linear``, ``nn.Conv1d`` or ``nn.Conv2d``, and normalisation
        without weights, have none.

    Raises:
        InputError: No examples.
        WeightsError: The weights do not fit the network.

    Example:
        >>> net = nn.Linear(1, 2, bias=False)
        >>> weights = {"weight": torch.tensor([[1.0], [2.0]])}
        >>> covariances(net, weights, [torch.tensor([[0.0], [2.0]])])["weight"]
        tensor([[1., 2.],
                [2., 4.]])

    References:
        Chan, Golub and LeVeque (1979), Updating formulae and a pairwise algorithm for
        computing sample variances, for adding batches.
    """
    moments: dict[str, _Scatter] = {}

    def after(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def record(layer: nn.Module, arguments: Any, output: Tensor) -> None:
            moments.setdefault(name, _Scatter()).add(_units(layer, output))

        return record

    def before(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def record(layer: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            moments.setdefault(name, _Scatter()).add(_units(layer, arguments[0]))

        return record

    def hooks() -> list[RemovableHandle]:
        made = layers_of(module, _OUTPUTS)
        taken = [(n, x) for n, x in layers_of(module, _INPUTS) if _channels(x)]
        return [
            *(layer.register_forward_hook(after(name)) for name, layer in made),
            *(layer.register_forward_pre_hook(before(name)) for name, layer in taken),
        ]

    seen = walked(module, weights, batches, hooks)
    if not seen.examples:
        raise InputError("covariances need 1 or more examples, got 0")
    found = {name: (m.square / m.count).float() for name, m in moments.items()}
    source = seen.digest() if data is None else data
    return Statistics(
        found, "covariance", "outputs", seen.examples, digest(weights), source
    )


def unit_importance(covariance_CC: Tensor) -> Tensor:
    """How much each output unit takes part in the main ways in which outputs vary.

    ::

        Σ = V Λ Vᵀ        s_c = Σ_i λ_i |v_ci|

    With squares in place of absolute values it would be the unit's own variance; this
    way a unit that varies together with many others counts for more than its variance.

    Args:
        covariance_CC: Symmetric, with eigenvalues of 0 or more but for rounding.

    Returns:
        float64 ``[C]``, 0 or more, in the unit of the covariance.

    Example:
        >>> unit_importance(torch.tensor([[1.0, 0.0], [0.0, 4.0]]))
        tensor([1., 4.], dtype=torch.float64)

    References:
        The importance that CPIS selects by: eigenvectors weighted by eigenvalues. It
        depends on the basis where eigenvalues are equal.
    """
    values, vectors = torch.linalg.eigh(covariance_CC.detach().cpu().double())
    return vectors.abs() @ values.clamp(min=0)


class _Scatter:
    """Count, mean and scatter of rows, merged pairwise."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.square = torch.zeros((), dtype=torch.float64)

    def add(self, rows_RC: Tensor) -> None:
        """Merge the rows of one call."""
        fresh = len(rows_RC)
        if not fresh:
            return
        rows_RC = rows_RC.cpu().double() if rows_RC.device.type == "mps" else rows_RC
        mean = rows_RC.double().mean(0)
        apart = rows_RC.double() - mean
        step, total = mean.cpu() - self.mean, self.count + fresh
        self.square = self.square + (apart.mT @ apart).cpu()
        self.square = self.square + step.outer(step) * (self.count * fresh / total)
        self.mean = self.mean + step * (fresh / total)
        self.count = total


def _channels(layer: nn.Module) -> bool:
    """Whether a normalisation layer has one weight for each unit."""
    return not isinstance(layer, nn.LayerNorm) or len(layer.normalized_shape) == 1


def _units(layer: nn.Module, values: Tensor) -> Tensor:
    """Values as rows of units, ``[R, C]``."""
    if isinstance(layer, nn.Linear | nn.LayerNorm):
        return values.reshape(-1, values.shape[-1])
    if isinstance(layer, nn.Conv1d | nn.Conv2d):
        single = values.ndim == len(layer.kernel_size) + 1
        values = values[None] if single else values
    return values.movedim(1, -1).reshape(-1, values.shape[1])
