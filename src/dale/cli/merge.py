"""``dale merge``: many networks, one network."""

from pathlib import Path
from typing import Annotated

import typer

from dale.cli import app
from dale.cli.common import JSON, refuse_given
from dale.cli.merge_config import is_config, merge_config
from dale.cli.merge_run import merge_run


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
    no_check: Annotated[
        bool,
        typer.Option(
            "--no-check", help="Leave out the page on whether the merge is sound."
        ),
    ] = False,
    sync: Annotated[
        bool,
        typer.Option(
            help="Configurations: wait until the result is on the disk, so that it "
            "survives a power cut."
        ),
    ] = False,
    json: JSON = False,
) -> None:
    """Merge members of a run into a new member, or models as a configuration says."""
    if is_config(source):
        options = {
            "--method": method if method != "greedy_soup" else None,
            "--score": score if score != "accuracy" else None,
            "--group": group,
            "--member": member,
            "--weight": weight,
            "--base": base,
            "--set": settings,
            "--scan": scan,
            "--name": name,
        }
        refuse_given(options, "is for the members of a run")
        merge_config(
            source,
            target,
            only_plan=plan,
            seed=seed,
            shard_size=shard_size,
            check=not no_check,
            sync=sync,
            json=json,
        )
        return
    given = {"OUT": target, "--plan": plan, "--seed": seed, "--sync": sync}
    refuse_given(given, "is for configurations (.yml, .yaml), not for a run")
    merge_run(
        source,
        method,
        settings=settings,
        scan=scan,
        check=not no_check,
        json=json,
        group=group,
        labels=member,
        weights=weight,
        score=score,
        name=name,
        base=base,
    )
