"""``dale show``: what is in a run, a member or the recipe format."""

from pathlib import Path
from typing import Annotated

import typer

from dale.cli import app
from dale.cli.common import JSON, folds_table, out, show_json, table


@app.command()
def show(
    run: Annotated[
        Path | None, typer.Argument(help="The run folder.", show_default=False)
    ] = None,
    member: Annotated[
        str | None,
        typer.Argument(help="A member's label or digest.", show_default=False),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of recipes.")
    ] = False,
    json: JSON = False,
) -> None:
    """List a run's members, or one member's tensors."""
    from dale.errors import InputError

    if schema:
        from dale.train import recipe_schema

        show_json(recipe_schema())
        return
    if run is None:
        raise InputError("name a run folder, or give --schema")
    if member is None:
        _show_run(run, json)
    else:
        _show_member(run, member, json)


def _show_run(folder: Path, json: bool) -> None:
    from dataclasses import asdict

    from dale.cli.train import members_table
    from dale.store import Run

    run = Run(folder)
    members = list(run.population)
    folds = run.read_result("cross_validation")
    if json:
        found = {"run": str(folder), "members": [asdict(m) for m in members]}
        show_json(found if folds is None else {**found, "cross_validation": folds})
        return
    members_table(members)
    if folds is not None:
        folds_table(folds)
    log = run.log()
    out.print(f"{len(log)} epochs in the log · recipe {run.recipe_digest[:12]}")


def _show_member(folder: Path, name: str, json: bool) -> None:
    from dataclasses import asdict

    from dale.store import Run
    from dale.weights import layout_of_weights

    run = Run(folder)
    member = run.population.find(name)
    layout = layout_of_weights(run.population.weights(member))
    rows = [
        [key, " × ".join(map(str, e.shape)) or "scalar", str(e.dtype)[6:], e.role]
        for key, e in layout.items()
    ]
    if json:
        entries = [
            dict(zip(("name", "shape", "dtype", "role"), r, strict=True)) for r in rows
        ]
        show_json({**asdict(member), "tensors": entries})
        return
    table(
        f"{member.label} · {member.how} · {member.digest[:16]}",
        ["tensor", "shape", "type", "role"],
        rows,
    )
    if member.parents:
        out.print(f"made from {', '.join(member.parents)}")
