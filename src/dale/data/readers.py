"""Where raw inputs come from: an array in memory, or a map-style torch dataset.

Image files have a module of their own, `dale.data.folder`.

Shape suffixes: N examples.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dale.errors import DataError
from dale.factories import one_line


class Reader(Protocol):
    """Raw inputs by row, all of one shape, as uint8 or float32."""

    @property
    def shape(self) -> tuple[int, ...]:
        """One input's shape, ``(C, H, W)`` or ``(F,)``."""
        ...

    @property
    def lazy(self) -> bool:
        """Whether reading a row costs more than copying it."""
        ...

    @property
    def preprocessing(self) -> str:
        """What was done to the contents to get the values; part of the digest."""
        ...

    def __len__(self) -> int: ...

    def take(self, rows_N: Tensor) -> Tensor:
        """A new tensor with the rows' values, uint8 or float32, ``(N, *shape)``."""
        ...

    def contents(self, rows_N: Tensor) -> Iterable[Any]:
        """Bytes that identify the rows' contents, in order."""
        ...


@dataclass(frozen=True, eq=False)
class ArrayReader:
    """Rows of one tensor in memory.

    Args:
        values: uint8 or float32, ``(N, C, H, W)`` or ``(N, F)``; not copied.

    Example:
        >>> reader = ArrayReader(torch.arange(6, dtype=torch.uint8).reshape(3, 2))
        >>> reader.take(torch.tensor([2, 0])).tolist()
        [[4, 5], [0, 1]]
    """

    values: Tensor
    lazy: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """One row's shape."""
        return tuple(self.values.shape[1:])

    @property
    def preprocessing(self) -> str:
        """The type of the values, as equal bytes may mean other numbers."""
        return str(self.values.dtype)

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows_N: Tensor) -> Tensor:
        """The rows, copied."""
        return self.values.index_select(0, rows_N)

    def contents(self, rows_N: Tensor) -> Iterable[Any]:
        """The rows' memory."""
        yield self.take(rows_N).numpy()


@dataclass(frozen=True, eq=False)
class DatasetReader:
    """The inputs of a map-style torch dataset, read one by one in the calling thread.

    Reading an item must give the same input each time; augmentation belongs to dale.

    Args:
        dataset: ``dataset[i]`` gives ``(input, target)``; the input is a tensor, an
            array or a Pillow image.
        name: For messages.
        shape: Of every input.
        dtype: Of every input, uint8 or float32.
        lazy: Whether reading costs more than copying; it does.

    Example:
        >>> from torch.utils.data import TensorDataset
        >>> dataset = TensorDataset(torch.eye(3), torch.arange(3))
        >>> DatasetReader.of(dataset, "eye").take(torch.tensor([1])).tolist()
        [[0.0, 1.0, 0.0]]
    """

    dataset: Any
    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    lazy: bool = True

    @property
    def preprocessing(self) -> str:
        """The type of the inputs, as equal bytes may mean other numbers."""
        return str(self.dtype)

    @classmethod
    def of(cls, dataset: Any, name: str) -> "DatasetReader":
        """A reader of all items, with the shape of the first.

        Raises:
            DataError: The dataset is empty or not map-style, an item cannot be read, or
                the first input differs between two readings.
        """
        if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
            raise DataError(
                f"{name} is {type(dataset).__name__}; expected a map-style dataset"
            )
        if len(dataset) == 0:
            raise DataError(f"{name} is empty")
        first = read_item(dataset, 0, name)[0]
        if not torch.equal(first, read_item(dataset, 0, name)[0]):
            raise DataError(
                f"{name}: item 0 differs between two readings; expected a dataset "
                "without random transforms (augmentation is a setting of training)"
            )
        return cls(dataset, name, tuple(first.shape), first.dtype)

    def __len__(self) -> int:
        return len(self.dataset)

    def take(self, rows_N: Tensor) -> Tensor:
        """The rows' inputs, read in order.

        Raises:
            DataError: An item cannot be read, or its shape or type is not item 0's.
        """
        inputs = []
        for row in rows_N.tolist():
            value = read_item(self.dataset, row, self.name)[0]
            if (tuple(value.shape), value.dtype) != (self.shape, self.dtype):
                raise DataError(
                    f"{self.name}: item {row} has shape {tuple(value.shape)} and type "
                    f"{value.dtype}; expected {self.shape} and {self.dtype} as item 0"
                )
            inputs.append(value)
        if not inputs:
            return torch.empty(0, *self.shape, dtype=self.dtype)
        return torch.stack(inputs)

    def contents(self, rows_N: Tensor) -> Iterable[Any]:
        """The inputs' memory."""
        for row in rows_N:
            yield self.take(row.reshape(1)).numpy()


def read_item(dataset: Any, row: int, name: str) -> tuple[Tensor, int]:
    """Input and target of one item of a map-style dataset.

    Returns:
        The input as uint8 or float32 (other real types are converted to float32), of
        shape ``(C, H, W)`` or ``(F,)``, and the target.

    Raises:
        DataError: The item cannot be read, is no pair, is not finite, has a number of
            axes other than 1 or 3, or its target is no whole number.

    Example:
        >>> read_item([(np.zeros((1, 2, 2)), np.int64(3))], 0, "pairs")[1]
        3
    """
    where = f"{name}: item {row}"
    try:
        item = dataset[row]
        value, target = item[0], item[1]
        tensor = _tensor(value)
    except Exception as cause:
        raise DataError(f"{where} cannot be read: {one_line(cause)}") from cause
    if tensor.ndim not in (1, 3) or tensor.numel() == 0:
        raise DataError(
            f"{where} has shape {tuple(tensor.shape)}; expected (channels, height, "
            "width) or (features,)"
        )
    if tensor.dtype != torch.uint8 and not tensor.isfinite().all():
        raise DataError(f"{where} has NaN or infinite values")
    return tensor, _whole(target, where)


def _tensor(value: Any) -> Tensor:
    if isinstance(value, Image.Image):
        array = np.array(value.convert("L" if value.mode in ("1", "L") else "RGB"))
        value = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    tensor = torch.as_tensor(value).detach().cpu()
    if tensor.is_complex():
        raise TypeError("complex values")
    return tensor if tensor.dtype == torch.uint8 else tensor.float()


def _whole(target: Any, where: str) -> int:
    value = target.item() if hasattr(target, "item") else target
    if isinstance(value, bool) or not isinstance(value, int):
        whole = isinstance(value, float) and value % 1 == 0
        hint = ": convert with int" if whole else ""
        raise DataError(f"{where} has target {target!r}; expected a whole number{hint}")
    return value
