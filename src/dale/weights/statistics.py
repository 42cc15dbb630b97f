"""Normalisation statistics, re-estimated for weights that were never trained.

Averaging, interpolating or permuting weights leaves BatchNorm's running mean and
variance wrong for the new network. Shape suffix: K, weight sets.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from dale.errors import InputError
from dale.weights.algebra import copied
from dale.weights.layout import state_of
from dale.weights.match import Weights, check_match, check_ties, ties_of

Batch = Tensor | Sequence[object] | Mapping[str, object]
"""The arguments of one forward call: one tensor, or positional, or by name."""


def has_statistics(module: nn.Module) -> bool:
    """Whether some BatchNorm layer of the network keeps running statistics.

    Example:
        >>> has_statistics(nn.BatchNorm1d(3)), has_statistics(nn.LayerNorm(3))
        (True, False)
    """
    return bool(_layers(module))


@torch.no_grad()
def reestimate(
    module: nn.Module, weights_K: Sequence[Weights], batches: Iterable[Batch]
) -> list[dict[str, Tensor]]:
    """Give each weight set the BatchNorm statistics that its own activations have.

    Every layer gets the mean and the unbiased variance of all values it sees, pooled
    over batches by the number of values::

        n = n_a + n_b        δ = m_b − m_a
        m = m_a + δ n_b / n  S = S_a + S_b + δ² n_a n_b / n  var = S / (n − 1)

    so that batches of unequal length count by their length; PyTorch's ``update_bn``
    gives every batch the same weight. While walking, BatchNorm layers normalise with
    the batch, as in training; everything else is in evaluation mode.

    Args:
        module: The network, left exactly as it is.
        weights_K: Weight sets with the names and shapes of the network.
        batches: Inputs, walked once for all K sets: a tensor, a sequence of positional
            arguments or a mapping of named ones for each batch, on the network's
            device. Training inputs, without labels.

    Returns:
        Copies of the K sets with new running means and variances. Counters are
        carried, as are the statistics of layers that no batch reached. Without
        BatchNorm nothing is walked.

    Raises:
        InputError: No batch, or one that gives a layer a single value per channel.
        WeightsError: Names or shapes do not fit the network.

    Example:
        >>> net = nn.BatchNorm1d(1)
        >>> batches = [torch.zeros(100, 1), torch.full((10, 1), 11.0)]
        >>> new, = reestimate(net, [net.state_dict()], batches)
        >>> new["running_mean"].item(), net.running_mean.item()
        (1.0, 0.0)

    References:
        Chan, Golub and LeVeque (1979), Updating formulae and a pairwise algorithm for
        computing sample variances. Izmailov et al. (2018), arXiv 1803.05407, §3.2, for
        the need.
    """
    state = state_of(module)
    for position, weights in enumerate(weights_K):
        check_match(state, weights, f"weight set {position}")
        check_ties(state, weights, f"weight set {position}")
    copies = [copied(weights) for weights in weights_K]
    layers = _layers(module)
    if not layers or not copies:
        return copies
    moments_K = [{layer: _Moments() for layer in layers} for _ in copies]
    scratch_K = [_scratch(module, state, weights) for weights in copies]
    with _watching(module, layers) as watch:
        walked = 0
        for walked, batch in enumerate(batches, start=1):
            for scratch, moments in zip(scratch_K, moments_K, strict=True):
                watch.moments, watch.batch = moments, walked - 1
                _forward(module, scratch, batch)
    if not walked:
        raise InputError("statistics cannot be re-estimated from 0 batches")
    for weights, moments in zip(copies, moments_K, strict=True):
        _write(weights, layers, moments)
    return copies


class _Moments:
    """Count, mean and summed squared deviation per channel, merged pairwise."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.square = torch.zeros((), dtype=torch.float64)

    def add(self, values: Tensor) -> None:
        """Merge the values of one call, ``[N, C, *]``."""
        axes = [axis for axis in range(values.ndim) if axis != 1]
        wide = values.to(torch.promote_types(values.dtype, torch.float32))
        variance, mean = map(_double, torch.var_mean(wide, dim=axes, correction=0))
        fresh = values.numel() // values.shape[1]
        total = self.count + fresh
        step = mean - self.mean
        self.square = self.square + variance * fresh
        self.square = self.square + step**2 * (self.count * fresh / total)
        self.mean = self.mean + step * (fresh / total)
        self.count = total


def _double(tensor: Tensor) -> Tensor:
    # Apple's device has no float64
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


@dataclass
class _Watch:
    moments: dict[_BatchNorm, _Moments]
    batch: int = 0


def _layers(module: nn.Module) -> dict[_BatchNorm, list[str]]:
    """BatchNorm layers that keep statistics, each with all its names."""
    found: dict[_BatchNorm, list[str]] = {}
    for name, layer in module.named_modules(remove_duplicate=False):
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None:
            found.setdefault(layer, []).append(name)
    return found


def _scratch(
    module: nn.Module, state: Mapping[str, Tensor], weights: Weights
) -> dict[str, Tensor]:
    """What stands in for the network's tensors: buffers are ours to overwrite."""
    tied = ties_of(state)
    own = dict(module.named_buffers(remove_duplicate=False))
    scratch = {name: buffer.clone() for name, buffer in own.items() if name not in tied}
    for name in state.keys() - tied.keys():
        # in the network's own memory format: it decides the order of the sums
        scratch[name] = torch.empty_like(state[name]).copy_(weights[name])
    return scratch


@contextmanager
def _watching(
    module: nn.Module, layers: Mapping[_BatchNorm, list[str]]
) -> Iterator[_Watch]:
    """Batch statistics in BatchNorm alone, its inputs recorded; undone at the end."""
    watch = _Watch({})

    def record(
        layer: _BatchNorm, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]
    ) -> None:
        values = args[0] if args else kwargs["input"]
        if values.ndim > 1 and values.numel() < 2 * values.shape[1]:
            raise InputError(
                f"batch {watch.batch} gives BatchNorm layer {layers[layer][0]!r} fewer "
                f"than 2 values per channel, with input {tuple(values.shape)}; use "
                "larger batches or leave out the short last one"
            )
        watch.moments[layer].add(values)

    modes = {part: part.training for part in module.modules()}
    hooks = [x.register_forward_pre_hook(record, with_kwargs=True) for x in layers]
    try:
        # the attribute, not train() or eval(): networks overload those with effects
        for part in modes:
            part.training = part in layers
        yield watch
    finally:
        for hook in hooks:
            hook.remove()
        for part, mode in modes.items():
            part.training = mode


def _forward(module: nn.Module, tensors: Weights, batch: Batch) -> None:
    values = dict(tensors)
    if isinstance(batch, Tensor):
        functional_call(module, values, (batch,))
    elif isinstance(batch, Mapping):
        functional_call(module, values, (), dict(batch))
    else:
        functional_call(module, values, tuple(batch))


def _write(
    weights: dict[str, Tensor],
    layers: Mapping[_BatchNorm, list[str]],
    moments: Mapping[_BatchNorm, _Moments],
) -> None:
    for layer, names in layers.items():
        seen = moments[layer]
        if not seen.count:
            continue
        new = {"running_mean": seen.mean, "running_var": seen.square / (seen.count - 1)}
        for kind, value in new.items():
            places = [f"{name}.{kind}".removeprefix(".") for name in names]
            tensor = value.to(weights[places[0]])
            weights.update(dict.fromkeys(places, tensor))
