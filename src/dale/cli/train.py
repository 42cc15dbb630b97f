"""``dale train``: from a recipe to members."""

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

    bench = _open(source, run, resume)
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
    """Train with progress; a stop says how to go on."""
    from dale.cli.watching import watching

    recipe = bench.recipe
    trajectories = recipe.trajectories(bench.data.examples)
    steps = {trajectory.name: trajectory.steps for trajectory in trajectories}
    how = f"; go on with: dale train --resume {quote(str(bench.run.folder))}"
    try:
        with stopping() as stop, watching(steps, stop, quiet) as watcher:
            return bench.train(watcher)
    except Interrupted as stopped:
        raise Interrupted(f"{stopped}{how}") from None
    except KeyboardInterrupt:
        raise Interrupted(f"stopped at once{how}") from None


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


def _open(source: Path, run: Path | None, resume: bool) -> "Workbench":
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
    folder = run or Path("runs") / source.stem
    if not resume and (folder / "recipe.yaml").exists():
        raise InputError(
            f"{folder} is a run already; add --resume to go on with it, or name "
            "another folder"
        )
    return start(recipe, folder, str(source))
