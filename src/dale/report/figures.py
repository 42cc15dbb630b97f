"""The parts that every figure is built from.

A figure is a plain plotly figure, ``{"data": [...], "layout": {...}}``, made by a
pure function from a part of the document. Backgrounds are clear and inks are
mid-tones, so a figure reads on light and dark alike; the page's script sets the
exact inks of the colour scheme. Labels are escaped: plotly reads markup in text.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from dale.report.html_numbers import finites
from dale.report.style import CLEAR, GRID, MID

Figure: TypeAlias = dict[str, Any]
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"


def label(text: object) -> str:
    """Text as plotly shall show it, markup and all."""
    return html.escape(str(text), quote=False)


def axis(title: str | None = None, **settings: Any) -> dict[str, Any]:
    """An axis with a quiet grid, no zero line and a title that fits.

    Args:
        title: What it measures, and its unit.
        **settings: plotly's own, over the defaults.
    """
    base: dict[str, Any] = {
        "gridcolor": GRID,
        "linecolor": GRID,
        "zeroline": False,
        "automargin": True,
        "ticks": "",
    }
    if title is not None:
        base["title"] = {"text": label(title), "standoff": 8, "font": {"size": 12}}
    return base | settings


def layout(height: int, **settings: Any) -> dict[str, Any]:
    """A layout as wide as its container, clear, with the page's font.

    Args:
        height: Pixels.
        **settings: plotly's own, over the defaults.
    """
    base: dict[str, Any] = {
        "height": height,
        "autosize": True,
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"family": FONT, "size": 12, "color": MID},
        "margin": {"l": 8, "r": 12, "t": 28, "b": 8, "pad": 4},
        "showlegend": False,
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.02,
            "yanchor": "bottom",
            "bgcolor": CLEAR,
            "font": {"size": 12},
        },
        "hoverlabel": {"font": {"family": FONT, "size": 12}, "namelength": -1},
    }
    return base | settings


def line(
    name: str, x: Sequence[object], y: Sequence[object], colour: str, **settings: Any
) -> dict[str, Any]:
    """A line through points; nulls break it.

    Args:
        name: Shown in the legend and on hover.
        x: Positions.
        y: Values, or null.
        colour: The line's.
        **settings: plotly's own; ``line`` is merged.
    """
    stroke = {"color": colour, "width": 2} | settings.pop("line", {})
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label(name),
        "x": list(x),
        "y": list(y),
        "line": stroke,
    } | settings


def whiskers(
    values: Sequence[float | None],
    ends: Sequence[Sequence[float | None] | None],
    factor: float = 1.0,
    **settings: Any,
) -> dict[str, Any]:
    """Error bars that reach from each value to the ends of its interval.

    Args:
        values: What the bars are drawn at, or null.
        ends: A lower and an upper end for each value, or null.
        factor: That the values are drawn multiplied by.
        **settings: plotly's own.
    """
    above, below = [], []
    for value, pair in zip(values, ends, strict=True):
        low, high = finites(pair) if pair is not None else (None, None)
        whole = value is not None and low is not None and high is not None
        above.append(factor * (high - value) if whole else 0.0)
        below.append(factor * (value - low) if whole else 0.0)
    bars = {"type": "data", "symmetric": False, "array": above, "arrayminus": below}
    return bars | {"thickness": 1} | settings


def figure(data: Sequence[Mapping[str, Any]], frame: Mapping[str, Any]) -> Figure:
    """A plotly figure."""
    return {"data": [dict(trace) for trace in data], "layout": dict(frame)}
