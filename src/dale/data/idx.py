"""Folders of IDX files, the format of MNIST and Fashion-MNIST.

Shape suffixes: N examples.
"""

import gzip
import struct
import zlib
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from dale.data.assemble import from_arrays
from dale.data.data import Data
from dale.errors import DataError

_STEMS = {"train": "train", "test": "t10k"}


def idx(
    path: str | Path,
    val: int | float = 0.1,
    train_limit: int | None = None,
    labelled: int | float | None = None,
    class_names: tuple[str, ...] | None = None,
    seed: int = 0,
) -> Data:
    """A folder of IDX files: MNIST, Fashion-MNIST, KMNIST and their like.

    The folder holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
    ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``, each plain or with
    ``.gz``. The t10k files are the test split; the validation split is taken from the
    training files.

    Args:
        path: The folder.
        val: Size of the validation split: a number of training images or a share of
            them.
        train_limit: Keep this many training images, stratified; all if None. It
            changes neither the validation nor the test split.
        labelled: Keep the labels of this many training images, or of this share,
            stratified; of all if None.
        class_names: One for each class; ``"0"``, ``"1"``, … if None.
        seed: Of the stratified splits.

    Returns:
        A data set of shape ``(1, height, width)`` with raw bytes.

    Raises:
        DataError: A file is missing, truncated, too long or no IDX file of bytes;
            images and labels differ in number; or a size is out of range.

    Example:
        >>> idx("nowhere")
        Traceback (most recent call last):
        dale.errors.DataError: no folder nowhere

    Reference:
        LeCun, Cortes and Burges 1998, The MNIST database of handwritten digits; Xiao,
        Rasul and Vollgraf 2017, arXiv:1708.07747 (Fashion-MNIST).
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise DataError(f"no folder {path}")
    arrays = {}
    for split, stem in _STEMS.items():
        images = read_idx(_find(folder, stem, "images", 3), 3)
        labels = read_idx(_find(folder, stem, "labels", 1), 1)
        if len(images) != len(labels):
            raise DataError(
                f"{folder}: {stem} has {len(images)} images and {len(labels)} labels"
            )
        arrays[split] = (images, labels)
    return from_arrays(
        arrays,
        str(folder),
        class_names=class_names,
        val=val,
        train_limit=train_limit,
        labelled=labelled,
        seed=seed,
    )


def read_idx(path: str | Path, axes: int) -> Tensor:
    """One IDX file of bytes.

    The header is big-endian: two zero bytes, the type (8 for unsigned bytes), the
    number of axes, then each axis's length in 4 bytes. The values follow.

    Args:
        path: The file; a name that ends in ``.gz`` is decompressed.
        axes: Expected number of axes.

    Returns:
        A uint8 tensor.

    Raises:
        DataError: The file cannot be read, its header is another, or it holds more or
            fewer bytes than the header says.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "labels"
        >>> _ = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 6, 7]))
        >>> read_idx(file, 1)
        tensor([5, 6, 7], dtype=torch.uint8)
    """
    path = Path(path)
    content = _content(path)
    start = 4 + 4 * axes
    if content[:4] != bytes([0, 0, 8, axes]) or len(content) < start:
        raise DataError(
            f"{path} starts with {content[:4].hex(' ')}; expected 00 00 08 {axes:02x} "
            f"and {axes} lengths, an IDX file of bytes"
        )
    shape = struct.unpack_from(f">{axes}I", content, 4)
    held, expected = len(content) - start, prod(shape)
    if held != expected:
        fault = "is truncated" if held < expected else "is too long"
        raise DataError(
            f"{path} {fault}: {held} bytes of values; expected {expected} for "
            f"shape {shape}"
        )
    if expected == 0:
        raise DataError(f"{path} is empty: its shape is {shape}")
    return torch.frombuffer(content, dtype=torch.uint8, offset=start).reshape(shape)


def _content(path: Path) -> bytearray:
    try:
        stored = path.read_bytes()
        return bytearray(gzip.decompress(stored) if path.suffix == ".gz" else stored)
    except EOFError as cause:
        raise DataError(f"{path} is truncated") from cause
    except (OSError, zlib.error) as cause:
        raise DataError(f"cannot read {path}: {cause}") from cause


def _find(folder: Path, stem: str, kind: str, axes: int) -> Path:
    name = f"{stem}-{kind}-idx{axes}-ubyte"
    for ending in ("", ".gz"):
        if (folder / f"{name}{ending}").is_file():
            return folder / f"{name}{ending}"
    raise DataError(f"{folder} has no file {name} or {name}.gz")
