"""A Gaussian over weights: mean, diagonal and a few deviations.

Shapes: K, deviations kept.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor

from dale.errors import InputError
from dale.keys import key


@dataclass
class Gaussian:
    """``N(m, scale · (diag(S/n) + D Dᵀ/(K − 1)))`` over the weights of a network.

    Args:
        count: Models counted, n.
        mean: m, float32 or wider, each tied tensor once.
        square: S, summed squared deviations from the mean.
        deviations: The K columns of D; empty for a diagonal Gaussian.
        carried: What is not drawn: counters, masks with infinities.
        dtypes: Element type of each name in a network.
        ties: Tied names and the first name of their group.

    Example:
        >>> one, none = {"w": torch.tensor([1.0])}, {"w": torch.zeros(1)}
        >>> Gaussian(2, one, none, dtypes={"w": "float32"}).sample(seed=0, index=1)
        {'w': tensor([1.])}
    """

    count: int = 0
    mean: dict[str, Tensor] = field(default_factory=dict)
    square: dict[str, Tensor] = field(default_factory=dict)
    deviations: list[dict[str, Tensor]] = field(default_factory=list)
    carried: dict[str, Tensor] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)
    ties: dict[str, str] = field(default_factory=dict)

    @torch.no_grad()
    def sample(
        self, seed: int, index: int, scale: float | None = None
    ) -> dict[str, Tensor]:
        """One draw; the same for the same seed and index, whatever was drawn before.

        ::

            w = m + √scale · (√(S/n) z₁ + D z₂ / √(K − 1))

        Args:
            seed: Of the draws.
            index: Number of the draw.
            scale: Of the variance; 1/2 with deviations and 1 without, unless given.

        Returns:
            Weights of a network, in its types. The statistics of its normalisation
            layers must be re-estimated: see `dale.weights.reestimate`.

        Raises:
            InputError: Fewer than two models were counted.

        Reference:
            Maddox et al. 2019, arXiv 1902.02476. The covariance is never formed.
        """
        if self.count < 2:
            raise InputError(f"a Gaussian over {self.count} models has no variance")
        if scale is None:
            scale = 0.5 if self.deviations else 1.0
        generator = torch.Generator().manual_seed(key(seed, "swag", index))
        columns = len(self.deviations)
        z_K = torch.randn(columns, generator=generator, dtype=torch.float64)
        z_K = (z_K * math.sqrt(scale / max(columns - 1, 1))).tolist()
        drawn = {n: self._noisy(n, generator, scale) for n in self.mean}
        tensors = list(drawn.values())
        for z, column in zip(z_K, self.deviations, strict=True):
            torch._foreach_add_(tensors, [column[n] for n in drawn], alpha=z)
        for name, tensor in self.carried.items():
            drawn[name] = tensor.clone()
        cast = {n: t.to(getattr(torch, self.dtypes[n])) for n, t in drawn.items()}
        return {name: cast[self.ties.get(name, name)] for name in self.dtypes}

    def _noisy(self, name: str, generator: torch.Generator, scale: float) -> Tensor:
        mean, square = self.mean[name], self.square[name]
        noise = torch.randn(mean.shape, generator=generator, dtype=torch.float32)
        deviation = (square * (scale / self.count)).sqrt()
        return mean + deviation * noise.to(mean)

    def state(self) -> dict[str, Any]:
        """A copy of everything, to be saved and given to `from_state`."""
        return {
            "count": self.count,
            "mean": _copied(self.mean),
            "square": _copied(self.square),
            "deviations": [_copied(column) for column in self.deviations],
            "carried": _copied(self.carried),
            "dtypes": dict(self.dtypes),
            "ties": dict(self.ties),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The Gaussian that `state` described."""
        return cls(
            count=state["count"],
            mean=_copied(state["mean"]),
            square=_copied(state["square"]),
            deviations=[_copied(column) for column in state["deviations"]],
            carried=_copied(state["carried"]),
            dtypes=dict(state["dtypes"]),
            ties=dict(state["ties"]),
        )


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}
