"""The one kind of split: rows of a reader, their targets, and how inputs are scaled.

Where the raw values come from is the reader's business (`dale.data.readers`); what is
done with them is the same for all.

Shape suffixes: N examples, C channels or features.
"""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from dale.data.data import Augment
from dale.data.readers import Reader
from dale.errors import DataError

_CHUNK = 1024
_MEASURED = 4096


@dataclass(frozen=True, eq=False)
class Scaling:
    """Normalisation ``(x − mean) / deviation`` per channel, measured when first used.

    Mean and standard deviation are those of the given rows, in float64, and the same
    on every machine for uint8 values. Readers that decode (``lazy``) are measured on
    at most 4096 rows, evenly spaced. A channel without spread is only centred.

    Args:
        reader: Where the raw values come from.
        rows_N: Rows to measure: the training split's.

    Example:
        >>> from dale.data.readers import ArrayReader
        >>> reader = ArrayReader(torch.tensor([[0.0, 3.0], [2.0, 3.0]]))
        >>> scale, shift = Scaling(reader, torch.arange(2)).affine
        >>> scale.tolist(), shift.tolist()
        ([1.0, 1.0], [-1.0, -3.0])
    """

    reader: Reader
    rows_N: Tensor

    @cached_property
    def affine(self) -> tuple[Tensor, Tensor]:
        """Float32 factor and summand, shaped to broadcast over one input."""
        mean_C, deviation_C = self._measure()
        deviation_C = np.where(deviation_C > 0, deviation_C, 1.0)
        shape = (-1,) + (1,) * (len(self.reader.shape) - 1)
        scale, shift = 1 / deviation_C, -mean_C / deviation_C
        return (
            torch.from_numpy(scale).float().reshape(shape),
            torch.from_numpy(shift).float().reshape(shape),
        )

    def _measure(self) -> tuple[np.ndarray, np.ndarray]:
        rows_N, count = self.rows_N, len(self.rows_N)
        if self.reader.lazy and count > _MEASURED:
            rows_N = rows_N[torch.arange(_MEASURED) * count // _MEASURED]
        first = self.reader.take(rows_N[:1])
        # sums of squares of floats far from 0 would lose their digits; those of
        # bytes are exact
        exact = first.dtype == torch.uint8
        centre = 0.0 if exact else _channels(first).mean((0, 2), keepdims=True)
        total, squares, seen = 0.0, 0.0, 0
        for chunk_N in rows_N.split(_CHUNK):
            values = _channels(self.reader.take(chunk_N)) - centre
            total = total + values.sum((0, 2))
            squares = squares + np.square(values).sum((0, 2))
            seen += values.shape[0] * values.shape[2]
        offset_C = total / seen
        variance_C = np.maximum(squares / seen - offset_C**2, 0)
        return np.ravel(offset_C + np.ravel(centre)), np.sqrt(variance_C)


@dataclass(frozen=True, eq=False)
class Examples:
    """A `dale.data.Split` over rows of a reader.

    Args:
        reader: Where the raw values come from.
        rows_N: int64 rows of the reader that make up the split.
        targets_N: int64 classes of those rows.
        scaling: Shared by the splits of one data set.

    Example:
        >>> from dale.data.readers import ArrayReader
        >>> reader = ArrayReader(torch.tensor([[0.0], [2.0], [4.0]]))
        >>> rows = torch.tensor([0, 1])
        >>> split = Examples(reader, rows, torch.tensor([0, 1]), Scaling(reader, rows))
        >>> split.batch(torch.tensor([1, 0, 1])).flatten().tolist()
        [1.0, -1.0, 1.0]
    """

    reader: Reader
    rows_N: Tensor
    targets_N: Tensor
    scaling: Scaling

    def __len__(self) -> int:
        return len(self.rows_N)

    def batch(
        self,
        indices: Tensor,
        augment: Augment | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Normalised inputs; see `dale.data.Split`.

        Raises:
            DataError: `indices` is not a 1-D int64 tensor, an augmentation came
                without a generator, or an example cannot be read.
        """
        raw = self.reader.take(self._rows(indices))
        if augment is not None:
            if generator is None:
                raise DataError("augmentation needs a generator; none was given")
            raw = augment(raw, generator)
        scale, shift = self.scaling.affine
        # two passes in place are three times as fast as one broadcast addcmul
        return raw.to(torch.float32, copy=True).mul_(scale).add_(shift)

    def subset(self, indices: Tensor) -> "Examples":
        """The examples at `indices`, normalised as before.

        Raises:
            DataError: `indices` is not a 1-D int64 tensor.
        """
        rows_N = self._rows(indices)
        return Examples(self.reader, rows_N, self.targets_N[indices], self.scaling)

    def digest(self) -> str:
        """SHA-256 of shape, raw contents, targets and normalisation; kept."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        digest = sha256(b"dale split 1\n")
        digest.update(f"{self.reader.shape} {self.reader.preprocessing}\n".encode())
        for chunk_N in self.rows_N.split(_CHUNK):
            for piece in self.reader.contents(chunk_N):
                digest.update(piece)
        for tensor in (self.targets_N, *self.scaling.affine):
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def _rows(self, indices: Tensor) -> Tensor:
        if indices.ndim != 1 or indices.dtype != torch.int64:
            raise DataError(
                f"indices have shape {tuple(indices.shape)} and type {indices.dtype}; "
                "expected a 1-D tensor of torch.int64"
            )
        return self.rows_N[indices]


def _channels(raw: Tensor) -> np.ndarray:
    """Float64 values as ``(N, C, positions)``."""
    return raw.numpy().astype(np.float64).reshape(len(raw), raw.shape[1], -1)
