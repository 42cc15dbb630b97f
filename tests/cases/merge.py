"""Settings with which every row of the merging table is tried."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "uniform": [{}, {"last": 1}, {"last": 2}],
    "weighted": [
        {"coefficients": (0.2, 0.5, 0.3)},
        {"coefficients": (1.0, 0.0, 0.0)},
        {"coefficients": (0.0, 0.0, 1.0)},
        {"coefficients": (3.0, 1.0, -0.5)},
    ],
    "greedy_soup": [{"score": lambda weights: -length(weights)}],
}
"""At least one combination for each method, all for three models."""


def length(weights: dict[str, Tensor]) -> float:
    """Sum of squares of the floating-point tensors."""
    floats: Sequence[Tensor] = [t for t in weights.values() if t.is_floating_point()]
    return sum(float(tensor.double().square().sum()) for tensor in floats)
