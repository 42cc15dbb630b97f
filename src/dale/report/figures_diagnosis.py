"""What a diagnosis found: noise of gradients, time against ensemble averages."""

from collections.abc import Mapping

from dale.report.figures import Figure, axis, figure, label, layout, line
from dale.report.html_numbers import finite, finites
from dale.report.style import ACCENT, PALETTE


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
