"""Merging into files, one tensor after the other.

What is in memory at a time is one tensor of every model and what its kernel makes of
them, however many tensors there are. Shape suffix: K, models.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dale.errors import DiskError, InputError
from dale.files import PARTIAL, replacing, write_text
from dale.merge.engine import Model, planned
from dale.merge.job import Job, runner
from dale.merge.moments import label_of
from dale.weights.container import Sealed, order, write_parts
from dale.weights.lazy import INDEX

SHARD = 5_000_000_000
"""The most bytes of tensors in one file of a folder, unless told otherwise."""
Watch = Callable[[int, int], None]
"""Told from time to time how many bytes of the result are done, and of how many."""


def stream(
    models: Sequence[Model],
    out: str | Path,
    method: str = "uniform",
    *,
    base: Model | None = None,
    seed: int = 0,
    shard_bytes: int = SHARD,
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
        returns; names that share a tensor are stored once. Where normalisation
        statistics were mixed, their header says ``statistics: from moments``.

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
    plan = planned(models, method, base, settings)
    if not plan.row.streams:
        raise InputError(f"{method} needs whole models in memory and cannot stream")
    words = label_of(plan.jobs) | dict(header or {})
    return write_jobs(plan.jobs, out, seed=seed, shard_bytes=shard_bytes, words=words)


def write_jobs(
    jobs: Sequence[Job],
    out: str | Path,
    *,
    seed: int = 0,
    shard_bytes: int = SHARD,
    words: Mapping[str, str] | None = None,
    files: Mapping[str, bytes | Path] | None = None,
    watch: Watch | None = None,
    threads: int | None = None,
) -> list[Path]:
    """Do jobs and write what they give to files.

    Args:
        jobs: Checked; see `dale.merge.engine.check`. No name occurs twice.
        out: A folder that is new or empty; or a file, replaced when it is there, if
            the name ends in ``.safetensors``. Either appears when it is whole.
        seed: Of methods that draw at random.
        shard_bytes: The most bytes of tensors in one file of a folder, but for a
            single tensor that is larger; positive.
        words: Words to keep in every file.
        files: More files of the folder by name: their content, or a file to copy.
        watch: Called now and then with the bytes done and the bytes there will be.
        threads: How many jobs are done at a time; as many as PyTorch uses if None.

    Returns:
        The files with tensors.

    Raises:
        InputError: A folder that is not empty, or more files beside a single file.
        WeightsError: Kinds differ, or a file cannot be read.
        DiskError: The disk refused a write.
    """
    out, words, more = Path(out), dict(words or {}), dict(files or {})
    if shard_bytes < 1:
        raise InputError(f"shard_bytes must be 1 or more, got {shard_bytes}")
    if out.suffix == ".safetensors":
        if more:
            raise InputError(f"{out} is one file; a folder is needed for {[*more]}")
        _write(jobs, [[*jobs]], [out], seed, words, watch)
        return [out]
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} must be a new or an empty folder")
    shards = _shards(jobs, shard_bytes)
    names = _names(len(shards))
    with _whole(out) as folder:
        _write(jobs, shards, [folder / name for name in names], seed, words, watch)
        if len(shards) > 1:
            _index(folder / INDEX, shards, names)
        for name, content in more.items():
            data = content.read_bytes() if isinstance(content, Path) else content
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    return [out / name for name in names]


def _shards(jobs: Sequence[Job], limit: int) -> list[list[Job]]:
    """Jobs in their order, cut where a file is full."""
    shards: list[list[Job]] = [[]]
    filled = 0
    for job in jobs:
        if shards[-1] and filled + job.nbytes > limit:
            shards.append([])
            filled = 0
        shards[-1].append(job)
        filled += job.nbytes
    return shards


def _names(count: int) -> list[str]:
    if count == 1:
        return ["model.safetensors"]
    return [f"model-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)]


def _write(
    jobs: Sequence[Job],
    shards: list[list[Job]],
    paths: list[Path],
    seed: int,
    words: dict[str, str],
    watch: Watch | None,
) -> None:
    # one walk for all files, as some methods measure all tensors before the first
    run, whole, done = runner(jobs, seed), sum(job.nbytes for job in jobs), 0

    def made(shard: list[Job], table: Mapping[str, Tensor]) -> Iterator[Tensor]:
        nonlocal done
        job_of = {job.name: job for job in shard}
        for name in order(table):
            yield run(job_of[name])
            done += job_of[name].nbytes
            if watch is not None:
                watch(done, whole)

    for shard, path in zip(shards, paths, strict=True):
        table = {job.name: _outline(job) for job in shard}
        ties = {name: job.name for job in shard for name in job.ties}
        sealed = Sealed(words, ties, None, None)
        with replacing(path) as temporary, temporary.open("wb") as file:
            write_parts(file, table, made(shard, table), sealed)


def _outline(job: Job) -> Tensor:
    return torch.empty(job.shape, dtype=job.dtype, device="meta")


def _index(path: Path, shards: list[list[Job]], names: list[str]) -> None:
    pairs = zip(shards, names, strict=True)
    places = {job.name: name for shard, name in pairs for job in shard}
    index = {
        "metadata": {"total_size": sum(job.nbytes for s in shards for job in s)},
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
