"""Optimisers that a recipe can name; their rate comes from the schedule."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch.nn import Parameter
from torch.optim import Optimizer

Parameters = Iterable[Parameter]


def sgd(
    parameters: Parameters,
    *,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    nesterov: bool = True,
) -> Optimizer:
    """Stochastic gradient descent with momentum."""
    return torch.optim.SGD(
        parameters,
        lr=0.0,
        momentum=momentum,
        weight_decay=weight_decay,
        nesterov=nesterov and momentum > 0,
    )


def adam(
    parameters: Parameters,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Adam (Kingma and Ba 2015, arXiv 1412.6980)."""
    return torch.optim.Adam(
        parameters, lr=0.0, betas=betas, eps=eps, weight_decay=weight_decay
    )


def adamw(
    parameters: Parameters,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.01,
) -> Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""
    return torch.optim.AdamW(
        parameters, lr=0.0, betas=betas, eps=eps, weight_decay=weight_decay
    )


@dataclass(frozen=True)
class OptimizerRow:
    """What is true of an optimiser.

    Args:
        function: Makes it from parameters; its keywords are the recipe's.
        usual_peak: A usual largest learning rate.
        reference: Where it was published.
    """

    function: Callable[..., Optimizer]
    usual_peak: float
    reference: str


OPTIMIZERS: Mapping[str, OptimizerRow] = {
    "sgd": OptimizerRow(sgd, 0.1, "Robbins and Monro 1951; Polyak 1964"),
    "adam": OptimizerRow(adam, 1e-3, "Kingma and Ba 2015, arXiv 1412.6980"),
    "adamw": OptimizerRow(adamw, 1e-3, "Loshchilov and Hutter 2019, arXiv 1711.05101"),
}
