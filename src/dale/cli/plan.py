"""``dale plan``: what a recipe costs, before anything runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dale.cli import app
from dale.cli.common import JSON, check_page, draw_page, out, show_json, table

if TYPE_CHECKING:
    from dale.recipes.pilot import Pilot
    from dale.recipes.planning import Plan, Planned, Price
    from dale.train import Recipe

_BLOCKS = " ▁▂▃▄▅▆▇█"


@app.command()
def plan(
    recipe: Annotated[Path, typer.Argument(help="A recipe.", show_default=False)],
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Plan for as many epochs as fit into so many minutes.",
            show_default=False,
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Price every strategy at this budget.")
    ] = False,
    draw: Annotated[
        Path | None,
        typer.Option(
            help="Where to draw the schedules: one HTML page.", show_default=False
        ),
    ] = None,
    json: JSON = False,
) -> None:
    """Show a recipe's schedules, members, time, memory and disk; train nothing."""
    from dale.recipes import load_data
    from dale.recipes import plan as planned
    from dale.train import load_recipe

    check_page(draw)
    parsed = load_recipe(recipe)
    data = load_data(parsed)
    found = planned(parsed, data, minutes=minutes, every=every)
    if draw is not None:
        fitting = parsed.model_copy(update={"epochs": found.epochs})
        _draw(draw, recipe.name, fitting, data.examples, found)
    if json:
        show_json(found.to_dict())
        return
    _show(found)
    if parsed.minutes is not None and minutes is None:
        out.print(_limited(parsed.minutes, found.seconds))
    if minutes is not None:
        out.print(f"in {minutes:g} min: set epochs to {found.epochs}")
    if draw is not None:
        out.print(f"drawn: {draw}")


def _show(found: "Plan") -> None:
    rows = [
        [item.name, str(item.steps), _ends(item.members), _rates(item), _drawn(item)]
        for item in found.trajectories
    ]
    columns = ["trajectory", "steps", "members after step", "rate", "schedule"]
    table("Trajectories", columns, rows)
    if found.prices:
        columns = ["strategy", "steps", "members", "time", "disk"]
        title = f"Every strategy at {found.epochs} epochs; * with the recipe's settings"
        table(title, columns, [_priced(price) for price in found.prices])
        for price in found.prices:
            if price.problem is not None:
                said = price.problem.removeprefix(f"{price.strategy}: ")
                out.print(f"{price.strategy} does not work here: {said}")
    sizes = ", ".join(f"{count} {name}" for name, count in found.examples.items())
    out.print(f"{found.per_epoch} steps an epoch · {sizes} examples")
    out.print(f"{found.parameters:,} parameters · {_size(found.disk_bytes)} on disk")
    out.print(_memory(found.pilot))
    for name, line in found.together.items():
        out.print(f"{name}: {line}")
    pilot = found.pilot
    out.print(
        f"about {_clock(found.seconds)}, with scoring after each epoch: "
        f"{1000 * pilot.seconds:.1f} ms an update (half of {pilot.updates} measured "
        f"here took {1000 * pilot.low:.1f} to {1000 * pilot.high:.1f})"
    )


def _limited(minutes: float, seconds: float) -> str:
    """What a limit of the recipe does to the plan."""
    limit = 60 * minutes
    if seconds <= limit:
        return f"the recipe's limit of {_clock(limit)} is not reached"
    share = 100 * limit / seconds
    return (
        f"the recipe's limit of {_clock(limit)} leaves about {share:.0f} % of the "
        "updates: every cycle is shortened by the same share"
    )


def _draw(
    path: Path, name: str, recipe: "Recipe", examples: int, found: "Plan"
) -> None:
    from dale.recipes import every_strategy
    from dale.report import planned

    trajectories = recipe.trajectories(examples)
    if found.prices:
        made = every_strategy(recipe, examples).values()
        trajectories = [
            item for mine in made if isinstance(mine, list) for item in mine
        ]
    title = f"plan of {name} · {recipe.epochs} epochs"
    prices = [_priced(price) for price in found.prices]
    draw_page(path, planned(title, trajectories, prices))


def _priced(price: "Price") -> list[str]:
    name = f"{price.strategy} *" if price.own else price.strategy
    if price.problem is not None:
        return [name, "–", "–", "–", "–"]
    return [
        name,
        str(price.steps),
        str(price.members),
        _clock(price.seconds),
        _size(price.disk_bytes),
    ]


def _memory(pilot: "Pilot") -> str:
    memory = pilot.memory
    parts = {
        "weights": memory.weights,
        "gradients": memory.gradients,
        "optimiser": memory.optimizer,
        "activations": memory.activations,
        "predictions remembered": memory.targets,
    }
    known = [f"{_size(size)} {name}" for name, size in parts.items() if size]
    return f"{_size(memory.total)} in memory for an update: {', '.join(known)}"


def _size(count: int) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if count >= unit / 10:
            return f"{count / unit:.1f} {name}"
    return f"{count / 1e3:.1f} kB"


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
