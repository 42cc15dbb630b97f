"""``dale predict``: fill the prediction cache."""

from typing import Annotated

import typer

from dale.cli import app
from dale.cli.common import JSON, RUN, err, out, show_json


@app.command()
def predict(
    run: RUN,
    split: Annotated[
        list[str] | None,
        typer.Option(
            help="Splits [val and test]; may be repeated.", show_default=False
        ),
    ] = None,
    json: JSON = False,
) -> None:
    """Run every member on a split once; later verbs read the stored logits."""
    from dale.recipes import Workbench
    from dale.store import Member, Run

    bench = Workbench(Run(run))
    ran: list[str] = []

    def watch(member: Member) -> None:
        ran.append(member.label)
        if not json:
            err.print(f"ran {member.label}", soft_wrap=True)

    members, splits = bench.members(), split or ["val", "test"]
    for name in splits:
        bench.predict(name, members, watch)
    if json:
        show_json({"run": str(run), "splits": splits, "ran": ran})
        return
    out.print(
        f"{len(members)} members × {', '.join(splits)}: {len(ran)} computed, "
        f"{len(members) * len(splits) - len(ran)} were there already"
    )
