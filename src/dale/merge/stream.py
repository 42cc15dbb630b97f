"""Merging into files, one tensor after the other.

What is in memory at a time is one tensor of every model and what its kernel makes of
them, however many tensors there are. Shape suffix: K, models.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dale.errors import DiskError, InputError
from dale.files import PARTIAL, replacing, write_text
from dale.merge.engine import Model, Plan, planned
from dale.weights.container import Sealed, order, write_parts
from dale.weights.lazy import INDEX
from dale.weights.match import Weights

_SHARD = 5_000_000_000
_Group = tuple[str, ...]


def stream(
    models: Sequence[Model],
    out: str | Path,
    method: str = "uniform",
    *,
    base: Model | None = None,
    seed: int = 0,
    shard_bytes: int = _SHARD,
    header: Mapping[str, str] | None = None,
    **settings: Any,
) -> list[Path]:
    """Merge models by a method of the table, into files.

    Args:
        models: Files or folders of safetensors, or whatever `dale.merge.merge` takes.
        out: A folder that is new or empty; or a file, replaced when it is there, if
            the name ends in ``.safetensors``. Either appears when it is whole.
        method: A name in `dale.merge.METHODS` whose row says that it streams.
        base: The common ancestor, for methods that take one.
        seed: Of methods that draw at random.
        shard_bytes: The most bytes of tensors in one file of a folder, but for a
            single tensor that is larger; positive.
        header: Words to keep in every file.
        settings: Keyword arguments of the method's function.

    Returns:
        The files with tensors. Their content is, bit for bit, what `dale.merge.merge`
        returns; names that share a tensor are stored once.

    Raises:
        InputError: What `dale.merge.merge` refuses, a method that does not stream, or
            a folder that is not empty.
        WeightsError: Names, shapes or kinds differ, or a file cannot be read.
        DiskError: The disk refused a write.

    Example:
        >>> from dale.weights import load
        >>> pair = [{"w": torch.zeros(2)}, {"w": torch.ones(2)}]
        >>> [path.name for path in stream(pair, "merged")]
        ['model.safetensors']
        >>> load("merged")[0]
        {'w': tensor([0.5000, 0.5000])}
    """
    out, words = Path(out), dict(header or {})
    if shard_bytes < 1:
        raise InputError(f"shard_bytes must be 1 or more, got {shard_bytes}")
    plan = planned(models, method, base, seed, settings)
    if not plan.row.streams:
        raise InputError(f"{method} needs whole models in memory and cannot stream")
    if out.suffix == ".safetensors":
        _write(plan, [plan.groups], [out], words)
        return [out]
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} must be a new or an empty folder")
    shards = _shards(plan, shard_bytes)
    names = _names(len(shards))
    with _whole(out) as folder:
        _write(plan, shards, [folder / name for name in names], words)
        if len(shards) > 1:
            _index(folder / INDEX, plan.weights_K[0], shards, names)
    return [out / name for name in names]


def _shards(plan: Plan, limit: int) -> list[list[_Group]]:
    """Groups of names in the order of the first model, cut where a file is full."""
    shards: list[list[_Group]] = [[]]
    filled = 0
    for names in plan.groups:
        size = _bytes(plan.weights_K[0][names[0]])
        if shards[-1] and filled + size > limit:
            shards.append([])
            filled = 0
        shards[-1].append(names)
        filled += size
    return shards


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.dtype.itemsize


def _names(count: int) -> list[str]:
    if count == 1:
        return ["model.safetensors"]
    return [f"model-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)]


def _write(
    plan: Plan, shards: list[list[_Group]], paths: list[Path], words: dict[str, str]
) -> None:
    first = plan.weights_K[0]
    tables = [{names[0]: _outline(first[names[0]]) for names in g} for g in shards]
    group = {names[0]: names for names in plan.groups}
    # one walk for all files, as some methods measure all tensors before the first
    made = plan.results([group[name] for table in tables for name in order(table)])
    for table, path in zip(tables, paths, strict=True):
        parts = (next(made)[1] for _ in table)
        ties = {name: lead for lead in table for name in group[lead][1:]}
        with replacing(path) as temporary, temporary.open("wb") as file:
            write_parts(file, table, parts, Sealed(words, ties, None, None))


def _outline(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")


def _index(
    path: Path, first: Weights, shards: list[list[_Group]], names: list[str]
) -> None:
    pairs = zip(shards, names, strict=True)
    places = {group[0]: name for shard, name in pairs for group in shard}
    size = sum(_bytes(first[name]) for name in places)
    index = {
        "metadata": {"total_size": size},
        "weight_map": dict(sorted(places.items())),
    }
    write_text(path, json.dumps(index, indent=2) + "\n")


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its name when the block is done."""
    folder: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        made = tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=PARTIAL)
        folder = Path(made)
        folder.chmod(0o755)
        yield folder
        if out.exists():
            out.rmdir()
        os.replace(folder, out)
        folder = None
    except OSError as error:
        reason = error.strerror or str(error)
        raise DiskError(f"could not write {out}: {reason}") from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
