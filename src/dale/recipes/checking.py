"""Is a run whole? Every file is read and held against its digest."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dale.errors import CorruptError, DaleError
from dale.files import PARTIAL
from dale.recipes.workbench import Workbench
from dale.store import Run, sealed
from dale.train.checkpoint import load_state
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
    for path in sorted(run.folder.glob("state/*.safetensors")):
        check(lambda path=path: _check_state(path, run))
    if (run.folder / "inputs.json").exists():
        check(lambda: run.check_inputs({run.recipe_path.name: run.recipe_digest}))
    for path in sorted(run.folder.glob("results/*.json")):
        check(lambda path=path: sealed.read(path, path.stem))
    for path in sorted(run.folder.glob("predictions/*/*.safetensors")):
        check(lambda path=path: load(path))
    if (run.folder / "log.jsonl").exists():
        check(run.log)
    return Checked(read, tuple(dict.fromkeys(problems)), tuple(_strays(run)))


def _check_state(path: Path, run: Run) -> None:
    state = load_state(path)
    if state is not None and state["recipe"] != run.recipe_digest:
        raise CorruptError(f"{path} belongs to another recipe than {run.recipe_path}")


def _strays(run: Run) -> list[str]:
    known = {run.population.path(member) for member in run.population}
    found = set(run.folder.glob("members/*.safetensors"))
    half = run.folder.rglob(f".*{PARTIAL}")
    return [f"{_short(p, run)} belongs to no member" for p in sorted(found - known)] + [
        f"{_short(p, run)} was left by an interrupted write" for p in sorted(half)
    ]


def _short(path: Path, run: Run) -> str:
    return str(path.relative_to(run.folder))
