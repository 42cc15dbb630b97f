"""Settings with which every row of the merging table is tried."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dale.merge import METHODS

W = (0.2, 0.5, 0.3)
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "uniform": [{}, {"last": 1}, {"last": 2}],
    "weighted": [
        {"coefficients": (0.2, 0.5, 0.3)},
        {"coefficients": (1.0, 0.0, 0.0)},
        {"coefficients": (0.0, 0.0, 1.0)},
        {"coefficients": (3.0, 1.0, -0.5)},
    ],
    "linear": [{}, {"weight": W}, {"weight": (3.0, 1.0, -0.5), "normalize": False}],
    "greedy_soup": [{"score": lambda weights: -length(weights)}],
    "random_subsets": [
        {"score": lambda weights: -length(weights)},
        {"score": lambda weights: length(weights), "size": 1, "shuffle": 3},
    ],
    "subspace": [{}, {"rank": 1}, {"rank": 9}, {"variance": 0.4}],
    "importance": [
        {},
        {"importance": W, "alpha": 0.5, "rounds": 3},
        {"importance": (0.0, 0.0, 2.0), "alpha": 1.0},
    ],
    "contribution": [{}, {"scores": W, "temperature": 0.1}, {"scores": (900, 0, 1)}],
    "contribution_literal": [{}, {"temperature": 0.1}],
    "wise_ft": [{}, {"alpha": 0.0}, {"alpha": 1.0}],
    "expo": [{}, {"extrapolation": -0.5}],
    "passthrough": [{}, {"scale": -0.5}],
    "task_arithmetic": [
        {},
        {"weight": W, "lambda_": 0.3},
        {"weight": (2.0, -1.0, 0.5), "normalize": True},
    ],
    "ties": [
        {},
        {"density": 0.4, "weight": W},
        {"density": (0.0, 0.2, 0.9), "lambda_": 1.5, "normalize": False},
        {"weight": (1.0, -0.5, 0.25), "density": 0.7},
        {"density": 0.3, "rescale": "l1"},
    ],
    "ties_global": [{}, {"density": (0.1, 0.5, 1.0), "weight": W, "lambda_": 0.4}],
    "dare_linear": [
        {},
        {"density": 0.4, "weight": W},
        {"density": 0.7, "rescale": "inverse", "lambda_": 0.5},
        {"density": (0.0, 0.5, 1.0), "rescale": "none", "normalize": True},
    ],
    "dare_ties": [{}, {"density": 0.5, "weight": W}, {"density": 0.3, "lambda_": 2.0}],
    "breadcrumbs": [
        {},
        {"density": 0.5, "gamma": 0.2, "weight": W},
        {"density": 0.9, "gamma": 0.3, "rescale": "l1"},
    ],
    "breadcrumbs_ties": [{}, {"density": 0.5, "gamma": 0.2, "normalize": True}],
    "della": [
        {},
        {"density": 0.5, "epsilon": 0.4, "weight": W},
        {"density": 0.6, "rescale": "inverse", "normalize": False},
        {"density": 0.5, "epsilon": 0.5, "rescale": "inverse"},
    ],
    "della_linear": [
        {},
        {"density": 0.5, "epsilon": 0.2, "weight": W},
        {"density": (0.0, 0.5, 1.0), "rescale": "none", "normalize": True},
    ],
    "sce": [{}, {"select_topk": 0.3}, {"select_topk": 0.0}],
    "ram": [{}, {"epsilon": 0.4}],
    "ramplus_tl": [{}, {"epsilon": 0.4, "r": 0.7, "alpha": 0.5}],
    "model_stock": [{}, {"filter_wise": True}],
    "nearswap": [{"t": 0.2}, {"t": 0.0}],
    "arcee_fusion": [{}],
    "slerp": [{"t": 0.25}, {"t": 0.0}, {"t": 1.0}, {"t": 1.2}],
    "nuslerp": [
        {},
        {"weight": (0.2, 0.7)},
        {"nuslerp_flatten": False},
        {"nuslerp_flatten": False, "nuslerp_row_wise": True, "weight": (0.2, 0.7)},
    ],
    "multislerp": [{}, {"weight": W}, {"weight": W, "normalize_weights": False}],
    "karcher": [{}, {"max_iter": 1}],
}
"""At least one combination for each method, all for as many models as `count` says."""

ROWS = [(name, settings) for name, several in SETTINGS.items() for settings in several]
IDS = [f"{name}-{i}" for name, several in SETTINGS.items() for i in range(len(several))]


def count(method: str) -> int:
    """Three models, or as many as the method can take."""
    return min(3, METHODS[method].models[1] or 3)


def ancestor(method: str, base: dict[str, Tensor]) -> dict[str, Any]:
    """The argument for the base, where there may be one."""
    return {} if METHODS[method].base == "none" else {"base": base}


def length(weights: dict[str, Tensor]) -> float:
    """Sum of squares of the floating-point tensors."""
    floats: Sequence[Tensor] = [t for t in weights.values() if t.is_floating_point()]
    return sum(float(tensor.double().square().sum()) for tensor in floats)


def shaken(base: dict[str, Tensor], seed: int, size: float = 0.5) -> dict[str, Tensor]:
    """The model after a random step of a relative size, tied names still tied."""
    generator = torch.Generator().manual_seed(seed)
    done: dict[int, Tensor] = {}
    for tensor in base.values():
        if id(tensor) not in done:
            done[id(tensor)] = _shaken(tensor, generator, size)
    return {name: done[id(tensor)] for name, tensor in base.items()}


def _shaken(tensor: Tensor, generator: torch.Generator, size: float) -> Tensor:
    if not tensor.is_floating_point() and not tensor.is_complex():
        return tensor.clone()
    if tensor.isinf().any():
        return tensor.clone()
    step = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    return (tensor + size * step).to(tensor.dtype)
