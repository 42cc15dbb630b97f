"""Pictures of the figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from drifting.claims import rows
from drifting.tables import TITLES

COLOURS = {
    "single run (control)": "#777777",
    "SWA": "#CC79A7",
    "uniform soup of snapshot": "#009E73",
    "snapshot ensemble": "#E69F00",
    "short-cycle ensemble": "#56B4E9",
    "deep ensemble": "#0072B2",
}
PANELS = ("error", "nll_calibrated", "ece", "ece_calibrated")


def draw(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Severity curves, and the growth of the logits."""
    made = {
        "drift_severity.png": _severity(document["seeds"]),
        "drift_logit_norm.png": _growth(document["seeds"]),
    }
    paths = []
    for name, figure in made.items():
        # without the version that would change the file every time
        figure.savefig(folder / name, dpi=150, metadata={"Software": None})
        plt.close(figure)
        paths.append(folder / name)
    return paths


def _severity(seeds: Sequence[Mapping[str, Any]]) -> Any:
    tables, severities = [rows(s) for s in seeds], seeds[0]["drift"]["severities"]
    figure, axes = plt.subplots(1, len(PANELS), figsize=(12, 3.6))
    for place, measure in zip(axes, PANELS, strict=True):
        factor = 1 if measure.startswith("nll") else 100
        for name, colour in COLOURS.items():
            lines = [
                [factor * at[measure] for at in found[name]["by_severity"]]
                for found in tables
            ]
            for line in lines:
                place.plot(severities, line, color=colour, lw=0.5, alpha=0.4)
            centre = [mean(values) for values in zip(*lines, strict=True)]
            place.plot(severities, centre, "o-", color=colour, ms=3, label=name)
        place.set_title(TITLES[measure].replace(" on clean images", ""), fontsize=9)
        place.set_xlabel("severity")
        place.grid(color="0.93")
        place.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.tight_layout(rect=(0, 0.09, 1, 1))
    figure.legend(handles, labels, loc="lower center", ncols=6, frameon=False)
    return figure


def _growth(seeds: Sequence[Mapping[str, Any]]) -> Any:
    panels = {
        "val_error": ("validation error, %", 100),
        "val_ece": ("validation ECE, %", 100),
        "val_logit_norm": ("mean norm of the logits", 1),
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(10, 3))
    for place, (key, (title, factor)) in zip(axes, panels.items(), strict=True):
        for seed in seeds:
            epochs = [line["epoch"] for line in seed["growth"]]
            values = [factor * line[key] for line in seed["growth"]]
            place.plot(epochs, values, color="#0072B2", alpha=0.7)
        place.set(title=title, xlabel="epoch of the single run")
        place.grid(color="0.93")
        place.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure
