"""How far predictors can be trusted: left-out risk, and measures under drift."""

from collections.abc import Mapping, Sequence
from typing import Any

from dale.report.figures import (
    Figure,
    axis,
    figure,
    label,
    layout,
    line,
    whiskers,
)
from dale.report.html_numbers import finite, finites
from dale.report.style import MID, PALETTE

INKS = (*PALETTE, MID)
DASHES = ("solid", "dash", "dot")
SHARES = ("error", "ece", "ece_calibrated")  # shown in percent
TITLES = {
    "error": "error",
    "nll": "NLL",
    "nll_calibrated": "NLL, calibrated on clean examples",
    "ece": "ECE",
    "ece_calibrated": "ECE, calibrated on clean examples",
}


def risk_coverage(rows: Sequence[Mapping]) -> Figure:
    """Error among the examples that are kept, against how many are kept.

    Args:
        rows: Of the document's ``risk_coverage``: name, coverage and risk, as shares.

    Returns:
        A plotly figure, in percent.
    """
    data = []
    for place, row in enumerate(rows):
        data.append(
            line(
                row["name"],
                _percent(row["coverage"]),
                _percent(row["risk"]),
                **_look(place),
                hovertemplate="%{x:.1f}\u202f% kept<br>error %{y:.2f}\u202f%",
            )
        )
    unit = {"ticksuffix": "\u202f%"}
    frame = layout(
        360,
        xaxis=axis("share of the examples that is kept", range=[0, 100], **unit),
        yaxis=axis("error among them", rangemode="tozero", **unit),
        showlegend=True,
    )
    return figure(data, frame)


def severity(found: Mapping, measure: str) -> Figure:
    """A measure against the severity of the corruptions, one line per predictor.

    Args:
        found: The document's ``drift``.
        measure: A key of `TITLES`.

    Returns:
        A plotly figure; shares in percent, with intervals where there are any.
    """
    share = measure in SHARES
    hover = "%{y:.2f}\u202f%" if share else "%{y:.4f}"
    data = []
    for place, row in enumerate(found["rows"]):
        points = row["by_severity"]
        values = [finite(point.get(measure)) for point in points]
        trace = line(
            row["name"],
            [finite(point["severity"]) for point in points],
            _percent(values) if share else values,
            **_look(place),
            mode="lines+markers",
            marker={"size": 5},
            legendgroup=label(row["name"]),
            hovertemplate=f"severity %{{x}}<br>{hover}",
        )
        ends = [finites(point.get(f"{measure}_interval")) for point in points]
        if all(len(pair) == 2 for pair in ends):
            factor = 100.0 if share else 1.0
            trace["error_y"] = whiskers(values, ends, factor, width=2)
        data.append(trace)
    unit = {"ticksuffix": "\u202f%"} if share else {}
    frame = layout(
        340,
        xaxis=axis("severity; 0 is clean", dtick=1),
        # the heading says the rest, which has no room beside a narrow plot
        yaxis=axis(TITLES[measure].partition(",")[0], rangemode="tozero", **unit),
        showlegend=True,
    )
    return figure(data, frame)


def _look(place: int) -> dict[str, Any]:
    """Colour and dash of the line at this place; all differ for 21 lines."""
    dash = DASHES[place // len(INKS) % len(DASHES)]
    return {"colour": INKS[place % len(INKS)], "line": {"dash": dash}}


def _percent(values: Sequence[Any]) -> list[float | None]:
    return [None if value is None else 100 * value for value in finites(values)]
