"""``dale demo``: the main job, end to end, on data that come with dale."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from dale.cli import app
from dale.cli.common import JSON, err, out, results_table, show_json


@app.command()
def demo(
    run: Annotated[Path, typer.Argument(help="The run folder to make.")] = Path(
        "runs/demo"
    ),
    json: JSON = False,
) -> None:
    """Train, fuse, calibrate and report on scikit-learn's digits."""
    from dale.cli.evaluate import show_verdict
    from dale.cli.report import write_report
    from dale.cli.train import going_on, train_bench
    from dale.recipes import EDITOR_LINE, evaluate, fuse, start

    recipe = files("dale.recipes").joinpath("demo.yaml").read_text(encoding="utf-8")
    with going_on(run):
        bench = start(EDITOR_LINE + recipe, run, "the demo's recipe")
        if not json:
            err.print(f"recipe: {bench.run.recipe_path}", soft_wrap=True)
        train_bench(bench, quiet=json)
    for method in ("uniform", "greedy_soup"):
        fuse(bench, method)
    found = evaluate(bench)
    page = write_report(bench)
    if json:
        show_json({**found, "run": str(run), "report": str(page)})
        return
    results_table(found["rows"], found["split"], found["fitted_on"])
    show_verdict(found["verdict"])
    out.print()
    out.print(f"recipe: {bench.run.recipe_path}", soft_wrap=True)
    out.print(f"report: {page.resolve()}", soft_wrap=True)
