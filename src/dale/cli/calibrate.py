"""``dale calibrate``: make confidences honest."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dale.cli import app
from dale.cli.common import (
    JSON,
    RUN_OR_LOGITS,
    err,
    number,
    out,
    percent,
    refuse_given,
    show_json,
    table,
)
from dale.cli.scores import SCORES


@app.command()
def calibrate(
    run: RUN_OR_LOGITS,
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="A predictor's name in the table, or a member; may be repeated.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        str, typer.Option(help="How to calibrate; auto: by cross-fitted NLL.")
    ] = "temperature",
    order: Annotated[
        str,
        typer.Option(
            help="For ensembles: pool-first, members-first, members-and-pool, joint "
            "or auto."
        ),
    ] = "pool-first",
    fit: Annotated[str, typer.Option(help="Split to fit on.")] = "val",
    split: Annotated[str, typer.Option(help="Split to score.")] = "test",
    cross_fit: Annotated[
        bool, typer.Option("--cross-fit", help="Fit and score on folds of the split.")
    ] = False,
    score: Annotated[
        Path | None,
        typer.Option(
            help="For a file: another file to score [folds of the first].",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="For a file: where to write the calibrator.", show_default=False
        ),
    ] = None,
    json: JSON = False,
) -> None:
    """Fit a calibrator on one split and score it on another."""
    from dale.data import is_logits_file
    from dale.errors import LeakageError

    if is_logits_file(run):
        given = {
            "--name": name,
            "--cross-fit": cross_fit,
            "--fit": fit != "val",
            "--split": split != "test",
        }
        refuse_given(given, f"is for runs; {run} is a file of logits")
        _file(run, score, output, method, order, json)
        return
    given = {"--score": score, "--output": output}
    refuse_given(given, f"is for files of logits; {run} is no such file")
    from dale.recipes import Workbench
    from dale.recipes import calibrate as calibrated
    from dale.store import Run

    try:
        records = calibrated(
            Workbench(Run(run)),
            names=name,
            method=method,
            order=order,
            fit=fit,
            score=split,
            cross_fitted=cross_fit,
        )
    except LeakageError as error:
        raise LeakageError(f"{error}, or add --cross-fit") from None
    if json:
        show_json(records)
        return
    rows = [
        [
            record["name"],
            _fitted(record),
            _with_interval(record, "nll", number),
            _with_interval(record, "nll_calibrated", number),
            _with_interval(record, "ece", percent),
            _with_interval(record, "ece_calibrated", percent),
        ]
        for record in records
    ]
    where = f"folds of {split}" if cross_fit else f"{fit}, scored on {split}"
    columns = ["", "fitted", "NLL", "NLL after", "ECE %", "ECE % after"]
    table(f"fitted on {where}; 95 % intervals over examples", columns, rows)


def _fitted(record: dict[str, Any]) -> str:
    """The temperature where there is one alone, else what was fitted."""
    ways = [record["method"]]
    if record["order"] is not None:
        ways.append(record["order"])
    tensors = record["tensors"]
    names = [key for key in tensors if key.endswith("temperature")]
    if record["method"] == "temperature" and len(names) == 1:
        ways[0] = f"T {number(tensors[names[0]][0], 3)}"
    return " ".join(ways)


def _with_interval(record: dict[str, Any], key: str, show: Any) -> str:
    ends = record.get(f"{key}_interval")
    text = show(record[key])
    return text if ends is None else f"{text} [{show(ends[0])}, {show(ends[1])}]"


def _file(
    path: Path,
    score: Path | None,
    output: Path | None,
    method: str,
    order: str,
    json: bool,
) -> None:
    """Calibrate the logits in a file."""
    from shlex import quote

    from dale.data import read_logits
    from dale.errors import LeakageError
    from dale.recipes import calibrate_logits, check_output, save_calibrator

    if output is not None:
        check_output(output, (path, score), (".safetensors",))
    fit = read_logits(path)
    held = None if score is None else read_logits(score)
    try:
        record, fitted = calibrate_logits(fit, held, method=method, order=order)
    except LeakageError as error:
        raise LeakageError(f"{error}: leave out --score") from None
    if output is not None:
        save_calibrator(output, fitted, fit)
        record["calibrator"] = str(output)
    if json:
        show_json(record)
        return
    for candidate in record["candidates"]:
        way = candidate["method"]
        if record["order"] is not None:
            way += f", {candidate['order']}"
        out.print(f"cross-fitted NLL {number(candidate['nll'])}  {way}")
    out.print(record["describe"], soft_wrap=True)
    where = f"folds of {path}" if score is None else str(score)
    cells = []
    for key, title, show in SCORES:
        before, after = record["before"], record["after"]
        cells.append(
            [title, *(_with_interval(scores, key, show) for scores in (before, after))]
        )
    title = f"{where}, {record['n']} examples; 95 % intervals over examples"
    table(title, ["", "before", "after"], cells)
    if output is not None:
        err.print(
            f"next: dale evaluate OTHER{path.suffix} --apply {quote(str(output))}",
            soft_wrap=True,
        )
