"""Error against calibrated likelihood, and what members are worth."""

from collections.abc import Mapping
from math import isinf
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

COLOURS = {1: "#0072B2", 2: "#D55E00"}  # one network at inference, or several


def draw(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Three panels, one row for each strategy.

    Args:
        document: What `strategies.py` stores as JSON.
        folder: Where the picture goes.

    Returns:
        Its file, the only one.
    """
    seeds = document["seeds"]
    order = sorted(
        range(len(seeds[0])),
        key=lambda place: mean(s[place]["nll_calibrated"] for s in seeds),
        reverse=True,
    )
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.8), sharey=True)
    panels = (
        ("error", 100.0, "test error, %"),
        ("nll_calibrated", 1.0, "NLL after temperature scaling"),
        ("equivalent", 1.0, "worth so many independent runs"),
    )
    for place, (name, scale, title) in zip(axes, panels, strict=True):
        _dots(place, document, order, name, scale)
        place.set_title(title, fontsize=9, loc="left")
        place.grid(axis="x", color="0.93")
        place.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(order)), [_label(seeds[0][p]) for p in order])
    axes[2].set_xlim(0.8, document["facts"]["members"] + 0.6)
    figure.tight_layout()
    path = folder / "strategies_compared.png"
    figure.savefig(path, dpi=150, metadata={"Software": None})
    plt.close(figure)
    return [path]


def _label(line: Mapping[str, Any]) -> str:
    kind = line["title"].partition(", ")[2]
    return f"{line['name']}, {kind}" if kind else line["name"]


def _dots(
    axes: Axes, document: Mapping[str, Any], order: list[int], name: str, scale: float
) -> None:
    beyond = document["facts"]["members"] + 0.3
    for height, place in enumerate(order):
        lines = [seed[place] for seed in document["seeds"]]
        values = [scale * line[name] for line in lines]
        shown = [beyond if isinf(value) else value for value in values]
        colour = COLOURS[min(2, lines[0]["networks"])]
        marker = ">" if any(isinf(value) for value in values) else "o"
        axes.plot(shown, [height] * len(shown), ".", color=colour, alpha=0.5, ms=5)
        axes.plot(mean(shown), height, marker, color=colour, ms=7)
