"""Whether a result is there already, made of the same by the same."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from dale.errors import DaleError
from dale.merge.job import Job
from dale.merge.manifest import KIND, MANIFEST, inputs, manifest
from dale.store import finite, sealed
from dale.weights import LazyWeights


def made(
    jobs: Sequence[Job], out: Path, files: Mapping[str, bytes], seed: int | None = None
) -> list[Path]:
    """The files with tensors of a finished result of these very jobs, if it is there.

    Its manifest is read, and the headers of its files; `dale.merge.manifest.verify`
    says whether they are whole.

    Args:
        jobs: All of it.
        out: Its folder.
        files: More files of the folder by name, and their content.
        seed: Of methods that draw at random; None is any.

    Returns:
        The files in order; none if something else is there, or something that was made
        of other settings, files or inputs.

    Example:
        >>> import torch
        >>> from dale.merge import stream
        >>> from dale.merge.engine import planned
        >>> from dale.weights import save
        >>> _ = save("one.safetensors", {"w": torch.ones(2)}, {})
        >>> jobs = planned(["one.safetensors"], "uniform", None, {}).jobs
        >>> made(jobs, Path("same"), {})
        []
        >>> made(jobs, Path("same"), {}) == stream(["one.safetensors"], "same")
        False
        >>> [path.name for path in made(jobs, Path("same"), {})]
        ['model.safetensors']
    """
    try:
        if out.is_symlink() or not (out / MANIFEST).is_file():
            return []
        if None in inputs(jobs).values():
            return []
        known = sealed.read(out / MANIFEST, KIND)
        with LazyWeights(out) as lazy:
            paths = sorted({lazy.file_of(name) for name in lazy})
    except (DaleError, OSError):
        return []
    hashes = {name: row["sha256"] for name, row in known["tensors"].items()}
    if hashes.keys() != {job.name for job in jobs}:
        return []
    drawn = known["seed"] if seed is None else seed
    more = {name: sha256(content).hexdigest() for name, content in files.items()}
    again = manifest(jobs, drawn, hashes, more, known["result"])
    again["versions"] = known["versions"]
    return paths if json.loads(json.dumps(finite(again))) == known else []
