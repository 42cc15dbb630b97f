"""What every data source gives: three splits of examples, ready for a network.

Shape suffixes: N examples, C channels, H height, W width, F features.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import torch
from torch import Tensor

from dale.errors import DataError

Augment = Callable[[Tensor, torch.Generator], Tensor]
"""Raw inputs ``(N, C, H, W)`` and a generator to raw inputs of the same shape."""

SPLITS = ("train", "val", "test")
"""Names of the splits, in order."""


class Split(Protocol):
    """Examples that are read by position.

    ``batch(i)`` is a pure function of the positions, and with augmentation of the
    generator's state too; so the same order of positions gives the same inputs.
    """

    @property
    def targets_N(self) -> Tensor:
        """The classes, int64, on the CPU; not to be written to."""
        ...

    def __len__(self) -> int: ...

    def batch(
        self,
        indices: Tensor,
        augment: Augment | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Normalised inputs ``(len(indices), *shape)``, float32.

        Args:
            indices: 1-D int64 positions in ``[0, N)``, in any order, repeats allowed.
            augment: Applied to the raw values before they are normalised.
            generator: The only source of randomness of `augment`; needed with it.
        """
        ...

    def digest(self) -> str:
        """SHA-256, in hexadecimal, of all that decides the inputs and targets."""
        ...

    def subset(self, indices: Tensor) -> "Split":
        """The examples at 1-D int64 positions, normalised as before."""
        ...


@dataclass(frozen=True, eq=False)
class Data:
    """A classification problem.

    Args:
        name: Of the source.
        shape: One input's shape: ``(C, H, W)`` or ``(F,)``.
        classes: Number of classes, at least 2.
        class_names: One for each class, in the order of the targets; all different.
        splits: ``"train"``, ``"val"`` and ``"test"``; read-only.
        white: Raw value of white in images, where 0 is black; None for 255 in bytes,
            and for what is not known. Corruptions are scaled by it.
        unlabelled: Training examples whose classes are not known, beside those of
            ``"train"``; None where there are none. Their targets are never read.

    Example:
        >>> from dale.data import load
        >>> data = load("digits")
        >>> data.shape, data.classes, {k: len(v) for k, v in data.splits.items()}
        ((1, 8, 8), 10, {'train': 1079, 'val': 359, 'test': 359})
    """

    name: str
    shape: tuple[int, ...]
    classes: int
    class_names: tuple[str, ...]
    splits: Mapping[str, Split]
    white: float | None = None
    unlabelled: Split | None = None

    @property
    def examples(self) -> int:
        """Training examples, with a label or without: as many as make an epoch."""
        more = 0 if self.unlabelled is None else len(self.unlabelled)
        return len(self.splits["train"]) + more

    def __post_init__(self) -> None:
        if set(self.splits) != set(SPLITS):
            raise DataError(
                f"{self.name}: splits are {sorted(self.splits)}; expected train, val "
                "and test"
            )
        if self.classes < 2 or len(self.class_names) != self.classes:
            raise DataError(
                f"{self.name}: {self.classes} classes with {len(self.class_names)} "
                "names; expected at least 2 classes and a name for each"
            )
        for name in self.class_names:
            if self.class_names.count(name) > 1:
                raise DataError(
                    f"{self.name}: class_names has {name!r} more than once; expected "
                    "different names"
                )
        ordered = {name: self.splits[name] for name in SPLITS}
        object.__setattr__(self, "splits", MappingProxyType(ordered))
