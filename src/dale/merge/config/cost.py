"""What a merge costs: memory, disk and time, without reading a tensor.

Sizes come from headers. Time comes from a trial: every kind of job is done on made
numbers in memory, and what an element took there is what it is said to take.
"""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dale.merge.job import Job, Source, run_jobs
from dale.merge.place import existing

_TRIAL = 1 << 18
"""Elements of a tensor in the trial."""
_HELD = 5
"""Tensors in float32 that a kernel holds at a time, at the most."""
_KINDS = 6
"""At most so many kinds of job are tried; the rest costs what those cost on average."""


@dataclass(frozen=True)
class Cost:
    """What a merge costs.

    Attributes:
        read_bytes: Read from the models.
        write_bytes: Written, other files included.
        free_bytes: Free where the result goes.
        memory_bytes: Beside the program itself, at the most.
        seconds: Of merging; reading from a slow disk and writing to one come on top.
        tried: Elements on which it was measured.
    """

    read_bytes: int
    write_bytes: int
    free_bytes: int
    memory_bytes: int
    seconds: float
    tried: int


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
    seconds, tried = _trial(jobs)
    return Cost(
        sum(_bytes(source) for job in jobs for source in everyone(job)),
        sum(job.nbytes for job in jobs) + more,
        shutil.disk_usage(existing(out)).free,
        max((_memory(job) for job in jobs), default=0),
        seconds,
        tried,
    )


def everyone(job: Job) -> tuple[Source, ...]:
    """All sources of a job, the base last."""
    return (*job.sources_K, *([] if job.base is None else [job.base]))


def _bytes(source: Source) -> int:
    return torch.Size(source.shape).numel() * source.dtype.itemsize


def _memory(job: Job) -> int:
    """Of one job: float32 copies of what its kernel holds at a time, and the result."""
    held = len(everyone(job)) if job.method == "sce" else 0
    return _elements(job) * 4 * (_HELD + held) + job.nbytes


def _trial(jobs: Sequence[Job]) -> tuple[float, int]:
    """Seconds that all jobs take, and the elements of those that were tried."""
    kinds: dict[object, list[Job]] = {}
    for job in jobs:
        kinds.setdefault(_kind(job), []).append(job)
    sizes = {k: sum(_elements(job) for job in group) for k, group in kinds.items()}
    largest = sorted(kinds, key=lambda kind: -sizes[kind])[:_KINDS]
    seconds, known, tried = 0.0, 0, 0
    for kind in largest:
        job = max(kinds[kind], key=_elements)
        made, one = _made(job, _TRIAL), _made(job, 1)
        start = _seconds(one)
        rate = max(0.0, _seconds(made) - start) / max(1, _elements(made))
        seconds += start * len(kinds[kind]) + rate * sizes[kind]
        known += sizes[kind]
        tried += _elements(made)
    rest = sum(sizes.values()) - known
    whole = seconds * (1 + rest / known if known else 1)
    return whole / torch.get_num_threads(), tried


def _kind(job: Job) -> object:
    types = tuple(source.dtype for source in everyone(job))
    flat = len(job.shape) < 2
    return job.method, types, job.dtype, job.cast, flat, job.base is None


def _elements(job: Job) -> int:
    return torch.Size(job.shape).numel()


def _made(job: Job, elements: int) -> Job:
    """The same on made numbers, not many more than so many: rows are left out."""
    shape = job.shape
    if shape and _elements(job):
        rows = max(1, min(shape[0], elements * shape[0] // _elements(job)))
        shape = (rows, *shape[1:])
    generator = torch.Generator().manual_seed(0)
    sources = []
    for source in everyone(job):
        tensor = torch.randn(shape, generator=generator)
        sources.append(Source({source.name: tensor.to(source.dtype)}, source.name))
    base = None if job.base is None else sources.pop()
    return replace(job, sources_K=tuple(sources), base=base, shape=shape)


def _seconds(job: Job) -> float:
    """The best of three, in one thread."""
    threads, found = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        for _ in range(3):
            start = time.perf_counter()
            for _ in run_jobs([job]):
                pass
            found.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return min(found)
