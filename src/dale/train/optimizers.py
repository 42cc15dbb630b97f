"""Optimisers that a recipe can name; their rate comes from the schedule."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from dale.errors import RecipeError
from dale.train.newton import Newton

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


def lbfgs(
    parameters: Parameters,
    *,
    history: int = 10,
    iterations: int = 20,
    search: bool = True,
) -> Optimizer:
    """Limited-memory BFGS, a quasi-Newton method, on each batch.

    The curvature B is known from the latest differences of weights ``s`` and gradients
    ``y``: it satisfies the secant condition ``B s = y``. An update makes up to
    `iterations` steps on its batch; take batches that are large, or all examples.

    Args:
        parameters: Of the model.
        history: Differences remembered.
        iterations: Most steps in an update.
        search: Find the length of each step by a search for the strong Wolfe
            conditions, which starts at the learning rate; else it is the rate.

    Raises:
        RecipeError: A setting is out of range.
    """
    for name, value in (("history", history), ("iterations", iterations)):
        if value < 1:
            raise RecipeError(f"{name} must be at least 1, got {value}")
    return _LBFGS(
        parameters,
        lr=0.0,
        max_iter=iterations,
        history_size=history,
        line_search_fn="strong_wolfe" if search else None,
    )


class _LBFGS(torch.optim.LBFGS):
    """PyTorch's, which divides by zero where a search starts at a rate of 0."""

    def step(self, closure: Callable[[], Tensor]) -> Any:  # type: ignore[override]
        return closure() if self.param_groups[0]["lr"] == 0 else super().step(closure)


def newton(
    parameters: Parameters, *, damping: float = 1e-3, weight_decay: float = 0.0
) -> Optimizer:
    """Newton's method with the exact Hessian, for at most 4096 parameters.

    ``w ← w − η V diag(1 / (|κ| + damping)) Vᵀ g`` with the eigenvectors V and the
    curvatures κ of the Hessian of a batch's loss; take batches that are large.
    """
    return Newton(parameters, lr=0.0, damping=damping, weight_decay=weight_decay)


Needs = Literal["gradient", "closure", "graph"]
"""What an optimiser asks of an update: the gradient; a function that evaluates loss and
gradient as often as it likes; or a function that gives the loss with its graph."""


@dataclass(frozen=True)
class OptimizerRow:
    """What is true of an optimiser.

    Args:
        function: Makes it from parameters; its keywords are the recipe's.
        usual_peak: A usual largest learning rate.
        reference: Where it was published.
        needs: What it asks of an update.
        knobs: Settings that may follow a schedule beside the rate.
        scaled: Its updates do not follow the size of the gradient.
    """

    function: Callable[..., Optimizer]
    usual_peak: float
    reference: str
    needs: Needs = "gradient"
    knobs: tuple[str, ...] = ("momentum", "weight_decay")
    scaled: bool = False


_ADAM = ("momentum", "beta2", "weight_decay", "eps")

OPTIMIZERS: Mapping[str, OptimizerRow] = {
    "sgd": OptimizerRow(sgd, 0.1, "Robbins and Monro 1951; Polyak 1964"),
    "adam": OptimizerRow(
        adam,
        1e-3,
        "Kingma and Ba 2015, arXiv 1412.6980",
        knobs=_ADAM,
        scaled=True,
    ),
    "adamw": OptimizerRow(
        adamw,
        1e-3,
        "Loshchilov and Hutter 2019, arXiv 1711.05101",
        knobs=_ADAM,
        scaled=True,
    ),
    "lbfgs": OptimizerRow(
        lbfgs,
        1.0,
        "Liu and Nocedal 1989, Math. Programming 45",
        needs="closure",
        knobs=(),
    ),
    "newton": OptimizerRow(
        newton,
        1.0,
        "Dauphin et al. 2014, arXiv 1406.2572",
        needs="graph",
        knobs=("damping", "weight_decay"),
    ),
}
