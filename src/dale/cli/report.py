"""``dale report``: one page to read, offline."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dale.cli import app
from dale.cli.common import JSON, RUN, out, show_json

if TYPE_CHECKING:
    from dale.recipes import Workbench


@app.command()
def report(
    run: RUN,
    output: Annotated[
        Path | None,
        typer.Option(help="Where to write it [RUN/report].", show_default=False),
    ] = None,
    json: JSON = False,
) -> None:
    """Write a page with every picture and table; it opens without a network."""
    from dale.recipes import Workbench
    from dale.store import Run

    path = write_report(Workbench(Run(run)), output)
    if json:
        show_json({"report": str(path), "document": str(path.with_name("report.json"))})
        return
    out.print(f"report: {path}", soft_wrap=True)


def write_report(bench: "Workbench", output: Path | None = None) -> Path:
    """Render a run's report and put the document beside it."""
    import json

    from dale.files import write_together
    from dale.report import gather, render
    from dale.store import finite

    evaluation = bench.run.read_result("evaluation")
    examples = bench.data.examples
    document = finite(gather(bench.run, bench.recipe, examples, evaluation))
    folder = output or bench.run.folder / "report"
    page = folder / "index.html"
    numbers = json.dumps(document, indent=1) + "\n"
    write_together({folder / "report.json": numbers, page: render(document)})
    return page
