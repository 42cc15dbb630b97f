"""``dale evaluate``: everything in a run on the same terms."""

from collections.abc import Mapping
from shlex import quote
from typing import Annotated, Any

import typer

from dale.cli import app
from dale.cli.common import (
    JSON,
    RUN,
    err,
    number,
    out,
    percent,
    results_table,
    show_json,
    table,
)


@app.command()
def evaluate(
    run: RUN,
    split: Annotated[str, typer.Option(help="Split to score.")] = "test",
    fit: Annotated[str, typer.Option(help="Split to fit temperatures on.")] = "val",
    drift: Annotated[
        bool, typer.Option("--drift", help="On corrupted images too, by severity.")
    ] = False,
    json: JSON = False,
) -> None:
    """Score members, averages and ensembles; say which regime the run is in."""
    from dale.recipes import Workbench
    from dale.recipes import evaluate as evaluated
    from dale.store import Run

    bench = Workbench(Run(run))
    found = evaluated(bench, fit=fit, score=split)
    drifted = _drifted(bench, fit, split, quiet=json) if drift else None
    if json:
        show_json(found if drifted is None else {**found, "drift": drifted})
        return
    results_table(found["rows"], split, fit)
    for entry in found["disagreement"]:
        out.print(
            f"{entry['group']}: members disagree on {100 * entry['mean']:.2f} % of "
            f"{split}"
        )
    if drifted is not None:
        _show_drift(drifted)
    show_verdict(found["verdict"])
    err.print(f"next: dale report {quote(str(run))}", soft_wrap=True)


def show_verdict(verdict: Mapping[str, Any]) -> None:
    """Print the regime, what it rests on and what it means."""
    out.print()
    out.print(f"{verdict['regime']} — {verdict['headline']}", style="bold")
    for reason in verdict["reasons"]:
        out.print(f"  · {reason}")
    out.print(f"  {verdict['advice']}")


def _drifted(bench: Any, fit: str, split: str, quiet: bool) -> dict[str, Any]:
    """Judge everything on corrupted images, with a bar on a terminal."""
    from rich.progress import Progress

    from dale.recipes import drift

    with Progress(console=err, transient=True, disable=quiet) as bar:
        task = bar.add_task("corrupting")

        def watch(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        return drift(bench, fit=fit, score=split, watch=watch)


def _show_drift(found: Mapping[str, Any]) -> None:
    """Error and calibrated NLL and ECE by severity."""
    severities = found["severities"]
    n, kinds = found["n"], len(found["corruptions"])
    for title, measure, show in (
        ("error %", "error", percent),
        ("NLL after T", "nll_calibrated", number),
        ("ECE % after T", "ece_calibrated", percent),
    ):
        columns = [f"{title} by severity", *("clean", *map(str, severities[1:]))]
        cells = [
            [row["name"], *(show(at[measure]) for at in row["by_severity"])]
            for row in found["rows"]
        ]
        what = f"{found['split']}, {n} examples, mean of {kinds} corruptions"
        table(f"{what}; T fitted on clean {found['fitted_on']}", columns, cells)
