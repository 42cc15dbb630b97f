"""Rates: over the steps of schedules, against the loss, and layer by layer."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from math import log10
from typing import Any

from dale.report.figures import Figure, axis, figure, label, layout, line
from dale.report.html_numbers import finite, finites
from dale.report.style import ACCENT, PALETTE


def schedule(rows: Sequence[Mapping], colours: Mapping[str, str]) -> Figure:
    """Learning rate against step, one line per schedule, cycle ends marked.

    Trajectories that follow the same schedule share one line. The mark of an end
    is at the rate of the cycle's last update, the one after which a member is taken.

    Args:
        rows: The document's ``schedules``.
        colours: Trajectory → colour.

    Returns:
        A plotly figure.
    """
    shared = _same_schedule(rows)
    data = []
    for names, row in shared:
        colour, name = colours[names[0]], ", ".join(names)
        points = _rates(row)
        data.append(
            line(
                name,
                [step for step, _ in points],
                [rate for _, rate in points],
                colour,
                legendgroup=label(name),
                hovertemplate="step %{x}<br>rate %{y:.4g}",
            )
        )
        ends = [end for end in finites(row.get("ends")) if end is not None]
        if ends:
            data.append(_end_marks(name, points, ends, colour))
    frame = layout(
        300,
        xaxis=axis("step", rangemode="tozero"),
        yaxis=axis("learning rate", rangemode="tozero", exponentformat="power"),
        showlegend=len(shared) > 1,
    )
    return figure(data, frame)


def rates(found: Mapping) -> Figure:
    """Loss against learning rate, of a range test.

    Args:
        found: The document's ``range_test``.

    Returns:
        A plotly figure.
    """
    x = finites(found["rates"])
    hover = "rate %{x:.3g}<br>loss %{y:.4g}"
    data = [
        line(
            "each batch",
            x,
            finites(found["losses"]),
            ACCENT,
            line={"width": 1},
            opacity=0.35,
            hovertemplate=hover,
        ),
        line("smoothed", x, finites(found["smoothed"]), ACCENT, hovertemplate=hover),
    ]
    if (suggested := finite(found.get("suggested"))) is not None:
        shown = [value for value in finites(found["smoothed"]) if value is not None]
        ends = [min(shown), max(shown)]
        mark = line(
            "suggested", [suggested] * 2, ends, PALETTE[1], line={"dash": "dash"}
        )
        data.append(mark)
    frame = layout(
        340,
        xaxis=axis("learning rate", type="log", exponentformat="power"),
        yaxis=axis("training loss"),
        showlegend=True,
    )
    return figure(data, frame)


def layers(rows: Sequence[Mapping], key: str) -> Figure:
    """A strip for each layer: its rate, or its ratio, over the steps of a trajectory.

    Args:
        rows: The lines of the log of one trajectory that have it.
        key: ``rates`` or ``ratios``.

    Returns:
        A plotly figure; the colours stand for powers of ten, and a strip is empty
        where the value is 0 or has no end.
    """
    rows = [row for row in rows if finite(row.get("step")) is not None]
    names = list(dict.fromkeys(name for row in rows for name in row[key]))
    steps = [row["step"] for row in rows]
    values = [[finite(row[key].get(name)) for row in rows] for name in names]
    shown = [[log10(v) if v and v > 0 else None for v in line] for line in values]
    title = {"rates": "rate", "ratios": "ratio"}[key]
    found = [v for line in shown for v in line if v is not None] or [0.0]
    marks = _marks(min(found), max(found))
    data = [
        {
            "type": "heatmap",
            "name": title,
            "x": steps,
            "y": [label(name) for name in names],
            "z": shown,
            "customdata": values,
            "colorscale": "Viridis",
            "xgap": 0,
            "ygap": 2,
            "hoverongaps": False,
            "hovertemplate": f"layer %{{y}}<br>step %{{x}}<br>{title} "
            "%{customdata:.3g}<extra></extra>",
            "colorbar": {
                "title": {"text": title, "side": "right"},
                "tickvals": marks,
                "ticktext": [f"{10**mark:.3g}" for mark in marks],
                "thickness": 12,
                "outlinewidth": 0,
            },
        },
        _frozen(rows),
    ]
    frame = layout(
        max(200, 110 + 22 * len(names)),
        xaxis=axis("step"),
        yaxis=axis(None, type="category", autorange="reversed", showgrid=False),
    )
    return figure(data, frame)


def _frozen(rows: Sequence[Mapping]) -> dict[str, Any]:
    """Crosses where layers were frozen."""
    frozen = (rows[-1].get("frozen") or {}) if rows else {}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "frozen",
        "x": finites(list(frozen.values())),
        "y": [label(name) for name in frozen],
        "marker": {"symbol": "x", "size": 9, "color": PALETTE[1]},
        "hovertemplate": "layer %{y}<br>frozen after step %{x}<extra></extra>",
        "showlegend": False,
    }


def _marks(low: float, high: float) -> list[float]:
    """Both ends of an interval and three places between: as many as have room."""
    return [low + (high - low) * i / 4 for i in range(5)] if low < high else [low]


def _same_schedule(rows: Sequence[Mapping]) -> list[tuple[list[str], Mapping]]:
    """Schedules that differ, each with the trajectories that follow it."""
    shared: list[tuple[list[str], Mapping]] = []
    for row in rows:
        for names, known in shared:
            if (row["rate"], row.get("ends")) == (known["rate"], known.get("ends")):
                names.append(row["trajectory"])
                break
        else:
            shared.append(([row["trajectory"]], row))
    return shared


def _rates(row: Mapping) -> list[tuple[float, float | None]]:
    """Steps and rates of a schedule; a point without a step is left out."""
    points = [(finite(step), finite(rate)) for step, rate in row["rate"]]
    return [(step, rate) for step, rate in points if step is not None]


def _end_marks(
    name: str,
    points: Sequence[tuple[float, float | None]],
    ends: Sequence[float],
    colour: str,
) -> dict[str, Any]:
    """Marks at the ends of a schedule's cycles."""
    steps = [step for step, _ in points]
    before = [bisect_left(steps, end) - 1 for end in ends]  # the last update
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "cycle end",
        "x": list(ends),
        "y": [points[last][1] if last >= 0 else None for last in before],
        "marker": {"color": colour, "size": 9, "symbol": "diamond"},
        "cliponaxis": False,
        "showlegend": False,
        "legendgroup": label(name),
        "hovertemplate": f"{label(name)}<br>member after %{{x}} steps<extra></extra>",
    }
