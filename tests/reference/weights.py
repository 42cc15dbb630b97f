"""Slow twins of the arithmetic and the statistics of weights, in NumPy and float64."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn


def mean(tensors: Sequence[Tensor], coefficients: Sequence[float]) -> Tensor:
    """Σ c x / Σ c, element by element."""
    flat = [tensor.double().reshape(-1).tolist() for tensor in tensors]
    total = sum(coefficients)
    values = []
    for position in range(len(flat[0])):
        value = 0.0
        for member, coefficient in zip(flat, coefficients, strict=True):
            value += coefficient / total * member[position]
        values.append(value)
    return torch.tensor(values, dtype=torch.float64).reshape(tensors[0].shape)


def pooled(inputs: Sequence[Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and unbiased variance per channel of all values, put into one array."""
    rows = []
    for values in inputs:
        array = np.moveaxis(values.detach().double().numpy(), 1, -1)
        rows.append(array.reshape(-1, array.shape[-1]))
    everything = np.concatenate(rows)
    return everything.mean(axis=0), everything.var(axis=0, ddof=1)


def normalisation(
    module: nn.Module,
    layers: Sequence[nn.Module],
    batches: Sequence[Tensor],
    prepare: Callable[[nn.Module], object],
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pooled statistics of what each layer sees, its inputs all kept in memory."""
    module.eval()
    prepare(module)
    seen: dict[nn.Module, list[Tensor]] = {layer: [] for layer in layers}
    hooks = []
    for layer in layers:
        layer.train()
        keep = seen[layer].append
        hooks.append(
            layer.register_forward_pre_hook(lambda _, x, keep=keep: keep(x[0]))
        )
    with torch.no_grad():
        for batch in batches:
            module(batch)
    for hook in hooks:
        hook.remove()
    return [pooled(seen[layer]) for layer in layers]
