"""``dale diagnose``: what gradients and curvature at a member say."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dale.cli import app
from dale.cli.common import JSON, check_page, draw_page, out, show_json, table
from dale.errors import InputError


@app.command("diagnose")
def diagnose(
    run: Annotated[Path, typer.Argument(help="A run.", show_default=False)],
    member: Annotated[
        str | None,
        typer.Option(help="Label of the member [the last].", show_default=False),
    ] = None,
    batches: Annotated[
        str | None,
        typer.Option(
            help="Batch sizes, such as 8,32,128 [powers of two].", show_default=False
        ),
    ] = None,
    draws: Annotated[
        int, typer.Option(help="Batches of each size, and changes of the weights.")
    ] = 20,
    examples: Annotated[
        int, typer.Option(help="Training examples that are used, at most.")
    ] = 1024,
    steps: Annotated[int, typer.Option(help="Products with the Hessian.")] = 20,
    ergodicity: Annotated[
        bool,
        typer.Option(
            help="Compare runs over time with independent networks instead.",
        ),
    ] = False,
    draw: Annotated[
        Path | None,
        typer.Option(
            help="Where to draw noise against batch size: one HTML page.",
            show_default=False,
        ),
    ] = None,
    json: JSON = False,
) -> None:
    """Measure gradient noise, curvature and sharpness at a member of a run."""
    from dale.recipes import Workbench, compare_averages
    from dale.recipes import diagnose as measured
    from dale.store import Run

    check_page(draw)
    sizes, bench = _sizes(batches), Workbench(Run(run))
    if ergodicity:
        compared = compare_averages(bench)
        if draw is not None:
            title = f"time and ensemble averages of {run.name}"
            draw_page(draw, {"title": title, "ergodicity": compared})
        show_json(compared) if json else _compare(compared)
        return
    found = measured(
        bench,
        member,
        batches=sizes,
        draws=draws,
        examples=examples,
        steps=steps,
    )
    if draw is not None:
        draw_page(draw, {"title": f"diagnosis of {run.name}", "diagnosis": found})
    if json:
        show_json(found)
        return
    _show(found)
    if draw is not None:
        out.print(f"drawn: {draw}")


def _compare(found: dict[str, Any]) -> None:
    rows = [
        [
            entry["group"],
            str(entry["networks"]),
            _interval(entry["gain"]),
            _interval(entry["disagreement"]),
            _figure(entry["equivalent"]),
        ]
        for entry in found["groups"]
    ]
    columns = ["group", "networks", "gain %", "disagreement %", "worth"]
    title = (
        f"Against as many {found['independent']['group']} networks on "
        f"{found['split']} (100 %: the same)"
    )
    table(title, columns, rows)
    out.print("95 % intervals over the examples; worth: independent networks")


def _interval(ratio: dict[str, float | None]) -> str:
    value, low, high = (
        "–" if ratio[name] is None else f"{100 * (ratio[name] or 0.0):.0f}"
        for name in ("value", "low", "high")
    )
    return f"{value} ({low} to {high})"


def _sizes(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"--batches is {text!r}; expected whole numbers with commas, such as "
            "8,32,128"
        ) from None


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _show(found: dict[str, Any]) -> None:
    noise, curvature = found["noise"], found["curvature"]
    rows = [
        [str(size), f"{variance:.4g}", _figure(bias)]
        for size, variance, bias in zip(
            noise["batches"], noise["variances"], noise["biases"], strict=True
        )
    ]
    title = f"Gradient of {found['member']} on {found['examples']} training examples"
    table(title, ["batch", "variance", "bias (1 is none)"], rows)
    out.print(
        f"variance falls with the batch to the power {_figure(noise['exponent'])} "
        "(−1 in theory)"
    )
    out.print(
        f"noise scale {_figure(noise['noise_scale'])}: the batch at which noise and "
        "gradient are equally large"
    )
    values, off = curvature["values"], curvature["residuals"]
    out.print(
        f"top Hessian eigenvalue {values[0]:.4g} (± {off[0]:.2g}), lowest seen "
        f"{values[-1]:.4g}"
    )
    shaken = found["perturbation"]
    out.print(
        f"loss {shaken['loss']:.4g} rises by {shaken['rise']:.4g} "
        f"(± {shaken['standard_error']:.2g}) when the weights are shaken by "
        f"{100 * shaken['scale']:g} %"
    )
