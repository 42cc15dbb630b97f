"""A split as it would look after a drift: every example corrupted, the same each time.

Shape suffix: N examples.
"""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import torch
from torch import Tensor

from dale.data.corrupt import corruption
from dale.data.data import Augment, Data, Split
from dale.errors import DataError, nearest
from dale.keys import key

_BLOCK = 256  # examples that share a generator


@dataclass(frozen=True, eq=False)
class Corrupted:
    """A `dale.data.Split` whose raw inputs are corrupted.

    The examples are taken in fixed blocks, each with a generator keyed by seed,
    corruption, severity and block: what an example looks like does not depend on who
    asks for it, nor in which order or batch.

    Args:
        split: The examples as they are.
        name: A key of `CORRUPTIONS`.
        severity: From 1 to 5.
        seed: Of what is drawn at random.
        white: Raw value of white; None for 255, in bytes.
        rows_N: Which of them, and in which order; all if None.

    Raises:
        DataError: The corruption or the severity is unknown.
    """

    split: Split
    name: str
    severity: int
    seed: int = 0
    white: float | None = None
    rows_N: Tensor | None = None

    def __post_init__(self) -> None:
        corruption(self.name, self.severity, self.white)

    @property
    def targets_N(self) -> Tensor:
        """The classes, which a corruption leaves as they are."""
        targets_N = self.split.targets_N
        return targets_N if self.rows_N is None else targets_N[self.rows_N]

    def __len__(self) -> int:
        return len(self.split) if self.rows_N is None else len(self.rows_N)

    def batch(
        self,
        indices: Tensor,
        augment: Augment | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Normalised, corrupted inputs; see `dale.data.Split`.

        Raises:
            DataError: `indices` is not a 1-D int64 tensor, an example cannot be read
                or corrupted, or an augmentation was asked for.
        """
        if augment is not None:
            raise DataError("corrupted examples are not augmented; leave augment out")
        if indices.ndim != 1 or indices.dtype != torch.int64:
            raise DataError(
                f"indices have shape {tuple(indices.shape)} and type {indices.dtype}; "
                "expected a 1-D tensor of torch.int64"
            )
        if not len(indices):
            return self.split.batch(indices)
        rows = indices if self.rows_N is None else self.rows_N[indices]
        found: Tensor | None = None
        for block in (rows // _BLOCK).unique().tolist():
            inside = (rows // _BLOCK == block).nonzero()[:, 0]
            made = self._block(block)
            if found is None:
                found = made.new_empty(len(rows), *made.shape[1:])
            found[inside] = made[rows[inside] - block * _BLOCK]
        assert found is not None
        return found

    def subset(self, indices: Tensor) -> "Corrupted":
        """The examples at `indices`, corrupted as before."""
        rows_N = indices if self.rows_N is None else self.rows_N[indices]
        split, name, severity = self.split, self.name, self.severity
        return Corrupted(split, name, severity, self.seed, self.white, rows_N)

    def digest(self) -> str:
        """SHA-256 of the clean examples and of everything that corrupts them; kept."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        digest = sha256(b"dale corrupted split 1\n")
        parts = (self.name, self.severity, self.seed, self.white, _BLOCK)
        digest.update(f"{self.split.digest()} {parts}\n".encode())
        if self.rows_N is not None:
            digest.update(self.rows_N.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def _block(self, block: int) -> Tensor:
        start = block * _BLOCK
        rows = torch.arange(start, min(start + _BLOCK, len(self.split)))
        seed = key(self.seed, "corrupt", self.name, self.severity, block)
        generator = torch.Generator().manual_seed(seed)
        apply = corruption(self.name, self.severity, self.white)
        return self.split.batch(rows, apply, generator)


def corrupted(
    data: Data, name: str, severity: int, *, split: str = "test", seed: int = 0
) -> Corrupted:
    """A split of a data set after a drift.

    Args:
        data: Images.
        name: A key of `CORRUPTIONS`.
        severity: From 1 to 5.
        split: Which split.
        seed: Of what is drawn at random.

    Returns:
        A `dale.data.Split` of the same examples and targets.

    Raises:
        DataError: Unknown corruption, severity or split; or the inputs are no images.

    Example:
        >>> from dale.data import load
        >>> data = load("digits")
        >>> blurred = corrupted(data, "blur", 3)
        >>> len(blurred), blurred.batch(torch.tensor([7, 2])).shape
        (359, torch.Size([2, 1, 8, 8]))
    """
    if split not in data.splits:
        raise DataError(f"unknown split {split!r}; {nearest(split, data.splits)}")
    if len(data.shape) != 3:
        raise DataError(
            f"{data.name} has inputs of shape {data.shape}; corruptions need images "
            "(channels, height, width)"
        )
    return Corrupted(data.splits[split], name, severity, seed, data.white)
