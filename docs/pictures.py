"""Draws the pictures of these pages from the code and from a run.

    python docs/pictures.py [RUN]

``strategies.png`` shows the schedules that the strategies make; ``demo.png`` what a
run of ``dale demo`` found. Both are written to ``docs/_static``. RUN is the run folder,
by default ``runs/demo``; it is only read.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from dale.recipes import Workbench
from dale.store import Run
from dale.train import STRATEGIES, Budget, Trajectory

STATIC = Path(__file__).parent / "_static"
BLUE, ORANGE, GREY, INK = "#2a6f97", "#d1603d", "#8d99a6", "#26323d"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "text.color": INK,
    "xtick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.color": GREY,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "savefig.dpi": 200,
}


def strategies() -> None:
    """The learning rate of every strategy over one budget, members marked."""
    budget = Budget(steps=1000, per_epoch=20, seed=0)
    rows = -(-len(STRATEGIES) // 3)
    figure, panels = plt.subplots(
        rows, 3, figsize=(9, 2.3 * rows), sharex=True, sharey=True
    )
    for axes in panels.flat[len(STRATEGIES) :]:
        axes.set_visible(False)
    for axes, (name, row) in zip(panels.flat, STRATEGIES.items(), strict=False):
        trajectories = row.function(budget)
        if name == "independent":  # one after the other, drawn on top of each other
            _rates(axes, trajectories[:1])
            axes.text(
                0.98,
                0.92,
                f"{len(trajectories)} times, from other\ninitial weights",
                transform=axes.transAxes,
                ha="right",
                va="top",
                color=GREY,
            )
        else:
            _rates(axes, trajectories)
        if name == "swa":
            _averaged(axes, trajectories[0])
        axes.set_title(name, family="DejaVu Sans Mono")
        axes.set_ylim(0, 0.108)
    for axes in panels[:, 0]:
        axes.set_ylabel("learning rate")
    for axes in panels[-1]:
        axes.set_xlabel("update, of a budget of 1000")
    figure.tight_layout()
    figure.savefig(STATIC / "strategies.png")


def _rates(axes: Axes, trajectories: Sequence[Trajectory]) -> None:
    begun = 0
    for trajectory in trajectories:
        steps = trajectory.steps
        rates = trajectory.schedule.values()
        axes.plot([begun + s for s in range(steps)], rates, color=BLUE, lw=1.4)
        taken = trajectory.member_steps()
        axes.plot(
            [begun + step for step in taken],
            [rates[step - 1] for step in taken],
            "o",
            color=ORANGE,
            ms=5,
            clip_on=False,
            zorder=3,
        )
        begun += steps


def _averaged(axes: Axes, trajectory: Trajectory) -> None:
    (collector,) = trajectory.collectors()
    steps = [s for s in range(1, trajectory.steps + 1) if collector.wants(s)]
    rates = [trajectory.schedule(step - 1) for step in steps]
    axes.plot(steps[:-1], rates[:-1], "|", color=ORANGE, ms=8)
    axes.text(steps[0], rates[0] + 0.008, "averaged", color=ORANGE)


def demo(folder: Path) -> None:
    """One run of the demonstration: training and scores."""
    bench = Workbench(Run(folder))
    found = bench.run.read_result("evaluation")
    if found is None:
        sys.exit(f"{folder} was not evaluated; run: dale evaluate {folder}")
    figure = plt.figure(figsize=(10, 4.2), layout="constrained")
    grid = figure.add_gridspec(2, 3, width_ratios=(1.25, 1, 1))
    rate = figure.add_subplot(grid[0, 0])
    curve = figure.add_subplot(grid[1, 0], sharex=rate)
    trajectories = bench.recipe.trajectories(len(bench.data.splits["train"]))
    (snapshot,) = (t for t in trajectories if t.name == "snapshot")
    _training(rate, curve, snapshot, bench)
    errors = figure.add_subplot(grid[:, 1])
    losses = figure.add_subplot(grid[:, 2], sharey=errors)
    _errors(errors, found["rows"])
    _losses(losses, found["rows"])
    figure.savefig(STATIC / "demo.png")


def _training(rate: Axes, curve: Axes, snapshot: Trajectory, bench: Workbench) -> None:
    _rates(rate, [snapshot])
    rate.set_title("One run of cosine cycles")
    rate.set_ylabel("learning rate")
    rate.set_ylim(bottom=0)
    rate.tick_params(labelbottom=False)
    rows = [r for r in bench.run.log() if r["trajectory"] == snapshot.name]
    steps = [row["step"] for row in rows]
    curve.plot(steps, [100 * row["val_error"] for row in rows], color=BLUE, lw=1.2)
    members = bench.members("snapshot")
    errors = [100 * member.scores["val_error"] for member in members]
    taken = [member.step for member in members]
    curve.plot(taken, errors, "o", color=ORANGE, ms=5, zorder=3, clip_on=False)
    curve.set_ylim(0, 12)
    curve.text(taken[2], 4.2, "members", color=ORANGE, va="bottom")
    curve.set_xlabel("update")
    curve.set_ylabel("validation error, %")


def _errors(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    places = list(range(len(rows), 0, -1))
    for place, row in zip(places, rows, strict=True):
        interval = [100 * bound for bound in row["error_interval"]]
        axes.plot(interval, [place, place], color=_colour(row), lw=1.2, alpha=0.6)
        axes.plot(100 * row["error"], place, "o", color=_colour(row), ms=6)
    labels = [
        f"{row['name']}\n{row['networks']} network{'s' * (row['networks'] > 1)}"
        for row in rows
    ]
    axes.set_yticks(places, labels)
    axes.set_title("Error, %")
    axes.set_xlim(left=0)
    axes.set_xlabel(f"{rows[0]['n']} test images\nbars: 95 % of resamples")
    _bare(axes)


def _losses(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    for place, row in zip(range(len(rows), 0, -1), rows, strict=True):
        before, after = row["nll"], row["nll_calibrated"]
        axes.plot([before, after], [place, place], color=_colour(row), lw=1.2)
        axes.plot(before, place, "o", mfc="white", mec=_colour(row), ms=8)
        axes.plot(after, place, "o", color=_colour(row), ms=5)
    axes.set_title("Negative log-likelihood")
    axes.set_xlabel("open: as trained\nfilled: after a temperature")
    axes.tick_params(labelleft=False)
    _bare(axes)


def _colour(row: dict[str, Any]) -> str:
    return ORANGE if row["networks"] > 1 else BLUE


def _bare(axes: Axes) -> None:
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y", color=GREY, alpha=0.2)


def main(arguments: Sequence[str]) -> None:
    STATIC.mkdir(exist_ok=True)
    with plt.rc_context(STYLE):
        strategies()
        demo(Path(arguments[0] if arguments else "runs/demo"))


if __name__ == "__main__":
    main(sys.argv[1:])
