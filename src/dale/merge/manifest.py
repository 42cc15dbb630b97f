"""What a merged folder was made of, and whether it is still what was made.

``dale_merge.json`` lies beside the tensors. It names the method and the settings of
every tensor, the inputs with their sizes, and a hash of every tensor and of every other
file.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

import dale
from dale.errors import CorruptError, DaleError, InputError
from dale.merge.job import Job, Source
from dale.store import sealed
from dale.weights import LazyWeights
from dale.weights.checkpoint import SUFFIXES
from dale.weights.digest import raw
from dale.weights.lazy import INDEX

MANIFEST = "dale_merge.json"
KIND = "merge"
_WEIGHTS = {".safetensors", *SUFFIXES}
FORMAT = 3
"""Counts up whenever the same plan may give other bytes."""


def plan_digest(
    jobs: Sequence[Job],
    seed: int,
    shard_bytes: int,
    words: Mapping[str, str],
    files: Mapping[str, str],
) -> str | None:
    """A digest of everything that the bytes of a result depend on.

    Args:
        jobs: All of it.
        seed: Of methods that draw at random.
        shard_bytes: The most bytes in one file.
        words: Words in every file.
        files: Hashes of more files by name.

    Returns:
        Hexadecimal digits; None if an input is not in files that can be recognised.
    """
    known = inputs(jobs)
    if any(stamp is None for stamp in known.values()):
        return None
    place = {weights: str(i) for i, weights in enumerate(known)}
    content = {
        "format": FORMAT,
        "versions": versions(),
        "seed": seed,
        "shard_bytes": shard_bytes,
        "words": dict(words),
        "files": dict(files),
        "inputs": [*known.values()],
        "jobs": [_described(job, place) for job in jobs],
    }
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Of what makes the bytes."""
    return {"dale": dale.__version__, "torch": torch.__version__}


def inputs(jobs: Sequence[Job]) -> dict[int, Any]:
    """The stamp of every model that is read, by its identity; None if it has none."""
    found: dict[int, Any] = {}
    for job in jobs:
        for source in _sources(job):
            if id(source.weights) not in found:
                found[id(source.weights)] = getattr(source.weights, "stamp", None)
    return found


def manifest(
    jobs: Sequence[Job],
    seed: int,
    hashes: Mapping[str, str],
    files: Mapping[str, str],
    digest: str,
) -> dict[str, Any]:
    """The content of the file.

    Args:
        jobs: All of the result.
        seed: Of methods that draw at random.
        hashes: Of the bytes of every tensor.
        files: Hashes of the other files by name.
        digest: Of the result, see `dale.weights.digest`.
    """
    known = inputs(jobs)
    place = {weights: f"input {i}" for i, weights in enumerate(known)}
    return {
        "versions": versions(),
        "seed": seed,
        "result": digest,
        "inputs": {place[weights]: stamp for weights, stamp in known.items()},
        "files": dict(files),
        "tensors": {
            job.name: _described(job, place) | {"sha256": hashes[job.name]}
            for job in jobs
        },
    }


def verify(folder: str | Path) -> list[str]:
    """Hold every file of a merged folder against its manifest.

    Args:
        folder: A folder that `dale.merge.write_jobs` made.

    Returns:
        One line for each file or tensor that is not as it was written.

    Raises:
        StoreError: There is no manifest.
        CorruptError: The manifest was altered.
        SchemaError: A newer version of dale wrote it.
    """
    return verified_folder(Path(folder))[1]


def verified_folder(folder: Path) -> tuple[int, list[str]]:
    """How many files `verify` reads, and what it finds."""
    known = sealed.read(folder / MANIFEST, KIND)
    count = len(known["files"]) + len([*folder.glob("*.safetensors")]) + 1
    problems = [*_files(folder, known["files"])]
    try:
        with LazyWeights(folder) as lazy:
            problems += _tensors(lazy, known["tensors"], folder)
            problems += _strangers(lazy, known["files"], folder)
    except DaleError as error:
        problems += [*_shards(folder)] or [str(error)]
    return count, problems


def refuse_unlisted(folder: Path) -> None:
    """Tell a folder of weights without a manifest from a run.

    Raises:
        InputError: It is one.
    """
    weights = sorted(path for path in folder.glob("*") if path.suffix in _WEIGHTS)
    if weights and not (folder / "recipe.yaml").exists():
        raise InputError(
            f"{folder} holds {weights[0].name} but no {MANIFEST}, in which dale merge "
            "says what it wrote: there is nothing to hold it against"
        )


def _strangers(
    lazy: LazyWeights, files: Mapping[str, str], folder: Path
) -> Iterator[str]:
    """A line for each file that a reader may take for tensors, and that is none."""
    mine = {lazy.file_of(name) for name in lazy}
    mine |= {folder / INDEX} if len(mine) > 1 else set()
    mine |= {folder / name for name in files}
    for path in sorted(folder.iterdir()):
        read = path.suffix in _WEIGHTS or path.name.endswith(".index.json")
        if read and path not in mine:
            yield f"{path} is unknown: the merge did not write it"


def _shards(folder: Path) -> Iterator[str]:
    """A line for each file of tensors that is missing or cannot be opened."""
    paths = set(folder.glob("*.safetensors"))
    with suppress(OSError, ValueError, KeyError, AttributeError, TypeError):
        listed = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        paths |= {folder / name for name in listed["weight_map"].values()}
    for path in sorted(paths):
        if not path.is_file():
            yield f"{path} is missing"
            continue
        try:
            LazyWeights(path).close()
        except DaleError as error:
            yield str(error)


def _files(folder: Path, files: Mapping[str, str]) -> list[str]:
    problems = []
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif sha256(path.read_bytes()).hexdigest() != expected:
            problems.append(f"{path} was altered: its content does not match its hash")
    return problems


def _tensors(lazy: LazyWeights, tensors: Mapping[str, Any], folder: Path) -> list[str]:
    problems = [f"{folder}: {n!r} is missing" for n in tensors if n not in lazy]
    stored = [name for name in lazy if name not in lazy.ties]
    problems += [f"{folder}: {n!r} is unknown" for n in stored if n not in tensors]
    for name in stored:
        if name not in tensors:
            continue
        try:
            found = sha256(raw(lazy[name])).hexdigest()
        except CorruptError as error:
            problems.append(str(error))
            continue
        if found != tensors[name]["sha256"]:
            where = lazy.file_of(name)
            problems.append(
                f"{where}: {name!r} was altered: it does not match its hash"
            )
    return problems


def _sources(job: Job) -> list[Source]:
    return [*job.sources_K, *([] if job.base is None else [job.base])]


def _described(job: Job, place: Mapping[int, str]) -> dict[str, Any]:
    def named(source: Source) -> list[str]:
        return [place[id(source.weights)], source.name]

    return {
        "name": job.name,
        "ties": [*job.ties],
        "method": job.method,
        "settings": {n: _plain(value) for n, value in job.settings.items()},
        "from": [named(source) for source in job.sources_K],
        "base": None if job.base is None else named(job.base),
        "shape": [*job.shape],
        "dtype": str(job.dtype).split(".")[1],
        "cast": None if job.cast is None else str(job.cast).split(".")[1],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    if hasattr(value, "tolist"):  # of NumPy, or a tensor
        return value.tolist()
    return [_plain(item) for item in value]
