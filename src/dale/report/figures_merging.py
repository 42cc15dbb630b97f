"""Whether a merge is sound: norms, signs, directions, barriers."""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

from dale.report.figures import Figure, axis, figure, label, layout, line
from dale.report.html_numbers import finite, finites
from dale.report.style import ACCENT, MID, PALETTE

# From one direction to the other over nothing; numbers can be read on either
# background.
_BOTH = [
    [0, "rgba(213,94,0,0.6)"],
    [0.5, "rgba(128,136,144,0.08)"],
    [1, "rgba(0,114,178,0.6)"],
]
_ANNOTATED = 10  # models up to which the cells show their numbers


def norms(found: Mapping) -> Figure:
    """Norm of each tensor over the mean norm of the inputs'.

    Args:
        found: The document's ``soundness``.

    Returns:
        A plotly figure.
    """
    strangers = 1 / sqrt(len(found["cosines_KK"]) or 1)
    levels = [(1.0, "as large as the inputs", MID)]
    if strangers < 1:
        levels.append((strangers, "mean of unrelated networks", PALETTE[1]))
    return _by_tensor(found["rows"], "ratio", "norm ratio", levels, type="log")


def conflicts(found: Mapping) -> Figure:
    """Share of sign conflicts of each tensor, and what chance gives.

    Args:
        found: The document's ``soundness``.

    Returns:
        A plotly figure, in percent.
    """
    rows = [
        {**row, "conflict": None if share is None else 100 * share}
        for row in found["rows"]
        for share in [finite(row["conflict"])]
    ]
    levels = [(100 * chance(len(found["cosines_KK"])), "signs at random", PALETTE[1])]
    return _by_tensor(
        rows, "conflict", "sign conflicts, %", levels, range=[-3, 103], zeroline=True
    )


def chance(models: int) -> float:
    """Share of conflicts between signs that are drawn at random.

    Example:
        >>> chance(2), chance(3)
        (0.5, 0.75)
    """
    return 1 - 2.0 ** (1 - models)


def _by_tensor(
    rows: Sequence[Mapping],
    key: str,
    title: str,
    levels: Sequence[tuple[float, str, str]],
    **settings: Any,
) -> Figure:
    """One mark for each tensor in its order, matrices apart from vectors."""
    data = []
    for name, colour, matrix in (("matrices", ACCENT, 1), ("vectors", PALETTE[3], 0)):
        places = [i for i, row in enumerate(rows) if (len(row["shape"]) > 1) == matrix]
        if places:
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": name,
                    "x": places,
                    "y": [finite(rows[i][key]) for i in places],
                    "text": [label(rows[i]["name"]) for i in places],
                    "hovertemplate": "%{text}<br>%{y:.4g}<extra></extra>",
                    "marker": {"size": 6 if matrix else 5, "color": colour},
                }
            )
    ends = [0, max(len(rows) - 1, 1)]
    for height, name, colour in levels:
        stroke = {"width": 1.5, "dash": "dot"}
        data.append(line(name, ends, [height] * 2, colour, line=stroke))
    frame = layout(
        340,
        xaxis=axis("tensor, in the order of the network", showgrid=False),
        yaxis=axis(title, **settings),
        showlegend=True,
    )
    return figure(data, frame)


def cosines(found: Mapping, names: Sequence[str]) -> Figure:
    """Cosines between task vectors, or weights.

    Args:
        found: The document's ``soundness``.
        names: Of the models.

    Returns:
        A plotly figure.
    """
    shown = [label(name) for name in names]
    places = list(range(len(shown)))
    heat = {
        "type": "heatmap",
        "z": [finites(row) for row in found["cosines_KK"]],
        "zmin": -1,
        "zmax": 1,
        "colorscale": _BOTH,
        "showscale": len(shown) > _ANNOTATED,
        "colorbar": {"thickness": 8, "outlinewidth": 0},
        "xgap": 1,
        "ygap": 1,
        "customdata": [[f"{a} · {b}" for b in shown] for a in shown],
        "hovertemplate": "%{customdata}<br>%{z:.3f}<extra></extra>",
    }
    if len(shown) <= _ANNOTATED:
        heat |= {"texttemplate": "%{z:.2f}", "textfont": {"size": 11}}
    ticks = {"tickvals": places, "showgrid": False, "constrain": "domain"}
    numbers = [str(place + 1) for place in places]
    frame = layout(
        340,
        xaxis=axis(**ticks, ticktext=numbers),
        yaxis=axis(
            **ticks,
            ticktext=[
                f"{_short(name)} {n}" for name, n in zip(shown, numbers, strict=True)
            ],
            autorange="reversed",
            scaleanchor="x",
        ),
    )
    return figure([heat], frame)


def _short(name: str, most: int = 22) -> str:
    return name if len(name) <= most else f"…{name[1 - most :]}"


def paths(found: Mapping, names: Sequence[str]) -> Figure:
    """Loss from each input to the result.

    Args:
        found: The document's ``soundness``.
        names: Of the models.

    Returns:
        A plotly figure.
    """
    data = []
    for place, (name, path) in enumerate(zip(names, found["barriers"], strict=True)):
        colour = PALETTE[place % len(PALETTE)]
        hover = f"{label(name)}<br>t = %{{x:.2f}}<br>%{{y:.4f}}<extra></extra>"
        drawn = line(
            name,
            finites(path["t_T"]),
            finites(path["loss_T"]),
            colour,
            hovertemplate=hover,
        )
        data.append({**drawn, "mode": "lines+markers"})
    frame = layout(
        340,
        xaxis=axis("from the input (0) to the merge (1)"),
        yaxis=axis(str(found.get("measure") or "loss")),
        showlegend=True,
    )
    return figure(data, frame)
