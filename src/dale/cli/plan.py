"""``dale plan``: what a recipe costs, before anything runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dale.cli import app
from dale.cli.common import JSON, out, show_json, table

if TYPE_CHECKING:
    from dale.recipes.planning import Planned

_BLOCKS = " ▁▂▃▄▅▆▇█"


@app.command()
def plan(
    recipe: Annotated[Path, typer.Argument(help="A recipe.", show_default=False)],
    json: JSON = False,
) -> None:
    """Show a recipe's schedules, members, time and disk space; train nothing."""
    from dale.recipes import load_data
    from dale.recipes import plan as planned
    from dale.train import load_recipe

    parsed = load_recipe(recipe)
    found = planned(parsed, load_data(parsed))
    if json:
        show_json(found.to_dict())
        return
    rows = [
        [item.name, str(item.steps), _ends(item.members), _rates(item), _drawn(item)]
        for item in found.trajectories
    ]
    columns = ["trajectory", "steps", "members after step", "rate", "schedule"]
    table("Trajectories", columns, rows)
    sizes = ", ".join(f"{count} {name}" for name, count in found.examples.items())
    out.print(f"{found.per_epoch} steps an epoch · {sizes} examples")
    out.print(
        f"{found.parameters:,} parameters · {found.disk_bytes / 1e6:.1f} MB on disk"
    )
    out.print(
        f"about {_clock(found.seconds)} of updates "
        f"({1000 * found.seconds_per_step:.1f} ms each, measured here), plus evaluation"
    )


def _drawn(item: "Planned") -> str:
    return "".join(_BLOCKS[round(share * (len(_BLOCKS) - 1))] for share in item.curve)


def _rates(item: "Planned") -> str:
    return f"{item.first_rate:.4g} … {item.last_rate:.4g}"


def _ends(members: tuple[int, ...]) -> str:
    if len(members) <= 6:
        return ", ".join(map(str, members))
    return f"{members[0]}, {members[1]}, … {members[-1]} ({len(members)})"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
