"""How an epoch is cut into batches, and in which order."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dale.keys import key


@dataclass(frozen=True)
class Batches:
    """How a split is cut into batches: nearly equal ones, so that none is tiny.

    Args:
        examples: Size of the split.
        size: Largest batch.
    """

    examples: int
    size: int

    @property
    def per_epoch(self) -> int:
        """Batches in one pass: the examples over the size, rounded up."""
        return -(-self.examples // self.size)

    def order(self, seed: int, epoch: int) -> Tensor:
        """The order of the examples in one epoch."""
        generator = torch.Generator().manual_seed(key(seed, "order", epoch))
        return torch.randperm(self.examples, generator=generator)

    def bounds(self, index: int) -> tuple[int, int]:
        """Where one batch of an epoch begins and ends in the order."""
        per = self.per_epoch
        return self.examples * index // per, self.examples * (index + 1) // per
