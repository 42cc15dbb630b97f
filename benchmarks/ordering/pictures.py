"""Accuracy of every method, one panel for each family of networks."""

from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from ordering.tables import TITLES, accuracies

BOUNDS = ("parent", "each child on its own task", "trained on all tasks")
KNOWING = (
    "import",
    "CPIS",
    "importance by Fisher",
    "Fisher",
    "RegMean",
    "AdaMerging, by task",
    "AdaMerging, by layer",
    "learned soup",
)
"""Methods that look at examples or at statistics of them."""


def draw(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """One row for each method, ordered by its mean over all panels.

    Args:
        document: What `merge_ordering.py` stores as JSON.
        folder: Where the picture goes.

    Returns:
        Its file, the only one.
    """
    found = document["found"]
    names = [*next(iter(found.values()))[0]]
    order = sorted(
        names,
        key=lambda n: mean(mean(accuracies(seeds, n)) for seeds in found.values()),
    )
    rows = -(-len(found) // 2)
    figure, grid = plt.subplots(rows, 2, figsize=(8.4, 4.6 * rows), sharey=True)
    axes = grid.flatten()
    for place, (title, seeds) in zip(axes, found.items(), strict=False):
        for height, name in enumerate(order):
            values = accuracies(seeds, name)
            colour = "#555555" if name in BOUNDS else "#0072B2"
            colour = "#D55E00" if name in KNOWING else colour
            place.plot(
                values, [height] * len(values), ".", color=colour, alpha=0.5, ms=5
            )
            place.plot(mean(values), height, "o", color=colour, ms=6)
        problem, net = title.split(", ")
        place.set_title(f"{problem}, {net}", fontsize=9, loc="left")
        place.set_xlabel("test accuracy, %", fontsize=8)
        place.grid(color="0.93")
        place.tick_params(labelsize=8)
        place.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(order)), order)
    caption = "; ".join(f"{name}: {words}" for name, words in TITLES.items())
    figure.text(0.01, 0.004, caption, fontsize=7)
    figure.tight_layout(rect=(0, 0.012, 1, 1))
    path = folder / "merge_ordering.png"
    figure.savefig(path, dpi=150, metadata={"Software": None})
    plt.close(figure)
    return [path]
