"""``dale merge RUN``: the decisions, the numbers, the new member, the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dale.cli.common import count, number, out, percent, show_json, table
from dale.cli.merge_check import verdict, write_page

if TYPE_CHECKING:
    from dale.recipes import Workbench
    from dale.store import Member

_MEANS = ("uniform", "weighted", "greedy_soup", "suffix", "random_subsets")


def merge_run(
    source: Path,
    method: str,
    *,
    settings: Sequence[str] | None,
    scan: str | None,
    check: bool,
    json: bool,
    **options: Any,
) -> None:
    """Fuse members of a run.

    Args:
        source: The run.
        method: How.
        settings: Of the method, as words.
        scan: A setting to be chosen, and its values.
        check: Write a page on whether the merge is sound.
        json: Print JSON.
        options: Others of `dale.recipes.fuse`.
    """
    from dale.recipes import Workbench, fuse
    from dale.recipes.fusion import numbers, read
    from dale.store import Run

    bench = Workbench(Run(source))
    made = fuse(
        bench,
        method,
        settings=read(settings or []),
        scan=None if scan is None else numbers(scan),
        **options,
    )
    if not json:
        show_made(made)
    said = _checked(bench, made, json) if check else {}
    if json:
        show_json(
            {
                "label": made.label,
                "digest": made.digest,
                "parents": list(made.parents),
                "scores": dict(made.scores),
                "details": dict(made.details),
                **said,
            }
        )


def _checked(bench: "Workbench", made: "Member", json: bool) -> dict[str, Any]:
    from dale.recipes.fusion import check_fused

    checked, measure = check_fused(bench, made)
    page = bench.run.folder / "report" / f"merge-{made.id}.html"
    words = {"title": made.label, "subtitle": f"{made.how} in {bench.run.folder.name}"}
    whole = write_page(page, checked, measure=measure, **words)
    return verdict(made.label, checked.found, page if whole else None, json)


def show_made(made: "Member") -> None:
    """Print how a fused member came about."""
    details = made.details
    _show_decisions(details)
    _show_tried(details)
    _show_coefficients(details.get("coefficients") or {})
    _show_units(details.get("units") or {})
    kind = "mean" if made.how in _MEANS else made.how
    parents = [label for label in made.parents if label != details.get("base")]
    base = f" and the base {details['base']}" if "base" in details else ""
    out.print(
        f"{made.label}: {kind} of {count(len(parents), 'member')}{base}, validation "
        f"error {percent(made.scores['val_error'])} %"
    )


def _show_decisions(details: Mapping[str, Any]) -> None:
    rows = [
        [
            decision["label"],
            number(decision["score_alone"]),
            number(decision["score_with"]),
            "kept" if decision["kept"] else "left out",
            decision["reason"],
        ]
        for decision in details.get("decisions", [])
    ]
    if rows:
        columns = ["candidate", "alone", "in the soup", "", "why"]
        table(f"{details['score']} on validation examples", columns, rows)


def _show_tried(details: Mapping[str, Any]) -> None:
    rows = [
        [
            value if isinstance(value, str) else f"{value:g}",
            number(score),
            "taken" if value == details["value"] else "",
        ]
        for value, score in details.get("tried", [])
    ]
    if rows:
        name = details["setting"].removesuffix("_")
        out.print(f"{details['score']} on validation examples")
        table("", [name, "score", ""], rows)


def _show_coefficients(found: Mapping[str, Any]) -> None:
    """One for each member, or for each member and layer."""
    if not found:
        return
    if not isinstance(next(iter(found.values())), Mapping):
        table("", ["member", "coefficient"], [[n, number(c)] for n, c in found.items()])
        return
    members: Sequence[str] = [*next(iter(found.values()))]
    rows = [
        [layer or "(no name)", *(number(row[label], 3) for label in members)]
        for layer, row in found.items()
    ]
    table("coefficients by layer", ["layer", *members], rows)


def _show_units(found: Mapping[str, Sequence[int]]) -> None:
    if found:
        rows = [[name, str(len(units))] for name, units in found.items()]
        table("", ["weight", "units taken over"], rows)
