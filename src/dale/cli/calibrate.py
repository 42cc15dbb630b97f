"""``dale calibrate``: make confidences honest."""

from typing import Annotated

import typer

from dale.cli import app
from dale.cli.common import JSON, RUN, number, percent, show_json, table


@app.command()
def calibrate(
    run: RUN,
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="A predictor's name in the table, or a member; may be repeated.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[str, typer.Option(help="How to calibrate.")] = "temperature",
    fit: Annotated[str, typer.Option(help="Split to fit on.")] = "val",
    split: Annotated[str, typer.Option(help="Split to score.")] = "test",
    cross_fit: Annotated[
        bool, typer.Option("--cross-fit", help="Fit and score on folds of the split.")
    ] = False,
    json: JSON = False,
) -> None:
    """Fit a calibrator on one split and score it on another."""
    from dale.errors import LeakageError
    from dale.recipes import Workbench
    from dale.recipes import calibrate as calibrated
    from dale.store import Run

    try:
        records = calibrated(
            Workbench(Run(run)),
            names=name,
            method=method,
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
            number(record["nll"]),
            number(record["nll_calibrated"]),
            percent(record["ece"]),
            percent(record["ece_calibrated"]),
        ]
        for record in records
    ]
    where = f"folds of {split}" if cross_fit else f"{fit}, scored on {split}"
    columns = ["", method, "NLL", "NLL after", "ECE %", "ECE % after"]
    table(f"fitted on {where}", columns, rows)


def _fitted(record: dict) -> str:  # type: ignore[type-arg]
    value = record["tensors"].get("temperature")
    if isinstance(value, list):
        value = value[0] if value else None
    return number(value, 3) if value is not None else record["method"]
