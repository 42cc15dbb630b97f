"""What the verbs share: output, errors, progress."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dale.cli.visible import Visible, visible
from dale.errors import DaleError, Elsewhere, InputError, Interrupted

JSON = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
RUN = Annotated[Path, typer.Argument(help="The run folder.", show_default=False)]
RUN_OR_LOGITS = Annotated[
    Path,
    typer.Argument(
        help="The run folder, or a file of logits and targets (.npz, .safetensors, "
        ".parquet).",
        show_default=False,
    ),
]

# paths and labels are printed as they are, brackets and colons included; sentences
# are folded for people only
_piped = not sys.stdout.isatty()
out = Visible(highlight=False, markup=False, emoji=False, soft_wrap=_piped)
err = Visible(stderr=True, highlight=False, markup=False, emoji=False)


def show_json(document: Any) -> None:
    """Print a document as JSON; numbers that are not finite become null."""
    from dale.store import finite  # PyTorch takes a second to load; help needs none

    sys.stdout.write(json.dumps(finite(document), indent=1) + "\n")


def check_page(path: Path | None) -> None:
    """Refuse a name for a page that is no page's, such as that of the recipe.

    Raises:
        InputError: It does not end in ``.html``.
    """
    if path is not None and path.suffix.lower() != ".html":
        raise InputError(f"--draw {path}: expected a name ending in .html")


def draw_page(path: Path, document: Mapping[str, Any]) -> None:
    """Write a page that opens offline, wholly or not at all."""
    from dale.files import write_text
    from dale.report import render

    write_text(path, render(document))


def fail(error: DaleError) -> int:
    """Print one line about an error; the exit code that goes with it."""
    if isinstance(error, Interrupted):
        return complain(str(error), 130)
    if isinstance(error, Elsewhere):
        return 1
    return complain(str(error), 2 if isinstance(error, InputError) else 1)


def complain(message: str, code: int = 1) -> int:
    """Print one line about what went wrong; the exit code given.

    Of several processes that train together, the first to fail speaks.
    """
    if not _speaks():
        return code
    line = " ".join(message.split())
    err.print(f"dale: {line}", style="red", soft_wrap=True)
    return code


def _speaks() -> bool:
    if "WORLD_SIZE" not in os.environ:
        return True
    from dale.train.team import first_to_speak

    return first_to_speak()


def refuse_given(options: Mapping[str, object], why: str) -> None:
    """Refuse the first of these options that was given.

    Args:
        options: Name to value; None, False and an empty list mean not given.
        why: The rest of the sentence.

    Raises:
        InputError: One was given.
    """
    for name, value in options.items():
        if value:
            raise InputError(f"{name} {why}")


def percent(value: float | None, digits: int = 2) -> str:
    """A share as a percentage."""
    return "–" if value is None else f"{100 * value:.{digits}f}"


def number(value: float | None, digits: int = 4) -> str:
    """A number with a fixed number of digits; an enormous one as a power of ten.

    Example:
        >>> number(0.25), number(1e300)
        ('0.2500', '1.0000e+300')
    """
    if value is None:
        return "–"
    return f"{value:.{digits}{'f' if abs(value) < 1e9 else 'e'}}"


def count(number: int, noun: str) -> str:
    """A number and what it counts.

    Example:
        >>> count(1, "member"), count(2, "member")
        ('1 member', '2 members')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    best: Sequence[tuple[int, int]] = (),
) -> None:
    """Print a table; the first column is text, the others are numbers.

    Args:
        title: Above it.
        columns: Headings.
        rows: Cells.
        best: Row and column of cells to mark.
    """
    drawn = Table(title=title, title_justify="left", title_style="bold", box=None)
    for index, column in enumerate(columns):
        drawn.add_column(
            column,
            justify="right" if index else "left",
            overflow="fold",
            header_style="dim",
        )
    for r, row in enumerate(rows):
        drawn.add_row(
            *(
                Text(visible(cell), style="bold green" if (r, c) in best else "")
                for c, cell in enumerate(row)
            )
        )
    if out.is_terminal:
        out.print(drawn)
    else:
        # a pipe has no width; never fold what a program may read
        wide = Console(width=160, highlight=False, markup=False, emoji=False)
        wide.print(drawn)


def results_table(rows: Sequence[Mapping[str, Any]], split: str, fitted: str) -> None:
    """Print the table of an evaluation, the best of each column marked."""
    columns = [
        "",
        "networks",
        "error %",
        "NLL",
        "ECE %",
        "T",
        "NLL after T",
        "ECE % after T",
    ]
    keys = ["error", "nll", "ece", None, "nll_calibrated", "ece_calibrated"]
    best = [
        (min(range(len(rows)), key=lambda r: rows[r][key]), index)
        for index, key in enumerate(keys, start=2)
        if key is not None and len(rows) > 1
    ]
    cells = [
        [
            row["name"],
            str(row["networks"]),
            percent(row["error"]),
            number(row["nll"]),
            percent(row["ece"]),
            number(row["temperature"], 2),
            number(row["nll_calibrated"]),
            percent(row["ece_calibrated"]),
        ]
        for row in rows
    ]
    n = rows[0]["n"] if rows else 0
    table(f"{split}, {n} examples; T fitted on {fitted}", columns, cells, best)
    for row in rows:
        if row["note"] and row["kind"] != "soup":
            out.print(f"{row['name']}: {row['note']}")


def folds_table(found: Mapping[str, Any]) -> None:
    """Print what a cross-validation found, the best of each column marked."""
    rows = found["rows"]
    shown = [("error", percent), ("nll", number), ("ece", percent)]
    shown += [("nll_calibrated", number), ("ece_calibrated", percent)]
    cells = [
        [
            row["name"],
            str(row["networks"]),
            *(f"{show(row[key])} ± {show(row[f'{key}_sd'])}" for key, show in shown),
        ]
        for row in rows
    ]
    best = [
        (min(range(len(rows)), key=lambda r: rows[r][key]), index)
        for index, (key, _) in enumerate(shown, start=2)
        if len(rows) > 1
    ]
    columns = [
        "",
        "networks",
        "error %",
        "NLL",
        "ECE %",
        "NLL after T",
        "ECE % after T",
    ]
    title = f"{found['folds']} folds held out in turn; mean ± standard deviation"
    table(f"{title}; T fitted on {found['fitted_on']}", columns, cells, best)


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C (or a polite kill) into a request to stop.

    A second one stops at once, which loses nothing but the updates since the last
    saved state.

    Yields:
        Asked after each update: whether to stop.
    """
    asked = False

    def note(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
