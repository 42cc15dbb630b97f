"""Cross-validation: every predictor on the folds that it has not seen."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from dale.report.figures import Figure, axis, figure, label, layout
from dale.report.html_numbers import decimal, finite, percent, whole
from dale.report.html_tags import Html, boxed, join, tag
from dale.report.sections_plots import Plots, place
from dale.report.sections_results import lowest
from dale.report.style import ACCENT, PALETTE

_share = partial(percent, unit=False)
_COLUMNS: Sequence[tuple[str, str, Callable[[object], str]]] = (
    ("error", "Error, %", _share),
    ("nll", "NLL", decimal),
    ("ece", "ECE, %", _share),
    ("brier", "Brier", decimal),
    ("nll_calibrated", "NLL at T", decimal),
    ("ece_calibrated", "ECE at T, %", _share),
)


def folds(document: Mapping, plots: Plots) -> Html | None:
    """Mean and standard deviation over the folds, and the error on each."""
    found = document.get("cross_validation")
    if not found or not found.get("rows"):
        return None
    rows = found["rows"]
    note = (
        f"The training examples were divided into {whole(found['folds'])} folds. Each "
        "network is judged on the fold that was held out when it was trained: mean ± "
        "standard deviation over the folds."
    )
    shown = place(plots, errors(rows), "Error on each fold that was held out")
    return join(tag("p", note, class_="lede"), _table(found), shown)


def errors(rows: Sequence[Mapping]) -> Figure:
    """The error on each fold, a line of points for each predictor.

    Args:
        rows: Of the document's ``cross_validation``.

    Returns:
        A plotly figure.
    """
    points: list[dict] = []
    for row in rows:
        values = [(one["fold"], finite(one.get("error"))) for one in row["by_fold"]]
        kept = [(fold, 100 * value) for fold, value in values if value is not None]
        points += [
            {
                "type": "scatter",
                "mode": "markers",
                "name": label(row["name"]),
                "x": [value for _, value in kept],
                "y": [label(row["name"])] * len(kept),
                "customdata": [fold for fold, _ in kept],
                "marker": {"color": ACCENT, "size": 9, "opacity": 0.55},
                "hovertemplate": "fold %{customdata}<br>%{x:.2f} %<extra></extra>",
            }
        ]
    means = [finite(row.get("error")) for row in rows]
    points.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "mean",
            "x": [None if mean is None else 100 * mean for mean in means],
            "y": [label(row["name"]) for row in rows],
            "marker": {
                "color": PALETTE[1],
                "size": 16,
                "symbol": "line-ns",
                "line": {"color": PALETTE[1], "width": 2.5},
            },
            "hovertemplate": "mean %{x:.2f} %<extra></extra>",
        }
    )
    frame = layout(
        max(180, 90 + 34 * len(rows)),
        xaxis=axis("error on the fold held out, %", rangemode="tozero"),
        yaxis=axis(None, type="category", autorange="reversed"),
    )
    return figure(points, frame)


def _table(found: Mapping) -> Html:
    rows = found["rows"]
    heads = [tag("th", "Predictor", scope="col")]
    heads += [
        tag("th", title, scope="col", class_="number")
        for title in ("Networks", *(title for _, title, _ in _COLUMNS))
    ]
    best = {key: lowest(rows, key) if len(rows) > 1 else None for key, _, _ in _COLUMNS}
    lines = [tag("tr", *_cells(row, best)) for row in rows]
    caption = f"Temperatures fitted on the {found['fitted_on']} split"
    return boxed(caption, tag("thead", tag("tr", *heads)), tag("tbody", *lines))


def _cells(row: Mapping, best: Mapping[str, float | None]) -> list[Html]:
    cells = [
        tag("th", str(row["name"]), scope="row"),
        tag("td", whole(row.get("networks")), class_="number"),
    ]
    for key, _, show in _COLUMNS:
        value = finite(row.get(key))
        text: Html | str = show(value)
        if value is not None and value == best[key]:
            text = tag("strong", text, title="best of this column")
        spread = f" ± {show(finite(row.get(f'{key}_sd')))}"
        cells.append(tag("td", text, spread, class_="number"))
    return cells
