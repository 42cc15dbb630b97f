"""``dale train``: from a recipe to members."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from dale.cli import app
from dale.cli.common import JSON, err, number, percent, show_json, stopping, table
from dale.errors import InputError, Interrupted

if TYPE_CHECKING:
    from dale.recipes import Workbench
    from dale.store import Member


@app.command()
def train(
    source: Annotated[
        Path,
        typer.Argument(help="A recipe, or with --resume a run.", show_default=False),
    ],
    run: Annotated[
        Path | None,
        typer.Argument(
            help="The run folder to make [runs/RECIPE].", show_default=False
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with a run that was stopped, if any."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    json: JSON = False,
) -> None:
    """Train a recipe's strategies and collect their members."""
    from dale.train.team import first_process

    folder = source if source.is_dir() else run or Path("runs") / source.stem
    with going_on(folder):
        bench = _open(source, run, folder, resume)
        members = train_bench(bench, quiet or json or not first_process())
    if not first_process():
        return
    if json:
        show_json(
            {
                "run": str(bench.run.folder),
                "members": [
                    {
                        "label": m.label,
                        "digest": m.digest,
                        "step": m.step,
                        "scores": dict(m.scores),
                    }
                    for m in members
                ],
            }
        )
        return
    members_table(members)
    for line in bench.run.log():
        if line.get("stopped"):
            err.print(
                f"{line['trajectory']} was stopped after epoch {line['epoch']}: the "
                "average had stopped getting better"
            )
    for trajectory, frozen in _frozen(bench).items():
        said = ", ".join(f"{name} after step {step}" for name, step in frozen.items())
        err.print(f"{trajectory}: frozen layers: {said}", soft_wrap=True)
    err.print(f"next: dale evaluate {quote(str(bench.run.folder))}", soft_wrap=True)


def _frozen(bench: "Workbench") -> dict[str, dict[str, int]]:
    """The layers of each trajectory that were frozen, and when."""
    log = bench.run.log()
    return {r["trajectory"]: r["frozen"] for r in log if r.get("frozen")}


def train_bench(bench: "Workbench", quiet: bool) -> "list[Member]":
    """Train with progress."""
    from dale.cli.watching import watching

    recipe = bench.recipe
    trajectories = recipe.trajectories(bench.data.examples)
    steps = {trajectory.name: trajectory.steps for trajectory in trajectories}
    with stopping() as stop, watching(steps, stop, quiet) as watcher:
        return bench.train(watcher)


@contextmanager
def going_on(folder: Path) -> Iterator[None]:
    """Let a stop say how to go on, wherever it comes.

    Args:
        folder: Where the run is, or would be made.

    Yields:
        Nothing.

    Raises:
        Interrupted: Training was stopped, or what comes before it.
    """
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as stopped:
        said = str(stopped) or "stopped at once"
        if not (folder / "recipe.yaml").is_file():
            raise Interrupted(
                f"stopped before a run was made; nothing was lost: {folder} is made by "
                "the same command"
            ) from None
        how = f"go on with: dale train --resume {quote(str(folder))}"
        raise Interrupted(f"{said}; {how}") from None


def members_table(members: "list[Member]") -> None:
    """Print members with their validation scores."""
    rows = [
        [
            m.label,
            m.group,
            "–" if m.step is None else str(m.step),
            percent(m.scores.get("val_error")),
            number(m.scores.get("val_nll")),
            m.id,
        ]
        for m in members
    ]
    columns = ["member", "group", "step", "val error %", "val NLL", "digest"]
    table(f"{len(members)} members", columns, rows)


def _open(source: Path, run: Path | None, folder: Path, resume: bool) -> "Workbench":
    from dale.recipes import Workbench, start
    from dale.store import Run
    from dale.train import read_recipe

    if source.is_dir():
        if not resume:
            raise InputError(
                f"{source} is a folder; expected a recipe (add --resume to go on with "
                "a run)"
            )
        if run is not None:
            raise InputError(f"--resume goes on with {source}; leave out {run}")
        return Workbench(Run(source))
    if resume and not source.exists():
        raise InputError(f"{source} does not exist; expected a run or a recipe")
    recipe = read_recipe(source)
    if not resume and (folder / "recipe.yaml").exists():
        raise InputError(
            f"{folder} is a run already; add --resume to go on with it, or name "
            "another folder"
        )
    return start(recipe, folder, str(source))
