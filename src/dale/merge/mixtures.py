"""Normalisation statistics of a result: may they be those of a mixture?

The mean of a mixture lies between the means of its parts, and may be 0 where they are
not. Its variance is at least the least of theirs, and above the greatest by as much as
the means lie apart. Shape suffixes: N, parts; D, elements of a sample.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dale.weights.mixture import MEAN, VARIANCE

_ROUNDING = 0.01
"""Of a value; more than types of 16 bits lose."""


@dataclass(frozen=True)
class _Part:
    mine_D: Tensor
    least_D: Tensor
    most_D: Tensor


def statistic(name: str) -> bool:
    """Whether it is a running mean or a running variance, by its name."""
    return name.rpartition(".")[2] in {MEAN, VARIANCE}


class Mixtures:
    """Running means and variances beside those that they may be mixed from.

    ::

        min_k μ_k ≤ μ ≤ max_k μ_k
        min_k σ_k² ≤ σ² ≤ max_k σ_k² + (max_k μ_k − min_k μ_k)² / 4

    whatever the shares.

    Example:
        >>> found = Mixtures()
        >>> one = torch.ones(1)
        >>> found.take("n.running_mean", 0 * one, torch.stack([-6 * one, 6 * one]))
        >>> found.take("n.running_var", 37 * one, torch.stack([one, one]))
        >>> sorted(found.names)
        ['n.running_mean', 'n.running_var']
        >>> found.take("n.running_var", 38 * one, torch.stack([one, one]))
        >>> sorted(found.names)
        ['n.running_mean']

    References:
        Popoviciu (1935), for the greatest variance between given bounds.
    """

    def __init__(self) -> None:
        self._parts: dict[str, _Part] = {}

    def take(self, name: str, mine_D: Tensor, parts_ND: Tensor) -> None:
        """Keep a tensor and what it may be mixed from, if it is such a statistic."""
        if statistic(name):
            least_D, most_D = parts_ND.aminmax(dim=0)
            self._parts[name] = _Part(mine_D, least_D, most_D)

    @property
    def names(self) -> frozenset[str]:
        """Those that are what a mixture's may be."""
        return frozenset(name for name in self._parts if self._may(name))

    def _may(self, name: str) -> bool:
        part, most_D = self._parts[name], self._parts[name].most_D
        if name.rpartition(".")[2] == VARIANCE:
            means = self._parts.get(f"{name.removesuffix(VARIANCE)}{MEAN}")
            if means is None or means.most_D.shape != most_D.shape:
                return False
            most_D = most_D + ((means.most_D - means.least_D) / 2).square()
        slack_D = _ROUNDING * torch.maximum(part.least_D.abs(), most_D.abs())
        above = part.mine_D >= part.least_D - slack_D
        return bool((above & (part.mine_D <= most_D + slack_D)).all())
