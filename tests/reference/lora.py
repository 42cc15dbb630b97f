"""Slow twin of low-rank adapters: the layer is run on unit vectors, in float64."""

import torch
from torch import Tensor
from torch.nn import functional as F


def linear(weight: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
    """Columns of the adapted layer: what it makes of each unit vector, [out, in]."""
    columns = []
    for i in range(weight.shape[1]):
        unit = torch.zeros(weight.shape[1], dtype=torch.float64)
        unit[i] = 1.0
        low = [sum(a * u for a, u in zip(row, unit, strict=True)) for row in down]
        high = [sum(b * v for b, v in zip(row, low, strict=True)) for row in up]
        column = weight.double() @ unit
        columns.append(column + scale * torch.stack(high).double())
    return torch.stack(columns, dim=1)


def filters(weight: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
    """Responses of two convolutions in a row to a unit impulse, [out, in, k, k]."""
    found = weight.double().clone()
    size = weight.shape[-1]
    for i in range(weight.shape[1]):
        pulse = torch.zeros(1, weight.shape[1], 2 * size - 1, 2 * size - 1).double()
        pulse[0, i, size - 1, size - 1] = 1.0
        answer = F.conv2d(F.conv2d(pulse, down.double()), up.double())[0]
        # a convolution answers an impulse with its filter turned around
        found[:, i] += scale * answer.flip(-1, -2)
    return found


def dora(adapted: Tensor, magnitude: Tensor) -> Tensor:
    """Every output's weights at the length that is given for it."""
    rows = []
    for row, length in zip(adapted, magnitude.flatten(), strict=True):
        size = torch.sqrt(sum(x * x for x in row.flatten()))
        rows.append(row / size * length)
    return torch.stack(rows)
