"""Image files, decoded when they are asked for.

Shape suffixes: N examples, C channels, H height, W width.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from dale.errors import DataError
from dale.factories import one_line

Fit = Literal["crop", "stretch"]
_Result = TypeVar("_Result")

_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)


@dataclass(frozen=True, eq=False)
class FolderReader:
    """Images of one size from files of any size.

    Files are decoded by a pool of threads and come back in the order asked for. When
    all fit in the memory allowed, each is decoded once and kept.

    Args:
        paths: The files.
        size: Height and width of what is returned.
        fit: ``"crop"`` scales the short side and cuts out the centre; ``"stretch"``
            scales both sides.
        mode: ``"RGB"`` for 3 channels, ``"L"`` for 1.
        memory_mb: Memory for decoded images, in 10⁶ bytes.
        lazy: Whether reading costs more than copying; it does.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "grey.png"
        >>> Image.new("L", (4, 6), 128).save(file)
        >>> reader = FolderReader((file,), (2, 2), "crop", "L")
        >>> reader.take(torch.tensor([0])).tolist()
        [[[[128, 128], [128, 128]]]]
    """

    paths: tuple[Path, ...]
    size: tuple[int, int]
    fit: Fit
    mode: Literal["RGB", "L"]
    memory_mb: int = 1000
    lazy: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width."""
        return (3 if self.mode == "RGB" else 1, *self.size)

    @property
    def preprocessing(self) -> str:
        """How files become values."""
        return f"image {self.mode} {self.fit} {self.size[0]}x{self.size[1]}"

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, rows_N: Tensor) -> Tensor:
        """The rows' images, uint8.

        Raises:
            DataError: A file cannot be read; it is named.
        """
        rows = rows_N.tolist()
        if self._kept is None:
            images = in_threads(self._decode, rows)
            return torch.stack(images) if images else self._empty(0)
        values, done = self._kept
        missing = sorted({row for row in rows if not done[row]})
        for row, image in zip(missing, in_threads(self._decode, missing), strict=True):
            values[row] = image
            done[row] = True
        return values.index_select(0, rows_N)

    def contents(self, rows_N: Tensor) -> Iterable[Any]:
        """A digest of each file.

        Raises:
            DataError: A file cannot be read; it is named.
        """
        return in_threads(_file_digest, [self.paths[row] for row in rows_N.tolist()])

    @cached_property
    def _kept(self) -> tuple[Tensor, list[bool]] | None:
        """Room for all images and which of them are there, if they fit."""
        needed = len(self) * int(np.prod(self.shape))
        if needed > self.memory_mb * 10**6:
            return None
        return self._empty(len(self)), [False] * len(self)

    def _empty(self, count: int) -> Tensor:
        return torch.empty(count, *self.shape, dtype=torch.uint8)

    def _decode(self, row: int) -> Tensor:
        path, (height, width) = self.paths[row], self.size
        try:
            with Image.open(path) as image:
                image = _plain(ImageOps.exif_transpose(image), self.mode)
                if image.size != (width, height):
                    resize = ImageOps.fit if self.fit == "crop" else Image.Image.resize
                    image = resize(image, (width, height), Image.Resampling.BILINEAR)
                array = np.array(image)
        except Exception as cause:  # Pillow raises a dozen kinds for damaged files
            raise DataError(_unreadable(path, cause)) from cause
        array = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
        return torch.from_numpy(np.ascontiguousarray(array))


def header(path: Path) -> tuple[tuple[int, int], bool]:
    """Upright height and width of an image, and whether it is grey, without decoding.

    Raises:
        DataError: The file is no image.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "grey.png"
        >>> Image.new("L", (4, 6)).save(file)
        >>> header(file)
        ((6, 4), True)
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            if image.getexif().get(_ORIENTATION) in _SIDEWAYS:
                width, height = height, width
            return (height, width), image.mode in ("1", "L", "LA", "I;16")
    except Exception as cause:
        raise DataError(_unreadable(path, cause)) from cause


def in_threads(
    function: Callable[[Any], _Result], items: Iterable[Any]
) -> list[_Result]:
    """Results of a function that releases the interpreter, in the order of the items.

    Example:
        >>> in_threads(abs, [-1, 2, -3])
        [1, 2, 3]
    """
    return list(_pool().map(function, items))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(16, os.cpu_count() or 1), "dale-images")


if hasattr(os, "register_at_fork"):
    # a forked process has the pool but not its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _plain(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I;16"):  # a plain conversion would cut at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode!r}; expected 8 or 16 bits")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert(mode)


def _file_digest(path: Path) -> bytes:
    try:
        return sha256(path.read_bytes()).digest()
    except OSError as cause:
        raise DataError(_unreadable(path, cause)) from cause


def _unreadable(path: Path, cause: Exception) -> str:
    return f"cannot read image {path}: {one_line(cause)}"
