"""Training examples with and without labels, as one split.

Shape suffixes: N examples, M of them with a label.
"""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import torch
from torch import Tensor

from dale.data.data import Augment, Data, Split

UNKNOWN = -1
"""The target of an example whose class is not known."""


@dataclass(frozen=True, eq=False)
class Joined:
    """A `dale.data.Split` of labelled examples, then of unlabelled ones.

    Positions ``[0, M)`` are the labelled examples and ``[M, N)`` the others, whose
    targets are -1 here, whatever they may be in `unlabelled`.

    Args:
        labelled: Examples with a class.
        unlabelled: Inputs of the same shape.

    Example:
        >>> from dale.data import from_arrays
        >>> x, y = torch.arange(8.0).reshape(8, 1), torch.arange(8) % 2
        >>> data = from_arrays({"train": (x, y)}, val=2, test=2, labelled=2)
        >>> joined = Joined(data.splits["train"], data.unlabelled)
        >>> joined.targets_N.tolist(), joined.labelled_count
        ([0, 1, -1, -1], 2)
    """

    labelled: Split
    unlabelled: Split

    @property
    def labelled_count(self) -> int:
        """How many examples have a label: M."""
        return len(self.labelled)

    @cached_property
    def targets_N(self) -> Tensor:
        """The classes, and -1 for each example without one."""
        unknown_N = torch.full((len(self.unlabelled),), UNKNOWN)
        return torch.cat([self.labelled.targets_N, unknown_N])

    def __len__(self) -> int:
        return len(self.labelled) + len(self.unlabelled)

    def batch(
        self,
        indices: Tensor,
        augment: Augment | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Normalised inputs; the labelled ones are augmented first."""
        first_N = indices < len(self.labelled)
        one = self.labelled.batch(indices[first_N], augment, generator)
        rest = indices[~first_N] - len(self.labelled)
        other = self.unlabelled.batch(rest, augment, generator)
        found = one.new_empty(len(indices), *one.shape[1:])
        found[first_N] = one
        found[~first_N] = other
        return found

    def subset(self, indices: Tensor) -> "Joined":
        """The examples at `indices`, the labelled ones first."""
        first_N = indices < len(self.labelled)
        return Joined(
            self.labelled.subset(indices[first_N]),
            self.unlabelled.subset(indices[~first_N] - len(self.labelled)),
        )

    def digest(self) -> str:
        """SHA-256 of both parts."""
        digest = sha256(b"dale joined split 1\n")
        digest.update(f"{self.labelled.digest()} {self.unlabelled.digest()}\n".encode())
        return digest.hexdigest()


def training_split(data: Data, unlabelled: bool = False) -> Split:
    """What a network is trained on.

    Args:
        data: The data set.
        unlabelled: Whether it can learn from examples without a label.

    Returns:
        The training split, joined with the unlabelled examples where that is asked
        for and there are any.
    """
    if not unlabelled or data.unlabelled is None:
        return data.splits["train"]
    return Joined(data.splits["train"], data.unlabelled)
