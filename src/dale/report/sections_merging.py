"""The section on a merge: sizes, signs, directions, and the way to the inputs."""

from collections.abc import Mapping, Sequence

from dale.report import figures_merging
from dale.report.html_numbers import decimal, finite, percent, whole
from dale.report.html_tags import Html, boxed, join, tag
from dale.report.sections_plots import Plots, place

_WORST = 8  # tensors that the table names


def soundness(document: Mapping, plots: Plots) -> Html | None:
    """What was measured on a merge, beside the verdict at the top of the page."""
    found = document.get("soundness")
    if not found:
        return None
    names = [str(name) for name in found["models"]]
    made = [
        _norms(found, plots),
        _conflicts(found, plots),
        _cosines(found, names, plots),
        _paths(found, names, plots),
    ]
    shown = [part for part in made if part is not None]
    notes = found.get("notes") or ()
    return join(
        tag("p", _lede(found), class_="lede"),
        tag("ul", *(tag("li", str(note)) for note in notes)) if notes else None,
        tag("div", *shown, class_="pair") if shown else None,
        _models(found, names),
        _tensors(found),
    )


def _lede(found: Mapping) -> str:
    share = finite(found.get("share"))
    exact = share is None or share >= 1
    how = (
        "Every element was compared."
        if exact
        else f"{percent(share, 1)} of the elements were compared, evenly over every "
        "tensor; values that are not finite were sought in all."
    )
    apart = found.get("apart") or ()
    alone = (
        f" {whole(len(apart))} tensors have no counterpart of the same name and shape "
        "in every input and were looked at alone."
        if apart
        else ""
    )
    return how + alone


def _norms(found: Mapping, plots: Plots) -> Html | None:
    if not any(finite(row["ratio"]) is not None for row in found["rows"]):
        return None
    caption = tag("b", "Norm of each tensor, inputs = 1")
    figure = figures_merging.norms(found)
    return place(plots, figure, "Norm ratio of each tensor", caption)


def _conflicts(found: Mapping, plots: Plots) -> Html | None:
    share = finite(found.get("conflict"))
    if share is None:
        return None
    caption = join(tag("b", "Sign conflicts"), f" · {percent(share, 1)} in all")
    figure = figures_merging.conflicts(found)
    return place(plots, figure, "Share of sign conflicts of each tensor", caption)


def _cosines(found: Mapping, names: Sequence[str], plots: Plots) -> Html | None:
    if len(names) < 2:
        return None
    what = "task vectors" if found.get("base") else "weights"
    figure = figures_merging.cosines(found, names)
    caption = tag("b", f"Cosines of {what}")
    return place(plots, figure, f"Cosines between {what}", caption)


def _paths(found: Mapping, names: Sequence[str], plots: Plots) -> Html | None:
    if not found.get("barriers"):
        return None
    figure = figures_merging.paths(found, names)
    caption = tag("b", f"{found.get('measure') or 'Loss'} on the way to each input")
    return place(plots, figure, "Loss on the straight path to each input", caption)


def _models(found: Mapping, names: Sequence[str]) -> Html:
    barriers = found.get("barriers") or ()
    titles = ["Distance", *(["Loss", "Barrier"] if barriers else [])]
    lines = []
    for k, name in enumerate(names):
        cells = [percent(finite(found["distances_K"][k]))]
        if barriers:
            path = barriers[k]
            cells += [decimal(path["loss_T"][0]), decimal(path["height"])]
        numbers = [tag("td", cell, class_="number") for cell in cells]
        lines.append(tag("tr", _named(name), *numbers))
    heads = [tag("th", title, scope="col", class_="number") for title in titles]
    head = tag("thead", tag("tr", tag("th", "Input", scope="col"), *heads))
    caption = "Distance of the merge from each input, over the input's own norm."
    return boxed(caption, head, tag("tbody", *lines))


def _tensors(found: Mapping) -> Html | None:
    """The tensors that stand out, by what is not finite and by their norm."""
    rows = sorted(found["rows"], key=_oddness, reverse=True)[:_WORST]
    if not rows:
        return None
    lines = [
        tag(
            "tr",
            _named(str(row["name"])),
            tag("td", decimal(finite(row["ratio"]), 3), class_="number"),
            tag("td", percent(finite(row["conflict"]), 1), class_="number"),
            tag("td", decimal(finite(row["kept"]), 3), class_="number"),
            tag("td", whole(row["not_finite"]), class_="number"),
        )
        for row in rows
    ]
    titles = ("Norm ratio", "Sign conflicts", "Task vector kept", "Not finite")
    heads = [tag("th", title, scope="col", class_="number") for title in titles]
    head = tag("thead", tag("tr", tag("th", "Tensor", scope="col"), *heads))
    return boxed("The tensors that stand out most.", head, tag("tbody", *lines))


def _named(name: str) -> Html:
    """The head of a line. A long name is broken, so that the figures stay in sight."""
    return tag("th", name, scope="row", class_="wrap")


def _oddness(row: Mapping) -> tuple[bool, float]:
    """What the verdict calls broken comes first, then what is off in size."""
    lost, before = finite(row["not_finite"]) or 0, finite(row["not_finite_before"]) or 0
    ratio = finite(row["ratio"])
    off = 1.0 if ratio is None else max(ratio, 1 / max(ratio, 1e-9))
    spoilt = row.get("nan") or row.get("nan_in") or row.get("above")
    return lost > before or bool(spoilt), off
