"""Networks whose weights are mixed by numbers that can be learned.

Shape suffixes: K, models; L, layers.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from dale.weights import Weights, linear
from dale.weights.algebra import floats, named, shared_names
from dale.weights.match import is_inexact

By = Literal["model", "layer"]


class Mixture:
    """Weights ``Σ c_lk x_k``, or ``base + Σ c_lk (x_k − base)``, layer by layer.

    Args:
        module: The network.
        values_K: Its tensors in each model, from `stand_ins`.
        by: One set of coefficients for the whole ``"model"``, or for each ``"layer"``.
        start: What every raw number starts at.
        squash: From raw numbers ``[L, K]`` to coefficients.
        base: Tensors of the base, if differences from it are mixed.
    """

    def __init__(
        self,
        module: nn.Module,
        values_K: list[dict[str, Tensor]],
        by: By,
        start: float,
        squash: Callable[[Tensor], Tensor] | None = None,
        base: dict[str, Tensor] | None = None,
    ) -> None:
        first, count = values_K[0], len(values_K)
        place = next(iter(first.values()), torch.zeros(())).device
        self.values_K, self.squash, self.base = values_K, squash, base
        self.trained = {name for name, _ in module.named_parameters()}
        self.layer_of = {
            name: name.rpartition(".")[0] if by == "layer" else "" for name in first
        }
        self.layers = [*dict.fromkeys(self.layer_of.values())]
        raw = torch.full((len(self.layers), count), start)
        self.raw_LK = raw.to(place).requires_grad_()

    def coefficients_LK(self) -> Tensor:
        """The coefficients, which know where they come from."""
        return self.raw_LK if self.squash is None else self.squash(self.raw_LK)

    def mixed(self) -> dict[str, Tensor]:
        """The tensors of the network, which know where they come from."""
        by_layer = dict(zip(self.layers, self.coefficients_LK(), strict=True))
        return {n: self._one(n, by_layer[self.layer_of[n]]) for n in self.values_K[0]}

    def _one(self, name: str, own: Tensor) -> Tensor:
        first = self.values_K[0][name]
        # counters, and masks of −∞
        if not is_inexact(first) or not bool(first.isfinite().all()):
            return first
        # PyTorch has no derivative by running statistics
        own = own if name in self.trained else own.detach()
        tensors = [values[name].detach() for values in self.values_K]
        if self.base is None:
            parts = [tensor * own[k] for k, tensor in enumerate(tensors)]
            return torch.stack(parts).sum(0).to(first.dtype)
        origin = self.base[name].detach()
        parts = [(tensor - origin) * own[k] for k, tensor in enumerate(tensors)]
        return (origin + torch.stack(parts).sum(0)).to(first.dtype)

    def final(self) -> dict[str, tuple[float, ...]]:
        """The coefficients as numbers, by the name of the layer."""
        rows = self.coefficients_LK().detach().cpu().double().tolist()
        return {name: tuple(row) for name, row in zip(self.layers, rows, strict=True)}


def update(
    optimizer: torch.optim.Optimizer, learned: Sequence[Tensor], value: Tensor
) -> None:
    """One step down; the network's own gradients stay as they are."""
    gradients = torch.autograd.grad(value, learned)
    for leaf, gradient in zip(learned, gradients, strict=True):
        leaf.grad = gradient
    optimizer.step()


def mixed_by(
    weights_K: Sequence[Weights],
    shares: dict[str, tuple[float, ...]],
    *,
    normalize: bool = False,
) -> dict[str, Tensor]:
    """Weighted sums with shares for every name, or the first name of tied ones.

    Args:
        weights_K: Models with the same names and shapes, read name by name.
        shares: K numbers for each name.
        normalize: Divide them by their sum.

    Returns:
        New weights in the types of the first model; counters carried, ties kept.

    Example:
        >>> pair = [{"w": torch.tensor(0.0)}, {"w": torch.tensor(4.0)}]
        >>> mixed_by(pair, {"w": (0.75, 0.25)})
        {'w': tensor(1.)}
    """
    result: dict[str, Tensor] = {}
    for names in shared_names(weights_K):
        own = next(shares[name] for name in names if name in shares)

        def run(*tensors_K: Tensor, own: tuple[float, ...] = own) -> Tensor:
            return linear(tensors_K, own, normalize)

        tensors_K = [weights[names[0]] for weights in weights_K]
        value = named(names[0], lambda *x, run=run: floats(run, *x), tensors_K)
        result |= dict.fromkeys(names, value)
    return {name: result[name] for name in weights_K[0]}
