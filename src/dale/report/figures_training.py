"""What training did: curves of loss, error and calibration over steps."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from dale.report.figures import Figure, axis, figure, label, layout, line
from dale.report.html_numbers import finite

Points = tuple[list[float], list[float]]
_SHARES = ("error", "ece", "agreement")  # shown in percent
_TITLES = {
    "ece": "ECE",
    "logit_norm": "norm of the logits",
    "consistency_weight": "weight",
}


def curves(
    log: Sequence[Mapping],
    members: Sequence[Mapping],
    quantity: str,
    colours: Mapping[str, str],
) -> Figure:
    """Training (dotted) and validation (solid) values against step, members marked.

    Args:
        log: The document's ``log``.
        members: The document's ``members``; a member is marked where its trajectory
            was at its step, on the validation curve, or on the training curve when
            there is no validation.
        quantity: ``loss``, ``error``, ``ece``, ``logit_norm``, ``agreement`` or
            ``consistency_weight``.
        colours: Trajectory → colour.

    Returns:
        A plotly figure.
    """
    trajectories = _by_trajectory(log)
    alone = len(trajectories) == 1
    data = []
    for name, rows in trajectories.items():
        data += _trajectory_lines(name, rows, quantity, colours[name], alone)
        data += _member_marks(name, rows, members, quantity, colours[name], alone)
    unit = {"ticksuffix": "\u202f%"} if quantity in _SHARES else {}
    frame = layout(
        340,
        xaxis=axis("step", rangemode="tozero"),
        yaxis=axis(_TITLES.get(quantity, quantity), rangemode="tozero", **unit),
        showlegend=True,
        hovermode="closest",
    )
    return figure(data, frame)


def has(log: Sequence[Mapping], quantity: str) -> bool:
    """Whether any row of the log holds this quantity, in training or validation."""
    keys = (f"train_{quantity}", f"val_{quantity}")
    return any(finite(row.get(key)) is not None for row in log for key in keys)


def _by_trajectory(log: Sequence[Mapping]) -> dict[str, list[Mapping]]:
    """Rows of each trajectory by step; a row without a step is left out."""
    found: dict[str, list[Mapping]] = {}
    for row in log:
        if finite(row.get("step")) is not None:
            found.setdefault(row["trajectory"], []).append(row)
    return {n: sorted(rows, key=lambda row: row["step"]) for n, rows in found.items()}


def _values(rows: Sequence[Mapping], key: str) -> Points:
    """Steps and values of one column, shares in percent, holes left out."""
    scale = 100.0 if key.endswith(_SHARES) else 1.0
    pairs = [(row["step"], finite(row.get(key))) for row in rows]
    kept = [(float(step), scale * y) for step, y in pairs if y is not None]
    return [step for step, _ in kept], [y for _, y in kept]


def _trajectory_lines(
    name: str, rows: Sequence[Mapping], quantity: str, colour: str, alone: bool
) -> list[dict[str, Any]]:
    """One trajectory's lines; alone, the legend names the lines, not the trajectory."""
    looks = {
        "train": ("training", {"width": 1.5, "dash": "dot"}),
        "val": ("validation", {"width": 2}),
        "average_val": ("validation of the average", {"width": 2, "dash": "dash"}),
    }
    lines = []
    for split, (meaning, stroke) in looks.items():
        steps, values = _values(rows, f"{split}_{quantity}")
        if not steps:
            continue
        hover = "%{y:.2f}\u202f%" if quantity in _SHARES else "%{y:.4f}"
        where = meaning if alone else f"{label(name)}, {meaning}"
        lines.append(
            line(
                meaning if alone else name,
                steps,
                values,
                colour,
                line=stroke,
                legendgroup=meaning if alone else label(name),
                showlegend=alone,
                hovertemplate=f"{where}<br>step %{{x}}<br>{hover}<extra></extra>",
            )
        )
    if lines:
        lines[-1]["showlegend"] = True
    return lines


def _member_marks(
    name: str,
    rows: Sequence[Mapping],
    members: Sequence[Mapping],
    quantity: str,
    colour: str,
    alone: bool,
) -> list[dict[str, Any]]:
    """Diamonds where this trajectory's members were taken."""
    steps, values = _values(rows, f"val_{quantity}")
    if not steps:
        steps, values = _values(rows, f"train_{quantity}")
    taken = [
        (float(member["step"]), label(member["label"]))
        for member in members
        if member.get("trajectory") == name and finite(member.get("step")) is not None
    ]
    if not (steps and taken):
        return []
    marks = {
        "type": "scatter",
        "mode": "markers",
        "name": "member",
        "x": [step for step, _ in taken],
        "y": [_between(steps, values, step) for step, _ in taken],
        "text": [text for _, text in taken],
        "marker": {"color": colour, "size": 9, "symbol": "diamond"},
        "legendgroup": "member" if alone else label(name),
        "showlegend": alone,
        "hovertemplate": "%{text}<br>step %{x}<extra></extra>",
    }
    return [marks]


def _between(steps: Sequence[float], values: Sequence[float], step: float) -> float:
    """The curve at a step: straight between its points, level beyond its ends."""
    right = bisect_left(steps, step)
    if right == 0 or right == len(steps):
        return values[min(right, len(steps) - 1)]
    span = steps[right] - steps[right - 1]
    share = (step - steps[right - 1]) / span
    return values[right - 1] + share * (values[right] - values[right - 1])
