"""Merging into files, one tensor after the other.

What is in memory at a time is a piece of one tensor of every model, or the whole tensor
where the method needs it, however many tensors there are. Shape suffix: K, models.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

from dale.errors import DiskError, InputError, WeightsError
from dale.files import flush
from dale.merge.engine import Model, planned
from dale.merge.job import Job, runner
from dale.merge.manifest import KIND, MANIFEST, inputs, manifest, plan_digest
from dale.merge.moments import label_of
from dale.merge.place import place_problem, unfinished_at
from dale.merge.shards import Shard, cut, index
from dale.merge.threads import side_by_side
from dale.merge.unfinished import Journal, unfinished
from dale.store import sealed
from dale.weights.digest import digest_rows
from dale.weights.lazy import INDEX
from dale.weights.match import listing
from dale.weights.stamp import altered

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
        >>> import torch
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
    tell: Callable[[str], None] | None = None,
    threads: int | None = None,
    sync: bool = False,
) -> list[Path]:
    """Do jobs and write what they give to files.

    The result is made beside its name, in a folder ``.NAME.partial``, and takes its
    name when it is whole. If the process is killed or the disk is full, the same call
    goes on where it was, and ends with the same bytes; what is there is held against
    its hash before it is used. Another call for the same name starts afresh.

    Args:
        jobs: Checked; see `dale.merge.engine.check`. No name occurs twice.
        out: A folder that is new or empty; or a file, replaced when it is there, if
            the name ends in ``.safetensors``.
        seed: Of methods that draw at random.
        shard_bytes: The most bytes of tensors in one file of a folder, but for a
            single tensor that is larger; positive.
        words: Words to keep in every file.
        files: More files of the folder by name: their content, or a file to copy.
        watch: Called now and then with the bytes done and the bytes there will be.
        tell: Called with a line when something is taken over or thrown away.
        threads: How many jobs are done at a time; as many as PyTorch uses if None.
            The bytes do not depend on it.
        sync: Wait until all is on the disk before the result takes its name, so that
            it survives a power cut. Without, the operating system writes it in the
            half minute that follows, as it does with a copy.

    Returns:
        The files with tensors. In a folder lies a `dale.merge.manifest` too.

    Raises:
        InputError: A folder that is not empty, or more files beside a single file.
        WeightsError: Kinds differ, or a file cannot be read or changed meanwhile.
        LockedError: Another process makes the same.
        DiskError: The disk refused a write.
    """
    out, words = Path(out), dict(words or {})
    single = out.suffix == ".safetensors"
    if shard_bytes < 1:
        raise InputError(f"shard_bytes must be 1 or more, got {shard_bytes}")
    if single and files:
        raise InputError(f"{out} is one file; a folder is needed for {[*files]}")
    _check_place(out, single)
    more = {name: _content(content) for name, content in (files or {}).items()}
    hashes = {name: sha256(content).hexdigest() for name, content in more.items()}
    limit = sys.maxsize if single else shard_bytes
    plan = plan_digest(jobs, seed, limit, words, hashes)
    try:
        with unfinished(out, plan) as (folder, journal):
            _check_place(out, single)  # another process may have made it meanwhile
            shards = cut(jobs, limit, folder, words)
            if tell is not None and journal.stale:
                tell(f"{out}: an unfinished merge of something else was thrown away")
            rows = _fill(shards, jobs, seed, journal, watch, tell, threads, sync)
            _unaltered(jobs)
            if single:
                os.replace(shards[0].path, out)
                if sync:
                    flush(out.parent)
                return [out]
            listed = {INDEX: index(shards).encode()} if len(shards) > 1 else {}
            _put(folder, more | listed, sync)
            whole = manifest(jobs, seed, journal.known, hashes, digest_rows(rows))
            sealed.write(folder / MANIFEST, KIND, whole)
            if out.exists():
                out.rmdir()
            os.replace(folder, out)
            if sync:
                flush(out.parent)
            return [out / shard.path.name for shard in shards]
    except OSError as error:
        reason = error.strerror or str(error)
        kept = "; what is done is kept, and the same call goes on"
        if plan is None or not unfinished_at(out).exists():
            kept = ""
        raise DiskError(f"could not write {out}: {reason}{kept}") from error


def _check_place(out: Path, single: bool) -> None:
    if (line := place_problem(out, single=single)) is not None:
        raise InputError(line)


def _unaltered(jobs: Sequence[Job]) -> None:
    """Refuse to give a name to what was read from files that changed meanwhile."""
    stamps = [stamp for stamp in inputs(jobs).values() if stamp is not None]
    if found := sorted({path for stamp in stamps for path in altered(stamp)}):
        raise WeightsError(f"changed while it was merged: {listing(found)}")


def _put(folder: Path, files: Mapping[str, bytes], sync: bool) -> None:
    """Write small files; flush them and the folders that they lie in, if asked."""
    places = {folder}
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if sync:
            flush(path)
        places |= {place for place in path.parents if folder in place.parents}
    if sync:
        for place in sorted(places, reverse=True):
            flush(place)


def _content(content: bytes | Path) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content


def _fill(
    shards: Sequence[Shard],
    jobs: Sequence[Job],
    seed: int,
    journal: Journal,
    watch: Watch | None,
    tell: Callable[[str], None] | None,
    threads: int | None,
    sync: bool,
) -> list[str]:
    """Write all tensors that are not there yet; gives the rows of the digest."""
    with ExitStack() as stack:
        handles = {shard: shard.open() for shard in shards}
        for handle in handles.values():
            stack.callback(os.close, handle)
        _recheck(handles, journal, tell)
        home = {job.name: shard for shard in shards for job in shard.jobs}
        done = sum(job.nbytes for job in jobs if job.name in journal.known)
        whole, rows = sum(job.nbytes for job in jobs), []
        left = [job for job in jobs if job.name not in journal.known]
        run = runner(jobs, seed) if left else None

        def write(job: Job) -> int:
            assert run is not None
            shard = home[job.name]
            journal.note(job.name, shard.put(handles[shard], job, run(job)))
            return job.nbytes

        # the largest first, so that threads end at about the same time
        left.sort(key=lambda job: -job.nbytes)
        for size in side_by_side(write, left, threads):
            done += size
            if watch is not None:
                watch(done, whole)
        for shard, handle in handles.items():
            rows += shard.close(handle, journal.known)
            if sync:
                os.fsync(handle)
        return rows


def _recheck(
    handles: Mapping[Shard, int],
    journal: Journal,
    tell: Callable[[str], None] | None,
) -> None:
    """Forget tensors whose bytes a power cut has eaten."""
    if not journal.known:
        return
    for shard, handle in handles.items():
        for job in shard.jobs:
            expected = journal.known.get(job.name)
            if expected is not None and shard.hash_of(handle, job) != expected:
                del journal.known[job.name]
    if tell is not None:
        count = sum(len(shard.jobs) for shard in handles)
        tell(f"{len(journal.known)} of {count} tensors were there already")
