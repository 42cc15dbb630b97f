"""``dale ensemble``: many members, one predictor."""

from typing import Annotated

import typer

from dale.cli import app
from dale.cli.common import JSON, RUN, out, results_table, show_json


@app.command()
def ensemble(
    run: RUN,
    group: Annotated[
        str | None,
        typer.Option(help="Strategy whose members to pool.", show_default=False),
    ] = None,
    member: Annotated[
        list[str] | None,
        typer.Option(help="Pool these members; may be repeated.", show_default=False),
    ] = None,
    combine: Annotated[
        str, typer.Option(help="How predictions are pooled.")
    ] = "mean_probability",
    weight: Annotated[
        list[float] | None,
        typer.Option(help="One for each member; may be repeated.", show_default=False),
    ] = None,
    choose: Annotated[
        str, typer.Option(help="all, or greedy on validation examples.")
    ] = "all",
    size: Annotated[
        int, typer.Option(min=1, help="Additions the greedy choice may make.")
    ] = 50,
    split: Annotated[str, typer.Option(help="Split to score.")] = "test",
    name: Annotated[
        str | None, typer.Option(help="Name in tables.", show_default=False)
    ] = None,
    json: JSON = False,
) -> None:
    """Pool members' predictions, score the pool and remember it."""
    from dale.errors import InputError
    from dale.recipes import Workbench, pool
    from dale.store import Run

    if choose not in ("all", "greedy"):
        raise InputError(f"--choose is {choose!r}; expected all or greedy")
    bench = Workbench(Run(run))
    row = pool(
        bench,
        group=group,
        labels=member,
        combine=combine,
        weights=weight,
        choose=choose,
        size=size,
        score=split,
        name=name,
    )
    if json:
        show_json(row)
        return
    results_table([row], split, "val")
    out.print(f"members: {', '.join(row['labels'])}")
