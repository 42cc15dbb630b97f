"""``dale evaluate``: everything in a run on the same terms."""

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from dale.cli import app
from dale.cli.common import (
    JSON,
    RUN_OR_LOGITS,
    err,
    folds_table,
    number,
    out,
    percent,
    refuse_given,
    results_table,
    show_json,
    table,
)
from dale.cli.scores import SCORES


@app.command()
def evaluate(
    run: RUN_OR_LOGITS,
    split: Annotated[str, typer.Option(help="Split to score.")] = "test",
    fit: Annotated[str, typer.Option(help="Split to fit temperatures on.")] = "val",
    drift: Annotated[
        bool, typer.Option("--drift", help="On corrupted images too, by severity.")
    ] = False,
    apply: Annotated[
        Path | None,
        typer.Option(
            help="For a file: a calibrator from dale calibrate.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="For a file: where to write the calibrated logits.",
            show_default=False,
        ),
    ] = None,
    json: JSON = False,
) -> None:
    """Score members, averages and ensembles; say which regime the run is in."""
    from dale.data import is_logits_file

    if is_logits_file(run):
        given = {"--drift": drift, "--fit": fit != "val", "--split": split != "test"}
        refuse_given(given, f"is for runs; {run} is a file of logits")
        _file(run, apply, output, json)
        return
    given = {"--apply": apply, "--output": output}
    refuse_given(given, f"is for files of logits; {run} is no such file")
    from dale.recipes import Workbench, cross_validate
    from dale.recipes import evaluate as evaluated
    from dale.store import Run

    bench = Workbench(Run(run))
    found = evaluated(bench, fit=fit, score=split)
    folds = None if bench.recipe.folds is None else cross_validate(bench, fit=fit)
    drifted = _drifted(bench, fit, split, quiet=json) if drift else None
    if json:
        more = {"cross_validation": folds, "drift": drifted}
        show_json({**found, **{k: v for k, v in more.items() if v is not None}})
        return
    results_table(found["rows"], split, fit)
    if folds is not None:
        folds_table(folds)
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


def _file(path: Path, apply: Path | None, output: Path | None, json: bool) -> None:
    """Score the logits in a file, calibrated if asked."""
    from dale.data import read_logits, write_logits
    from dale.recipes import (
        calibrated_logits,
        check_output,
        evaluate_logits,
        read_calibrator,
    )
    from dale.recipes.logits import pooled

    if output is not None:
        check_output(output, (path, apply), (".npz", ".safetensors"))
    logits = read_logits(path)
    calibrator = None
    if apply is not None:
        # without targets nothing is scored, and nothing can leak
        scored = None if logits.targets_N is None else logits
        calibrator = read_calibrator(apply, scored)
    if output is not None:
        made = pooled(logits)
        if calibrator is not None:
            made = calibrated_logits(calibrator, logits)
        write_logits(output, made, logits.targets_N)
        if logits.targets_N is None:
            out.print(f"{output}: {len(made)} examples, no targets to score")
            return
    found = evaluate_logits(logits, calibrator)
    if json:
        show_json(found)
        return
    if found["calibrated"] is not None:
        out.print(found["calibrated"], soft_wrap=True)
    cells = []
    for key, title, show in SCORES:
        ends = found.get(f"{key}_interval")
        span = "" if ends is None else " to ".join(map(show, ends))
        cells.append([title, show(found[key]), span])
    table(f"{path}, {found['n']} examples", ["", "score", "95 % interval"], cells)
    _show_reliability(found["reliability"])


def _show_reliability(found: Mapping[str, Any]) -> None:
    """One line for each bin that holds examples."""
    bins = zip(
        found["confidence"],
        found["accuracy"],
        found["intervals"],
        found["counts"],
        strict=True,
    )
    cells = [
        [percent(sure), percent(right), " to ".join(map(percent, ends)), str(count)]
        for sure, right, ends, count in bins
        if right is not None
    ]
    columns = ["says %", "is right %", "95 % interval", "examples"]
    table("confidence against accuracy", columns, cells)


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
