"""``dale range``: which learning rates a recipe can be trained with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dale.cli import app
from dale.cli.common import JSON, check_page, draw_page, out, show_json, table

if TYPE_CHECKING:
    from dale.train import RangeTest

_ROWS = 16


@app.command("range")
def range_test(
    recipe: Annotated[Path, typer.Argument(help="A recipe.", show_default=False)],
    first: Annotated[float, typer.Option(help="Smallest rate.")] = 1e-5,
    last: Annotated[float, typer.Option(help="Largest rate.")] = 10.0,
    steps: Annotated[int, typer.Option(help="Updates at most.")] = 200,
    draw: Annotated[
        Path | None,
        typer.Option(
            help="Where to draw loss against rate: one HTML page.", show_default=False
        ),
    ] = None,
    json: JSON = False,
) -> None:
    """Test which learning rates a recipe can be trained with; keep nothing."""
    from dale.recipes import load_data
    from dale.train import load_recipe
    from dale.train import range_test as tested

    check_page(draw)
    parsed = load_recipe(recipe)
    found = tested(parsed, load_data(parsed), first=first, last=last, steps=steps)
    if draw is not None:
        title = f"range test of {recipe.name}"
        draw_page(draw, {"title": title, "range_test": found.to_dict()})
    if json:
        show_json(found.to_dict())
        return
    _show(found)
    if draw is not None:
        out.print(f"drawn: {draw}")


def _show(found: "RangeTest") -> None:
    count = len(found.rates)
    places = sorted({(count - 1) * row // (_ROWS - 1) for row in range(_ROWS)})
    low, high = min(found.smoothed), max(found.smoothed)
    rows = []
    for place in places:
        loss = found.smoothed[place]
        share = (loss - low) / (high - low) if high > low else 0.0
        rows.append(
            [f"{found.rates[place]:.2g}", f"{loss:.4f}", "█" * round(30 * share)]
        )
    table("Smoothed training loss", ["rate", "loss", "above the lowest"], rows)
    out.print(_words(found))


def _words(found: "RangeTest") -> str:
    if found.suggested is None:
        return "the loss never fell: try a smaller --first, or more --steps"
    text = (
        f"suggested peak {found.suggested:.2g}: a tenth of {found.lowest:.2g}, where "
        f"the loss is lowest; it falls fastest at {found.steepest:.2g}"
    )
    if found.still_falling:
        text += "; it still falls at the last rate: try a larger --last"
    return text
