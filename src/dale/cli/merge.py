"""``dale merge``: many networks, one network."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from dale.cli import app
from dale.cli.common import (
    JSON,
    count,
    number,
    out,
    percent,
    refuse_given,
    show_json,
    table,
)
from dale.cli.merge_config import is_config, merge_config

if TYPE_CHECKING:
    from dale.store import Member


@app.command()
def merge(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|CONFIG",
            help="A run, whose members are merged; or a configuration in the YAML of "
            "mergekit.",
            show_default=False,
        ),
    ],
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="OUT",
            help="Where the result of a configuration goes: a new folder.",
            show_default=False,
        ),
    ] = None,
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
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            help="Configurations: read headers only; say what is done, what it costs, "
            "and everything that is wrong.",
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option(help="Configurations: seed of methods that draw at random.")
    ] = 0,
    shard_size: Annotated[
        str, typer.Option(help="Configurations: the most bytes in one file.")
    ] = "5GB",
    json: JSON = False,
) -> None:
    """Merge members of a run into a new member, or models as a configuration says."""
    if is_config(source):
        options = {"--group": group, "--member": member, "--weight": weight}
        refuse_given(options | {"--name": name}, "is for the members of a run")
        merge_config(
            source,
            target,
            only_plan=plan,
            seed=seed,
            shard_size=shard_size,
            json=json,
        )
        return
    given = {"OUT": target, "--plan": plan, "--seed": seed}
    refuse_given(given, "is for configurations (.yml, .yaml), not for a run")
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
        Workbench(Run(source)),
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
    _show_decisions(made)
    out.print(
        f"{made.label}: mean of {count(len(made.parents), 'member')}, validation error "
        f"{percent(made.scores['val_error'])} %"
    )


def _show_decisions(made: "Member") -> None:
    rows = [
        [
            decision["label"],
            number(decision["score_alone"]),
            number(decision["score_with"]),
            "kept" if decision["kept"] else "left out",
            decision["reason"],
        ]
        for decision in made.details.get("decisions", [])
    ]
    if rows:
        columns = ["candidate", "alone", "in the soup", "", "why"]
        table(f"{made.details['score']} on validation examples", columns, rows)
