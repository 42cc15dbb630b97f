"""``dale merge``: many members, one network."""

from typing import Annotated, get_args

import typer

from dale.cli import app
from dale.cli.common import JSON, RUN, count, number, out, percent, show_json, table


@app.command()
def merge(
    run: RUN,
    method: Annotated[
        str, typer.Option(help="uniform, weighted or greedy_soup.")
    ] = "greedy_soup",
    group: Annotated[
        str | None,
        typer.Option(help="Strategy whose members to average.", show_default=False),
    ] = None,
    member: Annotated[
        list[str] | None,
        typer.Option(
            help="Average these members; may be repeated.", show_default=False
        ),
    ] = None,
    weight: Annotated[
        list[float] | None,
        typer.Option(help="One for each member (weighted).", show_default=False),
    ] = None,
    score: Annotated[
        str, typer.Option(help="What a greedy soup climbs on: accuracy or nll.")
    ] = "accuracy",
    name: Annotated[
        str | None, typer.Option(help="Label of the new member.", show_default=False)
    ] = None,
    json: JSON = False,
) -> None:
    """Average members into one network and add it to the run."""
    from dale.errors import InputError, nearest
    from dale.merge import METHODS
    from dale.recipes import Workbench, fuse
    from dale.recipes.fusion import SCORES, Method
    from dale.store import Run

    known = get_args(Method)
    if method in METHODS and method not in known:
        raise InputError(
            f"method {method!r} works on files, in Python, not on the members of a "
            f"run; known: {', '.join(known)}"
        )
    if method not in known:
        raise InputError(f"unknown method {method!r}; {nearest(method, known)}")
    if score not in SCORES:
        raise InputError(f"unknown score {score!r}; {nearest(score, SCORES)}")
    made = fuse(
        Workbench(Run(run)),
        method,  # type: ignore[arg-type]
        group=group,
        labels=member,
        weights=weight,
        score=score,  # type: ignore[arg-type]
        name=name,
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
    decisions = made.details.get("decisions", [])
    if decisions:
        rows = [
            [
                d["label"],
                number(d["score_alone"]),
                number(d["score_with"]),
                "kept" if d["kept"] else "left out",
                d["reason"],
            ]
            for d in decisions
        ]
        columns = ["candidate", "alone", "in the soup", "", "why"]
        climbed = made.details["score"]
        table(f"{climbed} on validation examples", columns, rows)
    out.print(
        f"{made.label}: mean of {count(len(made.parents), 'member')}, validation error "
        f"{percent(made.scores['val_error'])} %"
    )
