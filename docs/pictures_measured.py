"""Pictures of what ``dale plan`` and ``dale diagnose`` find, from a run of their own.

The run is small, half a minute of training on digits, and is kept: it is made when it
is not there, and resumed or read when it is.
"""

from collections.abc import Sequence
from math import exp, log
from pathlib import Path
from typing import Any

import torch
from drawing import BLUE, GREEN, GREY, INK, ORANGE, STATIC, rates
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from dale.recipes import compare_averages, diagnose, every_strategy, plan, start
from dale.recipes.workbench import Workbench
from dale.store import Run
from dale.train import parse_recipe

RECIPE = """\
seed: 0
data: {source: digits, val: 400, test: 900}
model: {name: convnet, width: 8}
epochs: 60
batch: 32
engine: {threads: 1}
strategies:
  - {name: nocycle, members: 30, schedule: {name: cosine, peak: 0.1}}
  - {name: snapshot, cycles: 5, peak: 0.2}
  - {name: fge, cycle: 2 epochs, schedule: {name: cosine, peak: 0.1}}
  - {name: independent, members: 5}
"""
PLANNED = """\
data: {source: digits, val: 400, test: 900}
model: {name: convnet, width: 8}
epochs: 60
batch: 32
augment: {crop: 1}
engine: {threads: 1}
strategies: [snapshot]
"""


def measured(folder: Path) -> None:
    """Draw the pictures of a run, which is trained first where it is not there.

    Args:
        folder: Of the run.
    """
    bench = Workbench(Run(folder)) if folder.exists() else start(RECIPE, folder)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    bench.train()
    planned(bench)
    noise(bench)
    ergodicity(bench)
    torch.set_num_threads(threads)


def planned(bench: Workbench) -> None:
    """Every strategy's schedule, and what it costs at this budget."""
    recipe = parse_recipe(PLANNED)
    found = plan(recipe, bench.data, every=True)
    made = every_strategy(recipe, bench.data.examples)
    prices = [price for price in found.prices if price.problem is None]
    budget = found.epochs * found.per_epoch
    figure, panels = plt.subplots(
        len(prices),
        3,
        figsize=(9, 0.72 * len(prices) + 0.6),
        sharex="col",
        width_ratios=(3.2, 1, 1),
        layout="constrained",
    )
    for (curve, time, disk), price in zip(panels, prices, strict=True):
        trajectories = made[price.strategy]
        assert not isinstance(trajectories, str)
        repeated = price.steps > budget
        rates(curve, trajectories[:1] if repeated else trajectories, size=3.5)
        curve.set_ylim(bottom=0)
        curve.set_yticks(())
        if repeated:
            words = f"{len(trajectories)} times, one after another"
            curve.text(
                0.99, 0.9, words, transform=curve.transAxes, ha="right", va="top"
            )
        curve.set_ylabel(price.strategy, rotation=0, ha="right", va="center")
        _bar(time, price.seconds, f"{price.seconds:.1f} s", BLUE)
        words = f"{price.disk_bytes / 1e3:.0f} kB, {price.members}"
        _bar(disk, price.disk_bytes / 1e3, words, ORANGE)
    heads = (f"Learning rate, {found.epochs} epochs", "Time", "Disk, members")
    for axes, words in zip(panels[0], heads, strict=True):
        axes.set_title(words)
    panels[-1, 0].set_xlabel("update")
    figure.savefig(STATIC / "plan.png", dpi=150)


def _bar(axes: Axes, length: float, words: str, colour: str) -> None:
    axes.barh(0, length, height=0.5, color=colour)
    axes.text(length, 0, f" {words}", va="center", clip_on=False)
    axes.set_ylim(-0.6, 0.6)
    axes.set_axis_off()


