"""The figures as pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

# Okabe and Ito (2008): apart for colour-blind readers too
COLOURS = {
    "single": "#0072B2",
    "average": "#009E73",
    "soup": "#E69F00",
    "ensemble": "#D55E00",
}
KINDS = {
    "single": "one network",
    "average": "one averaged network",
    "soup": "one network, a soup",
    "ensemble": "several networks",
}
FEWEST = 20
PANELS = {
    "nocycle": "NoCycle snapshots",
    "snapshot": "snapshots",
    "short_cycles": "short cycles",
}
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "savefig.dpi": 150,
    "savefig.bbox": "tight",
}


def draw(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw every picture that the figures allow.

    Args:
        document: What `fashion_mnist.py` stores as JSON.
        folder: Where the pictures go.

    Returns:
        Their files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first = document["regimes"][0]
    drawn = {
        "fashion_methods.png": lambda: methods(document),
        "fashion_disagreement.png": lambda: disagreement(first),
        "fashion_reliability.png": lambda: reliability(first),
    }
    paths = []
    with plt.rc_context(STYLE):
        for name, make in drawn.items():
            figure = make()
            # without the date and version that would change the file every time
            figure.savefig(folder / name, metadata={"Software": None})
            plt.close(figure)
            paths.append(folder / name)
    return paths


def methods(document: Mapping[str, Any]) -> Any:
    """Error and calibrated likelihood of each predictor, in each regime."""
    regimes = document["regimes"]
    tall = sum(len(regime["methods"]) for regime in regimes)
    figure, axes = plt.subplots(
        len(regimes),
        2,
        figsize=(9, 1.2 * len(regimes) + 0.22 * tall),
        squeeze=False,
        gridspec_kw={"height_ratios": [len(r["methods"]) + 2 for r in regimes]},
    )
    for row, regime in zip(axes, regimes, strict=True):
        _dots(row[0], regime, "error", 100)
        _dots(row[1], regime, "nll_calibrated", 1)
        row[0].set(title=regime["title"], xlabel="test error, %")
        row[1].set(xlabel="test NLL, calibrated (nats)", yticklabels=[])
    handles = [
        plt.Line2D([], [], marker="o", linestyle="", color=COLOURS[kind], label=label)
        for kind, label in KINDS.items()
    ]
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.legend(handles=handles, loc="lower center", ncols=4, frameon=False)
    return figure


def _dots(axes: Axes, regime: Mapping[str, Any], measure: str, factor: float) -> None:
    for place, method in enumerate(regime["methods"]):
        entry, colour = method[measure], COLOURS[method["kind"]]
        values = [factor * value for value in entry["values"]]
        axes.plot(values, [place] * len(values), "o", color=colour, ms=3, alpha=0.4)
        width = None if entry["std"] is None else factor * entry["std"]
        centre = factor * entry["mean"]
        axes.errorbar(centre, place, xerr=width, fmt="o", color=colour, capsize=3)
    axes.axvline(
        factor * regime["methods"][0][measure]["mean"], color="0.75", lw=1, zorder=0
    )
    names = [method["name"] for method in regime["methods"]]
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(axis="x", color="0.93")
    axes.set_axisbelow(True)


def disagreement(regime: Mapping[str, Any]) -> Any:
    """How often two members predict different classes, by strategy."""
    groups = [group for group in PANELS if group in regime["disagreement"]]
    matrices = [regime["disagreement"][group]["matrix"] for group in groups]
    top = 100 * max(max(map(max, matrix)) for matrix in matrices)
    figure, axes = plt.subplots(
        1, len(groups), figsize=(3.1 * len(groups), 3.1), squeeze=False
    )
    for place, group, matrix in zip(axes[0], groups, matrices, strict=True):
        image = place.imshow(
            [[100 * value for value in row] for row in matrix],
            cmap="viridis",
            vmin=0,
            vmax=top,
        )
        _written(place, matrix, top)
        numbers = range(1, len(matrix) + 1)
        place.set_xticks(range(len(matrix)), numbers)
        place.set_yticks(range(len(matrix)), numbers)
        place.set(title=PANELS[group], xlabel="member")
        place.spines[:].set_visible(False)
    axes[0][0].set_ylabel("member")
    figure.colorbar(
        image, ax=list(axes[0]), shrink=0.8, label="test images on which two differ, %"
    )
    return figure


def _written(axes: Axes, matrix: list[list[float]], top: float) -> None:
    for i, row in enumerate(matrix):
        for j, value in enumerate(row):
            if i != j:
                shade = "black" if 100 * value > 0.6 * top else "white"
                text = f"{100 * value:.1f}"
                axes.text(j, i, text, ha="center", va="center", color=shade, size=7)


def reliability(regime: Mapping[str, Any]) -> Any:
    """Confidence against accuracy, before and after temperature scaling."""
    wanted = ("single run (control)", "snapshot ensemble")
    names = [name for name in wanted if name in regime["reliability"]]
    figure, axes = plt.subplots(
        1, len(names), figsize=(3.6 * len(names), 3.6), squeeze=False, sharey=True
    )
    for place, name in zip(axes[0], names, strict=True):
        place.plot([0, 1], [0, 1], color="0.75", lw=1)
        for when, colour in (("before", "#D55E00"), ("after", "#0072B2")):
            curve = regime["reliability"][name][when]
            bins = zip(
                curve["confidence"], curve["accuracy"], curve["counts"], strict=True
            )
            # the accuracy of a handful of images is noise
            filled = [(c, a) for c, a, count in bins if count >= FEWEST]
            label = f"{when}: ECE {100 * curve['ece']:.1f} %"
            place.plot(
                *zip(*filled, strict=True), "o-", color=colour, ms=4, label=label
            )
        place.set(title=name, xlabel="confidence", xlim=(0, 1), ylim=(0, 1))
        place.set_aspect("equal")
        place.legend(frameon=False, loc="upper left", fontsize=8)
    axes[0][0].set_ylabel("accuracy")
    figure.tight_layout()
    return figure
