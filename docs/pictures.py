"""Draws the pictures of these pages from the code and from two runs.

    python docs/pictures.py [RUN]

``schedules.png`` shows every schedule, ``strategies.png`` those that the strategies
make, and ``demo.png`` what a run of ``dale demo`` found. RUN is its folder, by default
``runs/demo``; it is only read. ``plan.png``, ``gradient_noise.png`` and
``ergodicity.png`` show what ``dale plan`` and ``dale diagnose`` say of a smaller run,
``runs/pictures``, which is trained unless it is there. They are written to
``docs/_static``; all of it takes about two minutes.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

from drawing import BLUE, GREY, INK, ORANGE, STATIC, STYLE, rates
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from pictures_measured import measured

from dale import schedules as shapes
from dale.recipes import Workbench
from dale.schedules import SCHEDULES, Schedule
from dale.store import Run
from dale.train import STRATEGIES, Budget, Trajectory

STEPS = 200
SHAPES: dict[str, dict[str, Any]] = {
    "constant": {"value": 0.08},
    "linear": {"first": 0.1, "last": 0.01},
    "geometric": {"first": 0.1, "last": 0.001},
    "step_decay": {"peak": 0.1, "every": 50, "factor": 0.4},
    "milestones": {"peak": 0.1, "at": (100, 150), "factor": 0.1},
    "exponential": {"peak": 0.1, "rate": 0.02},
    "polynomial": {"peak": 0.1, "power": 2.0},
    "inverse_sqrt": {"peak": 0.1, "warmup": 20},
    "cosine": {"peak": 0.1},
    "one_cycle": {"peak": 0.1},
    "swa_tail": {"peak": 0.1, "tail": 0.03, "start": 150},
    "clr": {"peak": 0.1, "up": 30, "floor": 0.01},
    "cosine_restarts": {"peak": 0.1, "cycles": 4},
    "triangular": {"peak": 0.1, "cycles": 4, "floor": 0.01},
    "triangular2": {"peak": 0.1, "cycles": 4, "floor": 0.01},
    "exp_range": {"peak": 0.1, "cycles": 4, "gamma": 0.993, "floor": 0.01},
    "fge_triangle": {"peak": 0.1, "cycles": 4, "floor": 0.01},
}
"""Settings that show what each shape of the table does."""


def schedules() -> None:
    """Every shape of the table, and schedules made of schedules."""
    assert set(SHAPES) == set(SCHEDULES), "a shape has no settings here"
    drawn = {n: r.function(steps=STEPS, **SHAPES[n]) for n, r in SCHEDULES.items()}
    made = _made()
    rows = -(-(len(drawn) + len(made)) // 4)
    figure, panels = plt.subplots(
        rows, 4, figsize=(9, 1.6 * rows), sharex=True, sharey=True
    )
    for axes in panels.flat[len(drawn) + len(made) :]:
        axes.set_visible(False)
    found = [*((n, s, BLUE) for n, s in drawn.items())]
    found += [(f"{n}(…)", s, INK) for n, s in made.items()]
    for axes, (name, schedule, colour) in zip(panels.flat, found, strict=False):
        _shape(axes, name, schedule, colour)
    for axes in panels[-1]:
        axes.set_xlabel("step")
    figure.tight_layout()
    figure.savefig(STATIC / "schedules.png", dpi=130)


def _made() -> dict[str, Schedule]:
    decay = shapes.cosine(0.1, steps=120, floor=0.03)
    short = shapes.cosine_restarts(0.1, steps=100, cycles=2)
    triangles = shapes.fge_triangle(peak=0.06, floor=0.005, steps=80, cycles=4)
    return {
        "warmup": shapes.warmup(shapes.cosine(0.1, steps=STEPS), steps=40),
        "tail": shapes.tail(shapes.cosine(0.1, steps=140), value=0.04, steps=60),
        "join": shapes.join(decay, triangles),
        "repeat": shapes.repeat(shapes.linear(0.1, 0.01, steps=50), times=4),
        "stretch": shapes.stretch(short, steps=STEPS),
        "hold": shapes.hold(shapes.cosine(0.1, steps=10), every=20),
        "scale": shapes.scale(short, factor=0.5),
    }


def _shape(axes: Axes, name: str, schedule: Schedule, colour: str) -> None:
    values = schedule.values()
    axes.plot(range(schedule.steps), values, color=colour, lw=1.4)
    if schedule.ends:
        last = [end - 1 for end in schedule.ends]
        points = [values[step] for step in last]
        axes.plot(last, points, "o", color=ORANGE, ms=4, clip_on=False, zorder=3)
    axes.set_title(name, family="DejaVu Sans Mono", fontsize=9)
    axes.set_ylim(0, 0.108)
    axes.set_xticks((0, 100, 200))


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
            rates(axes, trajectories[:1])
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
            rates(axes, trajectories)
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
    rates(rate, [snapshot])
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
        schedules()
        strategies()
        demo(Path(arguments[0] if arguments else "runs/demo"))
        measured(Path("runs/pictures"))


if __name__ == "__main__":
    main(sys.argv[1:])
