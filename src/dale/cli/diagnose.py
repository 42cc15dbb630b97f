"""``dale diagnose``: what gradients, curvature and the members themselves say."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dale.cli import app
from dale.cli.common import (
    JSON,
    check_page,
    count,
    draw_page,
    out,
    show_json,
    stopping,
    table,
)
from dale.errors import InputError, Interrupted

if TYPE_CHECKING:
    from dale.train import Progress, Watcher

_SHARES = ("disagreement", "error", "pooled_error")


@app.command("diagnose")
def diagnose(
    run: Annotated[
        Path,
        typer.Argument(help="A run, or with --sweep a recipe.", show_default=False),
    ],
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
    sweep: Annotated[
        str | None,
        typer.Option(
            help="Train snapshots at these peak rates, such as 0.03,0.1,0.3, and map "
            "how much they differ instead.",
            show_default=False,
        ),
    ] = None,
    cycles: Annotated[
        str, typer.Option(help="Numbers of cycles of a sweep.")
    ] = "2,4,8",
    seeds: Annotated[int, typer.Option(help="Seeds of a sweep.")] = 3,
    draw: Annotated[
        Path | None,
        typer.Option(
            help="Where to draw what was measured: one HTML page.",
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
    if sweep is not None:
        swept = _swept(run, sweep, cycles, seeds, json)
        if draw is not None:
            draw_page(draw, {"title": f"sweep of {run.name}", "diversity": swept})
        show_json(swept) if json else _map(swept)
        if draw is not None and not json:
            out.print(f"drawn: {draw}")
        return
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


def _sizes(text: str | None, option: str = "--batches") -> tuple[int, ...]:
    if text is None:
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"{option} is {text!r}; expected whole numbers with commas, such as "
            "8,32,128"
        ) from None


def _rates(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"--sweep is {text!r}; expected rates with commas, such as 0.03,0.1,0.3"
        ) from None


def _swept(
    source: Path, peaks: str, cycles: str, seeds: int, quiet: bool
) -> dict[str, Any]:
    """A sweep of a run's recipe, or of one in a file."""
    from dale.cli.watching import watching
    from dale.recipes import Workbench, load_data, sweep, sweep_run
    from dale.store import Run
    from dale.train import Watcher, load_recipe

    rates, counts = _rates(peaks), _sizes(cycles, "--cycles")
    bench = Workbench(Run(source)) if source.is_dir() else None
    recipe = bench.recipe if bench else load_recipe(source)
    data = bench.data if bench else load_data(recipe)
    each = recipe.budget(data.examples).steps
    steps = {"sweep": seeds * len(rates) * len(counts) * each}
    try:
        with stopping() as stop, watching(steps, stop, quiet) as watcher:

            def watch(name: str) -> Watcher:
                return _named(watcher, name)

            if bench is not None:
                return sweep_run(bench, rates, counts, seeds=seeds, watch=watch)
            folder = Path("runs") / f"{source.stem}-sweep"
            return sweep(
                recipe, folder, rates, counts, seeds=seeds, data=data, watch=watch
            )
    except Interrupted as stopped:
        raise Interrupted(f"{stopped}; go on with the same command") from None


def _named(watcher: "Watcher", name: str) -> "Watcher":
    """Progress and remarks under the name of a run; its members are too many."""

    def progress(point: "Progress") -> None:
        trajectory = f"{name}: {point.trajectory}"
        watcher.progress(replace(point, trajectory=trajectory))

    return replace(
        watcher,
        progress=progress,
        member=lambda member: None,
        say=lambda line: watcher.say(f"{name}: {line}"),
    )


def _map(found: dict[str, Any]) -> None:
    rows = [
        [
            f"{cell['peak']:g}",
            str(cell["cycles"]),
            f"{cell['length']:.3g}",
            *(_spread(cell[name], 100) for name in _SHARES),
            _spread(cell["gain"], 1, 4),
        ]
        for cell in found["cells"]
    ]
    columns = ["peak", "cycles", "T, epochs", "disagreement %", "error %"]
    title = (
        f"Snapshots of {found['epochs']} epochs on {found['split']}, "
        f"{count(len(found['seeds']), 'seed')}"
    )
    table(title, [*columns, "error of pool %", "gain, NLL"], rows)


def _spread(measure: dict[str, Any], factor: float, places: int = 2) -> str:
    if measure["mean"] is None:
        return "–"
    shown = f"{factor * measure['mean']:.{places}f}"
    spread = measure["sd"]
    return shown if spread is None else f"{shown} ± {factor * spread:.{places}f}"


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
