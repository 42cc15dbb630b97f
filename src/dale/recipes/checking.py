"""Is a run whole? Every file is read and held against its digest."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dale.errors import CorruptError, DaleError
from dale.files import PARTIAL
from dale.recipes.published import SCHEMA_NAME, schema_text
from dale.recipes.workbench import Workbench
from dale.store import Log, Run, sealed
from dale.train.checkpoint import load_state
from dale.train.stacked import RECORD, Record
from dale.weights import load


@dataclass(frozen=True)
class Checked:
    """The outcome of `verify`.

    Args:
        files: How many files were read.
        problems: One line for each that is not as it was written.
        notes: Oddities that do no harm.
    """

    files: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def verify(run: Run) -> Checked:
    """Read every file of a run and hold it against its digest.

    Args:
        run: The run.

    Returns:
        The number of files read, the problems, and files that belong to no member.
    """
    problems: list[str] = []
    read = 0

    def check(action: Callable[[], object]) -> None:
        nonlocal read
        read += 1
        try:
            action()
        except DaleError as error:
            problems.append(str(error))

    check(lambda: Workbench(run))
    for member in run.population:
        check(lambda member=member: run.population.weights(member))
    states: dict[str, dict[str, Any]] = {}
    for path in sorted(run.folder.glob("state/*.safetensors")):
        check(lambda path=path: states.update({path.stem: _state(path, run)}))
    for name in {m.label.rsplit("-c", 1)[0] for m in run.population if m.how == "swag"}:
        check(lambda name=name: _collected(run, name))
    if (run.folder / "inputs.json").exists():
        check(lambda: run.check_inputs({run.recipe_path.name: run.recipe_digest}))
    if (run.folder / RECORD).exists():
        check(lambda: Record(run))
    for path in sorted(run.folder.glob("results/*.json")):
        check(lambda path=path: run.read_result(path.stem))
    for path in sorted(run.folder.glob("trackers/*.json")):
        check(lambda path=path: sealed.read(path, "tracker"))
    for path in sorted(run.folder.glob("predictions/*/*.safetensors")):
        check(lambda path=path: load(path))
    for path in sorted(run.folder.glob("statistics/*.safetensors")):
        check(lambda path=path: load(path))
    if (run.folder / SCHEMA_NAME).exists():
        check(lambda: _schema(run))
    if run.log_path.exists():
        check(run.log)
    problems += _missing(run)
    try:
        _check_log(run, states)
    except CorruptError as error:
        problems.append(str(error))
    return Checked(read, tuple(dict.fromkeys(problems)), tuple(_notes(run)))


def _state(path: Path, run: Run) -> dict[str, Any]:
    state = load_state(path)
    if state is None:
        raise CorruptError(f"{path} is missing")
    if state["recipe"] != run.recipe_digest:
        raise CorruptError(f"{path} belongs to another recipe than {run.recipe_path}")
    return state


def _collected(run: Run, name: str) -> None:
    path = run.folder / "collected" / f"{name}.safetensors"
    if load_state(path) is None:
        raise CorruptError(f"{path} is missing: samples of {name} were drawn from it")


def _check_log(run: Run, states: dict[str, dict[str, Any]]) -> None:
    """Hold the log against the state that vouches for most of it."""
    longest = max(states.values(), key=lambda state: state["log"], default=None)
    if longest is not None:
        Log(run.log_path).check(longest["log"], longest.get("log_sha256"))


def _missing(run: Run) -> list[str]:
    """What training always leaves beside the members that it takes."""
    names = [member.details.get("trajectory") for member in run.population]
    trained = [name for name in dict.fromkeys(names) if name is not None]
    if not trained:
        return []
    wanted = {run.folder / "inputs.json": "members exist"}
    for name in trained:
        path = run.folder / "state" / f"{name}.safetensors"
        wanted[path] = f"members of {name} exist"
    return [
        f"{path} is missing although {why}; restore it, or run: dale train --resume"
        for path, why in wanted.items()
        if not path.exists()
    ]


def _schema(run: Run) -> Any:
    path = run.folder / SCHEMA_NAME
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise CorruptError(
            f"{path} is truncated or not JSON; write it again with: "
            f"dale show --schema > {path}"
        ) from error


def _notes(run: Run) -> list[str]:
    known = {run.population.path(member) for member in run.population}
    found = set(run.folder.glob("members/*.safetensors"))
    notes = [f"{_short(path, run)} belongs to no member" for path in found - known]
    notes += [
        f"{_short(path, run)} is being written, or was left by an interrupted write"
        for path in run.folder.rglob(f".*{PARTIAL}")
    ]
    schema = run.folder / SCHEMA_NAME
    if schema.exists() and schema.read_bytes() != schema_text().encode():
        notes.append(
            f"{SCHEMA_NAME} is not the schema of this dale: another version wrote it, "
            "or it was altered; it only serves editors"
        )
    return sorted(notes)


def _short(path: Path, run: Run) -> str:
    return str(path.relative_to(run.folder))
