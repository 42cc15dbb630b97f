"""``dale merge``: many members, one network."""

from typing import Annotated

import typer

from dale.cli import app
from dale.cli.common import JSON, RUN, show_json
from dale.cli.merge_run import show_made


@app.command()
def merge(
    run: RUN,
    method: Annotated[
        str,
        typer.Option(
            help="greedy_soup, uniform, regmean, ties, ...; an unknown one lists all."
        ),
    ] = "greedy_soup",
    group: Annotated[
        str | None,
        typer.Option(help="Strategy whose members to merge.", show_default=False),
    ] = None,
    member: Annotated[
        list[str] | None,
        typer.Option(help="Merge these members; may be repeated.", show_default=False),
    ] = None,
    weight: Annotated[
        list[float] | None,
        typer.Option(help="One for each member (weighted).", show_default=False),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            help="Member that the others come from, for methods with a base.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting of the method; may be repeated.",
            show_default=False,
        ),
    ] = None,
    scan: Annotated[
        str | None,
        typer.Option(
            metavar="KEY=V,V,...",
            help="A setting to be chosen by the score, and its candidates.",
            show_default=False,
        ),
    ] = None,
    score: Annotated[
        str, typer.Option(help="What is climbed on: accuracy or nll.")
    ] = "accuracy",
    name: Annotated[
        str | None, typer.Option(help="Label of the new member.", show_default=False)
    ] = None,
    json: JSON = False,
) -> None:
    """Merge members into one network and add it to the run."""
    from dale.recipes import Workbench, fuse
    from dale.recipes.fusion import numbers, read
    from dale.store import Run

    made = fuse(
        Workbench(Run(run)),
        method,
        group=group,
        labels=member,
        weights=weight,
        score=score,
        name=name,
        base=base,
        settings=read(settings or []),
        scan=None if scan is None else numbers(scan),
    )
    if json:
        show_json(
            {
                "label": made.label,
                "digest": made.digest,
                "parents": list(made.parents),
                "scores": dict(made.scores),
                "details": dict(made.details),
            }
        )
        return
    show_made(made)
