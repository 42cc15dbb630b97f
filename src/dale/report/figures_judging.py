"""How networks were judged: disagreement of members, reliability of predictors."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from dale.errors import InputError
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
from dale.report.style import ACCENT, MID, SCALE

_TICKS = 16  # labels that still fit along the side of a heat map
_ACROSS = 24  # characters that fit along the bottom of one
_ANNOTATED = 8  # members up to which the cells show their numbers


def disagreement(row: Mapping, top: float) -> Figure:
    """Share of examples on which two members predict different classes.

    Args:
        row: One of the document's ``disagreement``.
        top: Upper end of the colour scale, a share; one for all groups, so that
            their colours compare.

    Returns:
        A plotly figure, in percent.

    Raises:
        InputError: The matrix is not square with one row per label.
    """
    matrix = _off_diagonal(row)
    count = len(matrix)
    stride = max(1, math.ceil(count / _TICKS))
    names = [label(name) for name in row["labels"]]
    ticks = {
        "tickvals": list(range(0, count, stride)),
        "ticktext": names[::stride],
        "showgrid": False,
        "constrain": "domain",
    }
    heat = {
        "type": "heatmap",
        "z": [[None if v is None else 100 * v for v in cells] for cells in matrix],
        "customdata": [[f"{a} · {b}" for b in names] for a in names],
        "coloraxis": "coloraxis",
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
        "hovertemplate": "%{customdata}<br>%{z:.2f}\u202f%<extra></extra>",
    }
    if count <= _ANNOTATED:
        heat |= {"texttemplate": "%{z:.1f}", "textfont": {"size": 11}}
    frame = layout(
        390,
        xaxis=axis(**ticks, tickangle=-40 if len("".join(names)) > _ACROSS else 0),
        yaxis=axis(
            **ticks, autorange="reversed", scaleanchor="x", constraintoward="top"
        ),
        coloraxis={
            "cmin": 0,
            "cmax": 100 * top or 1,
            "colorscale": SCALE,
            "showscale": count > _ANNOTATED,
            "colorbar": {"thickness": 8, "outlinewidth": 0, "ticksuffix": "\u202f%"},
        },
    )
    return figure([heat], frame)


def pairs(row: Mapping) -> list[float]:
    """Disagreements between different members, as shares; missing ones left out.

    Args:
        row: One of the document's ``disagreement``.

    Returns:
        Every present value off the diagonal.

    Raises:
        InputError: The matrix is not square with one row per label.
    """
    return [v for cells in _off_diagonal(row) for v in cells if v is not None]


def reliability(bins: Mapping, name: str) -> Figure:
    """Accuracy against confidence, bin by bin, over the share of examples in each.

    The bar of a bin is its accuracy, the point is at its mean confidence. Points
    below the diagonal are over-confident.

    Args:
        bins: Edges (B + 1), counts, mean confidence and accuracy (B each), as in
            the document's ``before`` and ``after``.
        name: The predictor's, for errors.

    Returns:
        A plotly figure with two panels over one axis of confidence.

    Raises:
        InputError: The lists' lengths do not fit together.
    """
    edges, counts = finites(bins["edges"]), finites(bins["counts"])
    confidence, accuracy = finites(bins["confidence"]), finites(bins["accuracy"])
    lengths = [len(edges) - 1, len(counts), len(confidence), len(accuracy)]
    if len(set(lengths)) != 1:
        raise InputError(
            f"reliability of {name!r}: expected as many counts, confidences and "
            f"accuracies as bins ({lengths[0]}), got {lengths[1:]}"
        )
    filled = [bool(count) for count in counts]
    confidence = _where(filled, confidence)
    accuracy = _where(filled, accuracy)
    places = _places(edges)
    data = [
        _accuracy_bars(places, counts, confidence, accuracy),
        line("perfect", [0, 1], [0, 1], MID, line={"width": 1.5, "dash": "dash"}),
        _points(confidence, accuracy, bins.get("intervals")),
        _histogram(places, counts),
    ]
    data[1]["hoverinfo"] = "skip"
    return figure(data, _reliability_layout())


def _off_diagonal(row: Mapping) -> list[list[float | None]]:
    """A group's matrix with holes on the diagonal, where a member meets itself."""
    count = len(row["labels"])
    widths = [len(cells) for cells in row["matrix"]]
    if widths != [count] * count:
        raise InputError(
            f"disagreement of {row['group']!r}: expected a matrix of {count} × {count} "
            f"for its labels, got rows of {widths}"
        )
    return [
        [None if i == j else finite(value) for j, value in enumerate(cells)]
        for i, cells in enumerate(row["matrix"])
    ]


def _places(edges: Sequence[float | None]) -> dict[str, list[float | None]]:
    """Middles and widths of the bins; nulls for a bin with an edge missing."""
    pairs = [
        (None, None) if a is None or b is None else ((a + b) / 2, b - a)
        for a, b in pairwise(edges)
    ]
    return {"x": [x for x, _ in pairs], "width": [width for _, width in pairs]}


def _where(filled: Sequence[bool], values: Sequence[float | None]) -> list[Any]:
    """Values of the bins that hold examples."""
    pairs = zip(filled, values, strict=True)
    return [value if full else None for full, value in pairs]


def _accuracy_bars(
    places: Mapping,
    counts: Sequence[float | None],
    confidence: Sequence[float | None],
    accuracy: Sequence[float | None],
) -> dict[str, Any]:
    return {
        "type": "bar",
        **places,
        "y": list(accuracy),
        "marker": {"color": ACCENT, "opacity": 0.25, "line": {"width": 0}},
        "customdata": [list(pair) for pair in zip(confidence, counts, strict=True)],
        "hovertemplate": "accuracy %{y:.3f}<br>confidence %{customdata[0]:.3f}"
        "<br>%{customdata[1]} examples<extra></extra>",
    }


def _points(
    confidence: Sequence[float | None],
    accuracy: Sequence[float | None],
    intervals: Sequence[Sequence[float | None] | None] | None,
) -> dict[str, Any]:
    points: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": list(confidence),
        "y": list(accuracy),
        "connectgaps": True,
        "line": {"color": ACCENT, "width": 1.5},
        "marker": {"color": ACCENT, "size": 6},
        "cliponaxis": False,
        "hoverinfo": "skip",
    }
    if intervals is not None:
        points["error_y"] = whiskers(accuracy, intervals, color=ACCENT, width=3)
    return points


def _histogram(places: Mapping, counts: Sequence[float | None]) -> dict[str, Any]:
    total = sum(count for count in counts if count is not None)
    shares = [None if c is None or not total else 100 * c / total for c in counts]
    return {
        "type": "bar",
        **places,
        "y": shares,
        "yaxis": "y2",
        "marker": {"color": MID, "opacity": 0.7, "line": {"width": 0}},
        "customdata": list(counts),
        "hovertemplate": "%{customdata} examples, %{y:.1f}\u202f%<extra></extra>",
    }


def _reliability_layout() -> dict[str, Any]:
    return layout(
        330,
        margin={"l": 8, "r": 12, "t": 8, "b": 8, "pad": 4},
        bargap=0,
        xaxis=axis("confidence", range=[0, 1], dtick=0.25, anchor="y2"),
        yaxis=axis("accuracy", range=[0, 1], dtick=0.25, domain=[0.32, 1]),
        yaxis2=axis(
            "share",
            domain=[0, 0.22],
            rangemode="tozero",
            nticks=3,
            ticksuffix="\u202f%",
            anchor="x",
        ),
    )
