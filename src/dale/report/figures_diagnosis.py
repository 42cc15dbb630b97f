"""What a diagnosis found: noise of gradients, time averages, a map of diversity."""

from collections.abc import Mapping

from dale.report.figures import Figure, axis, figure, label, layout, line
from dale.report.html_numbers import finite, finites
from dale.report.style import ACCENT, PALETTE, SCALE


def noise(found: Mapping) -> Figure:
    """Variance of the gradient against batch size, with what theory says.

    Args:
        found: Of the document's ``diagnosis``.

    Returns:
        A plotly figure.
    """
    sizes, examples = finites(found["batches"]), finite(found["examples"])
    squared, scale = finite(found["squared_norm"]), finite(found["noise_scale"])
    theory: list[float | None] = [None] * len(sizes)
    if examples and squared is not None and scale is not None:
        theory = [
            scale * squared / size * (examples - size) / (examples - 1)
            if size
            else None
            for size in sizes
        ]
    hover = "batch %{x}<br>%{y:.4g}"
    marks = line(
        "measured", sizes, finites(found["variances"]), ACCENT, hovertemplate=hover
    )
    data = [
        {**marks, "mode": "markers", "marker": {"size": 8, "color": ACCENT}},
        line("tr Σ / b", sizes, theory, ACCENT, line={"width": 1.5, "dash": "dot"}),
        line(
            "|G|²",
            sizes,
            [squared] * len(sizes),
            PALETTE[1],
            line={"width": 1.5, "dash": "dash"},
        ),
    ]
    frame = layout(
        340,
        xaxis=axis("batch size", type="log"),
        yaxis=axis("variance of the gradient", type="log", exponentformat="power"),
        showlegend=True,
    )
    return figure(data, frame)


def ergodicity(found: Mapping) -> Figure:
    """Calibrated NLL against the number of networks, one line for each group.

    Args:
        found: The document's ``ergodicity``.

    Returns:
        A plotly figure.
    """
    apart = found["independent"]
    data = [_by_size(apart["group"], apart["by_size"], ACCENT)]
    for place, entry in enumerate(found["groups"], start=1):
        colour = PALETTE[place % len(PALETTE)]
        data.append(_by_size(entry["group"], entry["by_size"], colour))
    frame = layout(
        340,
        xaxis=axis("networks in the pool", dtick=1),
        yaxis=axis("calibrated NLL"),
        showlegend=True,
    )
    return figure(data, frame)


def _by_size(name: str, values: list, colour: str) -> dict:
    sizes = [float(size) for size in range(1, len(values) + 1)]
    hover = f"{label(name)}<br>%{{x}} networks<br>NLL %{{y:.4f}}<extra></extra>"
    drawn = line(name, sizes, finites(values), colour, hovertemplate=hover)
    return {**drawn, "mode": "lines+markers"}


def diversity(found: Mapping, measure: str, factor: float = 1.0) -> Figure:
    """A measure over peak rates and lengths of a cycle, as a heat map.

    Args:
        found: The document's ``diversity``.
        measure: One that its cells have.
        factor: That the values are drawn multiplied by.

    Returns:
        A plotly figure; the colours go from the lowest to the highest value.
    """
    across = len(found["peaks"])
    cells = [
        found["cells"][i : i + across] for i in range(0, len(found["cells"]), across)
    ]
    cells = cells[::-1]  # the shortest cycles below, where they are fewest first
    values = [[_times(cell[measure]["mean"], factor) for cell in row] for row in cells]
    spreads = [[_times(cell[measure]["sd"], factor) for cell in row] for row in cells]
    known = [value for row in values for value in row if value is not None]
    places = 2 if max(map(abs, known), default=0.0) >= 1 else 4
    text = [
        [_cell(v, s, places) for v, s in zip(*rows, strict=True)]
        for rows in zip(values, spreads, strict=True)
    ]
    heat = {
        "type": "heatmap",
        "z": values,
        "text": text,
        "texttemplate": "%{text}",
        "textfont": {"size": 11},
        "coloraxis": "coloraxis",
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": "peak %{x}, T %{y}<br>%{text}<extra></extra>",
    }
    frame = layout(
        120 + 52 * len(cells),
        xaxis=axis(
            "peak rate η_max",
            tickvals=list(range(across)),
            ticktext=[_short(peak) for peak in found["peaks"]],
            showgrid=False,
        ),
        yaxis=axis(
            "T, epochs",
            tickvals=list(range(len(cells))),
            ticktext=[_short(row[0]["length"]) for row in cells],
            showgrid=False,
        ),
        coloraxis={
            "cmin": min(known, default=0.0),
            "cmax": max(known, default=1.0),
            "colorscale": SCALE,
            "showscale": False,
        },
    )
    return figure([heat], frame)


def _short(value: object) -> str:
    number = finite(value)
    return "–" if number is None else f"{number:.3g}"


def _times(value: object, factor: float) -> float | None:
    number = finite(value)
    return None if number is None else factor * number


def _cell(value: float | None, spread: float | None, places: int) -> str:
    if value is None:
        return "–"
    shown = f"{value:.{places}f}"
    return shown if spread is None else f"{shown} ± {spread:.{places}f}"
