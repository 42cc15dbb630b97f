"""How peak rate and length of a cycle decide how different snapshots are.

    python benchmarks/diversity.py

Snapshots of a small network on Fashion-MNIST at every peak rate and every length of a
cycle, all with the same number of updates, over several seeds. It can be stopped at any
moment; started again, it goes on where it was.
"""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import torch
from fashion.machine import processor

import dale
from dale.recipes import sweep
from dale.train import Watcher, parse_recipe

HERE = Path(__file__).resolve().parent
RECIPE = """
data: {source: idx, path: /usr/share/datasets/fashion-mnist, train_limit: 3000,
       val: 1000}
model: {name: mlp, hidden: [64]}
epochs: 24
batch: 64
strategies: [single]
engine: {stack: always}
"""
PEAKS, CYCLES = (0.02, 0.05, 0.1, 0.15), (2, 4, 8, 12)
SHOWN = (
    ("disagreement", "disagreement of pairs, %", 100.0, 1),
    ("error", "error of single members, %", 100.0, 1),
    ("pooled_error", "error of the pool, %", 100.0, 1),
    ("nll", "NLL of single members", 1.0, 3),
    ("pooled_nll", "NLL of the pool", 1.0, 3),
    ("gain", "gain, NLL", 1.0, 3),
)


def cell(found, peak, cycles):
    """One cell of the grid."""
    (only,) = [c for c in found["cells"] if (c["peak"], c["cycles"]) == (peak, cycles)]
    return only


def draw(found, path):
    """Four maps: rate across, length of a cycle upwards."""
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.0), sharey=True)
    panels = [SHOWN[0], SHOWN[1], SHOWN[5], SHOWN[4]]
    order = sorted(found["cycles"], reverse=True)
    for place, (name, title, factor, digits) in zip(axes, panels, strict=True):
        table = [
            [factor * cell(found, peak, count)[name]["mean"] for peak in PEAKS]
            for count in order
        ]
        place.imshow(table, cmap="Blues", origin="lower", aspect="auto")
        highest, lowest = max(map(max, table)), min(map(min, table))
        for row, values in enumerate(table):
            for column, value in enumerate(values):
                dark = value > (highest + lowest) / 2
                ink = "white" if dark else "black"
                text = f"{value:.{digits}f}"
                place.text(column, row, text, color=ink, ha="center", va="center")
        place.set_title(title, fontsize=9, loc="left")
        place.set_xticks(range(len(PEAKS)), [f"{peak:g}" for peak in PEAKS])
        place.set_xlabel("peak rate η_max", fontsize=9)
        place.spines[:].set_visible(False)
        place.tick_params(length=0)
    lengths = [f"{found['epochs'] / count:g}" for count in order]
    axes[0].set_yticks(range(len(order)), lengths)
    axes[0].set_ylabel("length T of a cycle, epochs", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=150, metadata={"Software": None})
    plt.close(figure)


def table(found):
    """A line for each cell."""
    columns = ["Peak", "Cycles", "T, epochs", *(title for _, title, _, _ in SHOWN)]
    lines = [columns, ["---"] * len(columns)]
    for one in found["cells"]:
        line = [f"{one['peak']:g}", str(one["cycles"]), f"{one['length']:g}"]
        for name, _, factor, digits in SHOWN:
            mean, spread = one[name]["mean"], one[name]["sd"]
            line.append(f"{factor * mean:.{digits}f} ± {factor * spread:.{digits}f}")
        lines.append(line)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main():
    """Train what is missing, and write table, figures and picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/diversity"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    def watch(name):
        print(name, flush=True)
        return Watcher()

    recipe = parse_recipe(RECIPE)
    found = sweep(
        recipe, arguments.runs, PEAKS, CYCLES, seeds=arguments.seeds, watch=watch
    )
    head = f"""# Peak rate, length of a cycle and diversity

Written by `python benchmarks/diversity.py` on {datetime.now(UTC).date()}; do not edit.
{processor()}, 1 thread; dale {dale.__version__}, PyTorch {torch.__version__}.

An MLP 784-64-10 on 3,000 images of Fashion-MNIST, {found["epochs"]} epochs of batches
of 64, SGD with Nesterov momentum 0.9; snapshots at the end of each cosine cycle, scored
on 10,000 test images. n = {len(found["seeds"])} seeds, mean ± standard deviation.
Temperatures are fitted on 1,000 validation images.
"""
    results = HERE / "results"
    (results / "diversity.md").write_text(f"{head}\n{table(found)}\n")
    text = json.dumps(found, indent=1, ensure_ascii=False)
    (results / "diversity.json").write_text(f"{text}\n")
    draw(found, HERE.parent / "docs" / "_static" / "diversity.png")


if __name__ == "__main__":
    main()
