"""What ``dale merge RUN`` shows: the decisions, the numbers, the new member."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dale.cli.common import count, number, out, percent, table

if TYPE_CHECKING:
    from dale.store import Member

_MEANS = ("uniform", "weighted", "greedy_soup", "suffix", "random_subsets")


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
