"""Slow twins of mixed statistics: the values themselves are put together."""

from collections.abc import Sequence

import torch
from torch import Tensor


def pooled(values_K: Sequence[Tensor], counts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mean and variance, [C], of the values [N, C] of each model, repeated as told."""
    parts = [
        row
        for values, count in zip(values_K, counts, strict=True)
        for _ in range(count)
        for row in values.double()
    ]
    total = sum(parts)
    mean = total / len(parts)
    variance = sum((row - mean) ** 2 for row in parts) / len(parts)
    return mean, torch.as_tensor(variance)
