"""The files of a result: which tensor lies where, and how it gets there."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from dale.merge.job import Job
from dale.weights.container import Sealed, head, offsets
from dale.weights.digest import digest_rows, raw, row

_READ = 1 << 22


@dataclass(frozen=True, eq=False)
class Shard:
    """One file of tensors.

    Attributes:
        path: The file.
        jobs: Its tensors.
        words: Words to keep in it.
    """

    path: Path
    jobs: tuple[Job, ...]
    words: Mapping[str, str]

    @cached_property
    def _sealed(self) -> Sealed:
        ties = {name: job.name for job in self.jobs for name in job.ties}
        return Sealed(dict(self.words), ties, None, None)

    @cached_property
    def _outline(self) -> dict[str, Tensor]:
        return {
            job.name: torch.empty(job.shape, dtype=job.dtype, device="meta")
            for job in self.jobs
        }

    @cached_property
    def _begin(self) -> dict[str, int]:
        start = len(head(self._outline, self._sealed))
        return {name: start + at for name, at in offsets(self._outline).items()}

    def open(self) -> int:
        """A handle on the file, which has its final size."""
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        start = head(self._outline, self._sealed)
        os.ftruncate(handle, len(start) + sum(job.nbytes for job in self.jobs))
        return handle

    def put(self, handle: int, job: Job, pieces: Iterable[Tensor]) -> str:
        """Write one tensor that comes in pieces; gives the hash of its bytes."""
        place, hashed = self._begin[job.name], sha256()
        for piece in pieces:
            data = raw(piece)
            hashed.update(data)
            written = 0
            while written < len(data):
                written += os.pwrite(handle, data[written:], place + written)
            place += len(data)
        return hashed.hexdigest()

    def hash_of(self, handle: int, job: Job) -> str:
        """The hash of what the file has in a tensor's place."""
        place, hashed = self._begin[job.name], sha256()
        end = place + job.nbytes
        while place < end and (
            data := os.pread(handle, min(_READ, end - place), place)
        ):
            hashed.update(data)
            place += len(data)
        return hashed.hexdigest()

    def close(self, handle: int, hashes: Mapping[str, str]) -> list[str]:
        """Write the beginning, at the end; gives the rows of the digest."""
        rows = [
            row(name, job.dtype, job.shape, hashes[job.name])
            for job in self.jobs
            for name in job.names
        ]
        sealed = replace(self._sealed, digest=digest_rows(rows))
        os.pwrite(handle, head(self._outline, sealed), 0)
        return rows


def cut(
    jobs: Sequence[Job], limit: int, folder: Path, words: Mapping[str, str]
) -> list[Shard]:
    """Jobs in their order, a new file where one is full.

    Args:
        jobs: All of a result.
        limit: The most bytes of tensors in one file, but for a single larger tensor.
        folder: Where the files lie.
        words: Words to keep in each.
    """
    groups = [*_groups(jobs, limit)]
    names = ["model.safetensors"]
    if (count := len(groups)) > 1:
        names = [
            f"model-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)
        ]
    pairs = zip(names, groups, strict=True)
    return [Shard(folder / name, tuple(group), words) for name, group in pairs]


def _groups(jobs: Sequence[Job], limit: int) -> Iterator[list[Job]]:
    group: list[Job] = []
    filled = 0
    for job in jobs:
        if group and filled + job.nbytes > limit:
            yield group
            group, filled = [], 0
        group.append(job)
        filled += job.nbytes
    yield group


def index(shards: Sequence[Shard]) -> str:
    """The index that says in which file each tensor is, as text."""
    places = {job.name: shard.path.name for shard in shards for job in shard.jobs}
    size = sum(job.nbytes for shard in shards for job in shard.jobs)
    content = {
        "metadata": {"total_size": size},
        "weight_map": dict(sorted(places.items())),
    }
    return json.dumps(content, indent=2) + "\n"
