"""``dale evaluate``: everything in a run on the same terms."""

from collections.abc import Mapping
from shlex import quote
from typing import Annotated, Any

import typer

from dale.cli import app
from dale.cli.common import JSON, RUN, err, out, results_table, show_json


@app.command()
def evaluate(
    run: RUN,
    split: Annotated[str, typer.Option(help="Split to score.")] = "test",
    fit: Annotated[str, typer.Option(help="Split to fit temperatures on.")] = "val",
    json: JSON = False,
) -> None:
    """Score members, averages and ensembles; say which regime the run is in."""
    from dale.recipes import Workbench
    from dale.recipes import evaluate as evaluated
    from dale.store import Run

    bench = Workbench(Run(run))
    found = evaluated(bench, fit=fit, score=split)
    if json:
        show_json(found)
        return
    results_table(found["rows"], split, fit)
    for entry in found["disagreement"]:
        out.print(
            f"{entry['group']}: members disagree on {100 * entry['mean']:.2f} % of "
            f"{split}"
        )
    show_verdict(found["verdict"])
    err.print(f"next: dale report {quote(str(run))}", soft_wrap=True)


def show_verdict(verdict: Mapping[str, Any]) -> None:
    """Print the regime, what it rests on and what it means."""
    out.print()
    out.print(f"{verdict['regime']} — {verdict['headline']}", style="bold")
    for reason in verdict["reasons"]:
        out.print(f"  · {reason}")
    out.print(f"  {verdict['advice']}")
