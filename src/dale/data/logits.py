"""Files of logits: what any framework wrote, without a run.

Shapes: M members, N examples, C classes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dale.data.npz import read_archive
from dale.errors import CorruptError, DataError, InputError, WeightsError
from dale.factories import one_line
from dale.files import replacing
from dale.metrics import checked_members, checked_targets, one_column
from dale.weights import LazyWeights, save

LOGIT_SUFFIXES = (".npz", ".safetensors", ".parquet")
"""Endings of the files that `read_logits` reads."""
_TARGETS = ("targets", "labels")


@dataclass(frozen=True, eq=False)
class Logits:
    """Logits of one network or of several on the same examples.

    Args:
        logits_MNC: Floating, shape (M, N, C); M is 1 for one network.
        targets_N: Integer classes, or None where the file has none.
        path: The file.
    """

    logits_MNC: Tensor
    targets_N: Tensor | None
    path: Path

    def digest(self) -> str:
        """Digest of the logits and targets: equal for the same predictions.

        Logits count as they are in float32, so that a copy in another precision is
        known again.
        """
        whole = sha256(json.dumps(list(self.logits_MNC.shape)).encode())
        for part_NC in self.logits_MNC:
            whole.update(part_NC.float().contiguous().numpy().data)
        if self.targets_N is not None:
            whole.update(self.targets_N.contiguous().numpy().data)
        return whole.hexdigest()

    def needed_targets(self) -> Tensor:
        """The targets.

        Raises:
            DataError: The file has none.
        """
        if self.targets_N is None:
            raise DataError(f"{self.path}: expected targets beside the logits")
        return self.targets_N


def is_logits_file(path: str | Path) -> bool:
    """Whether a path names a file of logits and no folder, by its ending.

    Example:
        >>> is_logits_file("val.npz"), is_logits_file("runs/first")
        (True, False)
    """
    path = Path(path)
    return path.suffix.lower() in LOGIT_SUFFIXES and not path.is_dir()


def read_logits(path: str | Path) -> Logits:
    """Read logits, and targets if there are any, from a file.

    A ``.npz`` archive or a ``.safetensors`` file holds arrays ``logits``, of shape
    (N, C) or (M, N, C) for members, and ``targets`` (or ``labels``), of shape (N,).
    A ``.parquet`` table has a column ``logits`` of lists of equal length, and a
    column ``targets`` (or ``labels``); pyarrow must be installed. Nothing is
    unpickled.

    Args:
        path: The file.

    Returns:
        The logits; half precision is widened to float32.

    Raises:
        DataError: No such file, or it holds something else.
        InputError: Wrong shapes or types, NaN, labels out of range; or pyarrow is
            missing.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "val.npz"
        >>> np.savez(file, logits=np.eye(3), targets=np.arange(3))
        >>> read_logits(file).logits_MNC.shape
        torch.Size([1, 3, 3])
    """
    path = Path(path).expanduser()
    if path.suffix.lower() not in LOGIT_SUFFIXES:
        raise DataError(
            f"{path}: expected a file of logits ending in {', '.join(LOGIT_SUFFIXES)}"
        )
    if not path.is_file():
        raise DataError(f"no file {path}")
    held = _READERS[path.suffix.lower()](path)
    keys = [key for key in _TARGETS if key in held]
    if "logits" not in held or len(keys) > 1:
        raise DataError(
            f"{path} holds {', '.join(sorted(held)) or 'nothing'}; expected logits, "
            "and targets or labels"
        )
    logits = held["logits"]
    if not logits.is_floating_point():
        raise DataError(f"{path}: logits: expected real numbers, got {logits.dtype}")
    if logits.dtype.itemsize < 4:
        logits = logits.float()
    if logits.ndim not in (2, 3):
        raise DataError(
            f"{path}: logits: expected shape (N, C), or (M, N, C) for members, got "
            f"{tuple(logits.shape)}{one_column(logits.ndim == 1)}"
        )
    try:
        logits_MNC = checked_members(logits if logits.ndim == 3 else logits[None])
        targets_N = checked_targets(held[keys[0]], logits_MNC[0]) if keys else None
    except InputError as error:
        raise DataError(f"{path}: {error}") from error
    return Logits(logits_MNC, targets_N, path)


def write_logits(path: str | Path, logits_NC: Tensor, targets_N: Tensor | None) -> None:
    """Write logits to a ``.npz`` or ``.safetensors`` file: wholly, or not at all.

    Args:
        path: The file; its ending tells the format.
        logits_NC: Shape (N, C).
        targets_N: Shape (N,), or None.

    Raises:
        InputError: Another ending.
        DiskError: The file cannot be written.
    """
    path = Path(path).expanduser()
    held = {"logits": logits_NC.contiguous()}
    if targets_N is not None:
        held["targets"] = targets_N.contiguous()
    if path.suffix.lower() == ".safetensors":
        save(path, held, {})
    elif path.suffix.lower() == ".npz":
        with replacing(path) as beside, beside.open("wb") as file:
            arrays: dict[str, Any] = {n: tensor.numpy() for n, tensor in held.items()}
            np.savez(file, **arrays)
    else:
        raise InputError(f"{path}: expected a name ending in .npz or .safetensors")


def _npz(path: Path) -> dict[str, Tensor]:
    return {key: _tensor(array, key, path) for key, array in read_archive(path).items()}


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with LazyWeights(path) as weights:
            return {name: weights[name].clone() for name in weights}
    except (CorruptError, WeightsError) as cause:  # as of the other formats
        raise DataError(str(cause)) from cause


def _parquet(path: Path) -> dict[str, Tensor]:
    try:
        parquet = import_module("pyarrow.parquet")
    except ModuleNotFoundError as cause:
        raise InputError(
            f"{path}: reading .parquet needs pyarrow; run: pip install 'dale[parquet]'"
        ) from cause
    try:
        table = parquet.ParquetFile(path).read()
    except (OSError, ValueError) as cause:  # pyarrow's own errors are these
        raise DataError(f"cannot read {path}: {one_line(cause)}") from cause
    names = table.column_names
    wanted = [name for name in names if name in ("logits", *_TARGETS)]
    if "logits" not in wanted:
        raise DataError(
            f"{path} has the columns {', '.join(names)}; expected a column logits of "
            "lists, and targets or labels"
        )
    return {name: _column(table, name, path) for name in wanted}


def _column(table: object, name: str, path: Path) -> Tensor:
    rows: list[object] = table.column(name).to_pylist()  # type: ignore[attr-defined]
    if None in rows:
        raise DataError(f"{path}: {name}: row {rows.index(None)} is empty")
    try:
        array = np.asarray(rows)
    except ValueError as cause:
        raise DataError(f"{path}: {name}: the lists differ in length") from cause
    return _tensor(array, name, path)


def _tensor(array: np.ndarray, key: str, path: Path) -> Tensor:
    try:
        return torch.from_numpy(np.array(array, order="C"))
    except TypeError as cause:
        raise DataError(
            f"{path}: {key}: cannot use numbers of {array.dtype}"
        ) from cause


_READERS: Mapping = {
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".parquet": _parquet,
}
