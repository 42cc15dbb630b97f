"""What a merge costs: memory, disk and time, without reading a tensor.

Sizes come from headers. Time comes from a trial: every kind of job is done on made
numbers, from files to files, and what an element took there is what it is said to take.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from math import nan
from pathlib import Path

import torch

from dale.errors import DiskError
from dale.merge.blocks import BLOCK
from dale.merge.job import Job, Source
from dale.merge.place import existing
from dale.merge.stream import write_jobs
from dale.weights import LazyWeights, save

_TRIAL = 1 << 21
"""Elements of a kind of job in the trial, in all; a tensor in it is one piece where
tensors are made in pieces, and half of it where they are made whole."""
_KINDS = 6
"""At most so many kinds of job are tried; the rest costs what those cost on average."""
_BLOCKS, _MORE = 30, 8
"""Pieces in float32 that a thread holds, and those for each model that is read. The
allocator keeps more than is in use; so these were measured, see
``benchmarks/merge_plan.py``."""
_WHOLE, _HELD = 12, {"della": 20, "della_linear": 20, "sce": 16}
"""Tensors in float32 that a method holds which needs whole ones; likewise measured."""
_WALKS = 2
"""Walks over every model by methods that measure before they merge."""


@dataclass(frozen=True)
class Cost:
    """What a merge costs.

    Attributes:
        read_bytes: Read from the models, those of a pass that measures included.
        write_bytes: Written, other files included.
        free_bytes: Free where the result goes.
        memory_bytes: Beside the program itself, at the most; files that are mapped are
            not counted.
        seconds: Of merging, with files in the page cache; slow disks come on top. NaN
            where there is no room for a trial.
        tried: Elements on which it was measured.
        check_bytes: Read again if the result is checked.
    """

    read_bytes: int
    write_bytes: int
    free_bytes: int
    memory_bytes: int
    seconds: float
    tried: int
    check_bytes: int = 0


def cost(jobs: Sequence[Job], files: Mapping[str, bytes], out: Path) -> Cost:
    """Work out what a merge costs.

    Args:
        jobs: Of the result.
        files: More files.
        out: Where the result goes; it need not exist.

    Returns:
        Sizes from headers; time from a trial.
    """
    more = sum(map(len, files.values()))
    try:
        seconds, tried = _trial(jobs)
    except (OSError, DiskError):
        seconds, tried = nan, 0  # there is no room for files of a few megabytes
    once = sum(_bytes(source) for job in jobs for source in everyone(job))
    written = sum(job.nbytes for job in jobs)
    return Cost(
        once + sum(_measured(job) for job in jobs),
        written + more,
        shutil.disk_usage(existing(out)).free,
        memory(jobs, torch.get_num_threads()),
        seconds,
        tried,
        once + written,
    )


def memory(jobs: Sequence[Job], threads: int) -> int:
    """The most bytes that jobs need at a time, so many of them side by side.

    Methods that work in pieces hold a few pieces; the others whole tensors in float32.
    Tensors that are cast, or that are not in a file as they are, such as those with an
    adapter, are held by every method. The largest jobs may meet.

    Example:
        >>> weights = {"w": torch.ones(1000, 1000)}
        >>> job = Job("w", (Source(weights, "w"),), None, "linear", {}, (1000, 1000))
        >>> memory([job], 1) < 60_000_000
        True
    """
    return sum(sorted(map(_memory, jobs), reverse=True)[:threads])


def everyone(job: Job) -> tuple[Source, ...]:
    """All sources of a job, the base last."""
    return (*job.sources_K, *([] if job.base is None else [job.base]))


def _bytes(source: Source) -> int:
    return torch.Size(source.shape).numel() * source.dtype.itemsize


def _measured(job: Job) -> int:
    """Bytes that are read before merging, where a method looks at all tensors first."""
    if job.row.measure is None or job.base is None:
        return 0
    pairs = sum(_bytes(source) + _bytes(job.base) for source in job.sources_K)
    return _WALKS * pairs


def _memory(job: Job) -> int:
    """Of one job: what is read into memory, and what its kernel holds at a time."""
    read = sum(_held(job, source) for source in everyone(job))
    if job.row.chunks and not _in_rows(job):
        pieces = _BLOCKS + _MORE * len(everyone(job))
        # small tensors are one piece; what the allocator keeps is of many
        return read + 4 * BLOCK * pieces
    return read + 4 * max(_elements(job), BLOCK) * _HELD.get(job.method, _WHOLE)


def _in_rows(job: Job) -> bool:
    """Whether rows are treated each on its own, for which a tensor must be whole."""
    return any(job.settings.get(n) for n in ("filter_wise", "nuslerp_row_wise"))


def _held(job: Job, source: Source) -> int:
    """Bytes of an input that are in memory: those of a file are mapped."""
    cast = job.cast is not None and source.dtype != job.cast
    held = _elements(job) * job.cast.itemsize if cast and job.cast is not None else 0
    return held + (0 if _mapped(source) else _bytes(source))


def _mapped(source: Source) -> bool:
    return isinstance(source.weights, LazyWeights)


def _trial(jobs: Sequence[Job]) -> tuple[float, int]:
    """Seconds that all jobs take, and the elements of those that were tried."""
    kinds: dict[object, list[Job]] = {}
    for job in jobs:
        kinds.setdefault(_kind(job), []).append(job)
    sizes = {k: sum(_elements(job) for job in group) for k, group in kinds.items()}
    largest = sorted(kinds, key=lambda kind: -sizes[kind])[:_KINDS]
    seconds, known, tried = 0.0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        places = (Path(folder, str(number)) for number in count())
        for kind in largest:
            job = max(kinds[kind], key=_elements)
            made, tiny = [*_made(job, places)], [*_made(job, places, 1)]
            start = _seconds(tiny, places)
            elements = sum(map(_elements, made))
            rate = max(0.0, _seconds(made, places) - start) / max(1, elements)
            seconds += start / len(tiny) * len(kinds[kind]) + rate * sizes[kind]
            known += sizes[kind]
            tried += elements
    rest = sum(sizes.values()) - known
    return seconds * (1 + rest / known if known else 1), tried


def _kind(job: Job) -> object:
    types = tuple(source.dtype for source in everyone(job))
    flat = len(job.shape) < 2
    return job.method, types, job.dtype, job.cast, flat, job.base is None


def _elements(job: Job) -> int:
    return torch.Size(job.shape).numel()


def _made(job: Job, places: Iterator[Path], most: int | None = None) -> Iterator[Job]:
    """The same a few times on made numbers in files, with rows left out.

    Args:
        job: Any.
        places: Names of files that are not there yet.
        most: Elements of one tensor, about.

    Yields:
        As many as there are threads, or more; the same number whatever the size.
    """
    size = BLOCK if job.row.chunks else _TRIAL // 2
    copies, shape = max(_TRIAL // size, torch.get_num_threads()), job.shape
    size = most or size
    if shape and _elements(job):
        rows = max(1, min(shape[0], size * shape[0] // _elements(job)))
        shape = (rows, *shape[1:])
    generator = torch.Generator().manual_seed(0)
    names = [str(copy) for copy in range(copies)]
    found = []
    for source in everyone(job):
        path = next(places).with_suffix(".safetensors")
        drawn = torch.randn((copies, *shape), generator=generator).to(source.dtype)
        save(path, {n: drawn[i].clone() for i, n in enumerate(names)}, {})
        found.append(LazyWeights(path))
    for name in names:
        sources = [Source(weights, name) for weights in found]
        base = None if job.base is None else sources.pop()
        yield replace(
            job, name=name, sources_K=tuple(sources), base=base, shape=shape, ties=()
        )


def _seconds(jobs: Sequence[Job], places: Iterator[Path]) -> float:
    """The best of three, from files to files."""
    found = []
    for _ in range(3):
        start = time.perf_counter()
        write_jobs(jobs, next(places))
        found.append(time.perf_counter() - start)
    return min(found)
