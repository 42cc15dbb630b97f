"""Slow twins of merging: every average is computed again from all its members."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Weights = dict[str, Tensor]


def average(weights_K: Sequence[Weights], coefficients: Sequence[float]) -> Weights:
    """Σ c w / Σ c in float64, counters of the first."""
    result = {}
    for name, first in weights_K[0].items():
        if not first.is_floating_point():
            result[name] = first.clone()
            continue
        value = torch.zeros(first.shape, dtype=torch.float64)
        for weights, coefficient in zip(weights_K, coefficients, strict=True):
            value += coefficient * weights[name].double()
        result[name] = (value / sum(coefficients)).to(first.dtype)
    return result


def greedy_soup(
    candidates: Sequence[tuple[str, Weights]],
    score: Callable[[Weights], float],
    strict: bool,
) -> tuple[list[str], Weights]:
    """Recipe 1 of Wortsman et al. (2022), with all models in memory."""
    numbers = [pair for pair in candidates if not math.isnan(score(pair[1]))]
    ranked = sorted(numbers, key=lambda pair: -score(pair[1]))
    kept = [ranked[0]]
    for pair in ranked[1:]:
        before = average([w for _, w in kept], [1.0] * len(kept))
        after = average([w for _, w in [*kept, pair]], [1.0] * (len(kept) + 1))
        gain = score(after) - score(before)
        if gain > 0 or (gain == 0 and not strict):
            kept.append(pair)
    weights = average([w for _, w in kept], [1.0] * len(kept))
    return [label for label, _ in kept], weights