def noise(bench: Workbench) -> None:
    """Variance of the gradient against batch size, early in a run and at its end."""
    members = bench.members("nocycle")
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for axes, member in zip(panels, (members[0], members[-1]), strict=True):
        found = diagnose(bench, member.label, draws=200, steps=1)["noise"]
        _noise(axes, found)
        axes.set_title(f"After {member.step} updates")
    panels[0].set_ylabel("variance of the gradient of a batch")
    panels[0].legend(loc="lower left")
    figure.savefig(STATIC / "gradient_noise.png", dpi=150)


def _noise(axes: Axes, found: dict[str, Any]) -> None:
    sizes, count = found["batches"], found["examples"]
    left = [(count - size) / (count - 1) for size in sizes]  # without replacement
    freed = [log(v / share) for v, share in zip(found["variances"], left, strict=True)]
    middle = sum(map(log, sizes)) / len(sizes)
    height, slope = sum(freed) / len(freed), found["exponent"]
    fitted = [
        share * exp(height + slope * (log(size) - middle))
        for size, share in zip(sizes, left, strict=True)
    ]
    squared, scale = found["squared_norm"], found["noise_scale"]
    theory = [
        scale * squared / size * share for size, share in zip(sizes, left, strict=True)
    ]
    axes.loglog(sizes, found["variances"], "o", color=BLUE, ms=5, label="measured")
    axes.loglog(sizes, fitted, color=BLUE, lw=1.4, label="fitted power of b")
    axes.loglog(sizes, theory, ":", color=INK, lw=1.2, label="tr Σ / b")
    axes.axhline(squared, ls="--", color=ORANGE, lw=1.2, label="|G|²")
    axes.text(
        0.97,
        0.95,
        f"exponent −{-slope:.2f}\nnoise scale {scale:.0f}",
        transform=axes.transAxes,
        ha="right",
        va="top",
    )
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("batch size b")


def ergodicity(bench: Workbench) -> None:
    """Pools over time and over runs: by size, and as shares with intervals."""
    found = compare_averages(bench)
    apart, groups = found["independent"], found["groups"]
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9, 3.4), layout="constrained", width_ratios=(1, 1.1)
    )
    hues = dict(zip([g["group"] for g in groups], (INK, ORANGE, GREEN), strict=True))
    _by_size(left, apart["group"], apart["by_size"], BLUE)
    for entry in groups:
        _by_size(left, entry["group"], entry["by_size"], hues[entry["group"]])
    left.set_xlabel("networks in the pool")
    left.set_title("Calibrated NLL")
    left.legend(loc="center right", bbox_to_anchor=(1, 0.66))
    _shares(right, groups, hues)
    figure.savefig(STATIC / "ergodicity.png", dpi=150)


def _by_size(axes: Axes, name: str, values: Sequence[float], colour: str) -> None:
    sizes = range(1, len(values) + 1)
    axes.plot(sizes, values, "o-", color=colour, lw=1.4, ms=4, label=name)
    axes.set_xticks(sizes)


def _shares(axes: Axes, groups: Sequence[dict[str, Any]], hues: dict[str, str]) -> None:
    """What time averages recover of ensemble averages, with intervals."""
    rows = list(reversed(groups))
    for place, entry in enumerate(rows):
        colour = hues[entry["group"]]
        for shift, key, mark in ((0.12, "gain", "o"), (-0.12, "disagreement", "s")):
            share, height = entry[key], place + shift
            ends = [100 * share["low"], 100 * share["high"]]
            axes.plot(ends, [height, height], color=colour, lw=1.6)
            name = key if place == 0 else None
            at = 100 * share["value"]
            axes.plot(at, height, mark, color=colour, ms=6, ls="", label=name)
    axes.axvline(100, color=BLUE, ls="--", lw=1.2)
    axes.axvline(0, color=GREY, lw=0.8)
    axes.set_yticks(range(len(rows)), [entry["group"] for entry in rows])
    axes.set_ylim(-0.5, len(rows) - 0.5)
    axes.set_title("Share of what independent networks give, %")
    axes.set_xlabel("bars: 95 % of resamples of the test images")
    axes.legend(loc="center right", bbox_to_anchor=(0.9, 0.33))
