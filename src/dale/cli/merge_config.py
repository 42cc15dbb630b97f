"""``dale merge CONFIG OUT``: a merge described in YAML."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from dale.cli.common import count, err, out, show_json, table
from dale.cli.merge_check import PAGE, verdict, write_page

if TYPE_CHECKING:
    from dale.merge.after import Checked
    from dale.merge.config.plan import ConfigPlan
    from dale.merge.stream import Watch

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kmgtb]?)b?\s*$", re.I)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12}


def is_config(source: Path) -> bool:
    """Whether this is a configuration, not the folder of a run."""
    return source.suffix.lower() in {".yml", ".yaml"} or source.is_file()


def merge_config(
    source: Path,
    target: Path | None,
    *,
    only_plan: bool,
    seed: int,
    shard_size: str,
    check: bool,
    sync: bool,
    json: bool,
) -> None:
    """Do a merge, or say what it would do.

    Args:
        source: The configuration.
        target: Where the result goes; needed unless only a plan is wanted.
        only_plan: Say it only.
        seed: Of methods that draw at random.
        shard_size: The most bytes in one file, such as 5GB.
        check: Write a page on whether the merge is sound.
        sync: Wait until the result is on the disk.
        json: Print JSON.

    Raises:
        InputError: No target, or a size that is none.
        Exit: With 1, where there are problems.
    """
    from dale.errors import ConfigError, InputError
    from dale.merge import plan_config, run_config

    limit = size(shard_size)
    if only_plan:
        plan = plan_config(source, target or Path("merged"))
        show_json(plan.to_dict()) if json else _show(plan)
        raise typer.Exit(1 if plan.problems else 0)
    if target is None:
        raise InputError("where the result goes is missing: dale merge CONFIG OUT")
    notes: list[str] = []
    checked: list[Checked] = []
    try:
        with _watching(quiet=json) as watch:
            options = {"seed": seed, "shard_bytes": limit, "watch": watch}
            options |= {"sync": sync}
            options |= {"check": checked.append} if check else {}
            files = run_config(source, target, note=notes.append, **options)
    except ConfigError as error:
        _complain(error.origin, error.problems, json)
        raise typer.Exit(1) from None
    if not json:
        _tell(notes)
        written = sum(file.stat().st_size for file in files)
        out.print(f"{target}: {count(len(files), 'file')}, {_bytes(written)}")
    said: dict[str, Any] = {}
    for one in checked:
        page = target / PAGE
        words = {"title": target.name, "subtitle": f"made from {source.name}"}
        words |= {"recipe": source.read_text(encoding="utf-8")}
        whole = write_page(page, one, notes, **words)
        said = verdict(str(target), one.found, page if whole else None, json)
    if json:
        show_json({"files": [str(file) for file in files], "notes": notes, **said})


def size(text: str) -> int:
    """A number of bytes, such as 5GB, 500M, or mergekit's 5B.

    Raises:
        InputError: It is none.

    Example:
        >>> size("5GB"), size("5B"), size("1.5k"), size("12")
        (5000000000, 5000000000, 1500, 12)
    """
    from dale.errors import InputError

    found = _SIZE.match(text)
    number = float(found[1]) * _UNITS[found[2].lower()] if found else 0
    if number < 1:
        raise InputError(f"--shard-size: expected a size such as 5GB, got {text!r}")
    return int(number)


def _complain(origin: str, problems: Sequence[str], json: bool) -> None:
    if json:
        show_json({"origin": origin, "problems": list(problems)})
    for problem in problems:
        line = " ".join(problem.split())
        err.print(f"dale: {origin}: {line}", style="red", soft_wrap=True)


def _tell(notes: Sequence[str]) -> None:
    for note in notes:
        err.print(f"note: {note}", soft_wrap=True)


def _show(plan: "ConfigPlan") -> None:
    _tell(plan.notes)
    _complain(plan.origin, plan.problems, json=False)
    if plan.parts:
        rows: list[list[str]] = []
        for part in plan.parts:
            settings = "; ".join(f"{n} {v}" for n, v in part.settings.items())
            numbers = [str(part.tensors), f"{part.parameters:,}"]
            rows.append([part.name, part.method, *numbers, settings.replace("_ ", " ")])
        columns = ["tensors", "method", "how many", "parameters", "settings"]
        table(f"{plan.origin}: {count(len(plan.models), 'model')}", columns, rows)
        out.print(f"config and tokenizer of {plan.donor}; {', '.join(plan.files)}")
    if plan.cost is not None:
        out.print(_cost(plan))
    found = count(len(plan.problems), "problem") if plan.problems else "no problems"
    out.print(f"{plan.origin}: {found}")


def _cost(plan: "ConfigPlan") -> str:
    cost: Any = plan.cost
    time = "time unknown, as there is no room for a trial"
    if cost.tried:
        time = (
            f"about {_clock(cost.seconds)} of merging, as {cost.tried:,} made numbers "
            "took here; slow disks come on top"
        )
    return (
        f"{_bytes(cost.read_bytes)} to read · {_bytes(cost.write_bytes)} to write, "
        f"{_bytes(cost.free_bytes)} free · {_bytes(cost.memory_bytes)} in memory · "
        f"{time} · {_bytes(cost.check_bytes)} read again for the page"
    )


def _bytes(number: int) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number} bytes"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes:
        return f"{minutes} min {rest} s"
    return f"{rest} s" if seconds >= 1 else "1 s"


@contextmanager
def _watching(quiet: bool) -> "Iterator[Watch | None]":
    """Progress on standard error, for merges that take a while."""
    if quiet or not err.is_terminal:
        yield None
        return
    words = TextColumn("{task.description}")
    share = TextColumn("{task.percentage:>3.0f}%")
    columns = (words, BarColumn(bar_width=24), share, TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task, start = bar.add_task("merging", total=None), time.monotonic()
        before = 0

        def watch(done: int, whole: int) -> None:
            nonlocal before
            if done < before:  # the result is read from its beginning
                bar.reset(task, description="checking")
            before = done
            if time.monotonic() - start > 1:
                bar.update(task, completed=done, total=whole)

        yield watch
