"""Small members trained at once against one after another.

    python benchmarks/stacked_training.py

For each size of network, batch and number of members, updates of all members at once
and of each of them in turn are raced several times, with one thread and with two. Then
whole runs are trained both ways: members, scores and files included.
"""

import argparse
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import torch
from fashion.machine import processor

import dale
from dale.recipes import load_data, start
from dale.train import parse_recipe
from dale.train.stacked import parts, race
from dale.train.stacked.together import contestants, stacked_updater

RESULTS = Path(__file__).resolve().parent / "results" / "stacked_training.md"
DIGITS = "digits"
FASHION = "{source: idx, path: /usr/share/datasets/fashion-mnist, train_limit: 3000}"
MLP = "{{name: mlp, hidden: [{width}]}}"
CONVNET = "{{name: convnet, width: {width}}}"
CASES = [
    *((DIGITS, MLP, width, batch, members)
      for width in (32, 128, 512) for batch in (32, 256) for members in (2, 5, 20)),
    *((DIGITS, CONVNET, width, 32, 5) for width in (4, 16)),
    *((FASHION, MLP, width, 64, 5) for width in (32, 256)),
    *((FASHION, CONVNET, width, 32, 5) for width in (4, 16)),
]  # fmt: skip
WHOLE = [(MLP, 32, 32, 5), (MLP, 32, 32, 20), (MLP, 512, 256, 5), (CONVNET, 4, 64, 5)]
TEMPLATE = """
data: {data}
model: {model}
epochs: {epochs}
batch: {batch}
strategies: [{{name: independent, members: {members}}}]
engine: {{stack: {stack}}}
"""


def recipe(data, model, width, batch, members, stack="always", epochs=20):
    """Text of a recipe."""
    return TEMPLATE.format(
        data=data,
        model=model.format(width=width),
        epochs=epochs,
        batch=batch,
        members=members,
        stack=stack,
    )


def raced(case, data, races, seconds):
    """Milliseconds both ways, and ratios, of several races."""
    parsed = parse_recipe(recipe(*case))
    (part,) = parts(parsed.trajectories(len(data.splits["train"])))
    update = stacked_updater(parsed, data, part)
    ways = contestants(parsed, data, part, update)
    found = [race(*ways, len(part), 1000, seconds) for _ in range(races)]
    ratios = sorted(r.apart / r.stacked for r in found)
    return (
        1000 * median(r.apart for r in found),
        1000 * median(r.stacked for r in found),
        ratios,
    )


def whole(model, width, batch, members, repeats):
    """Seconds of whole runs one after another, at once, and with a pilot."""
    taken = {"never": [], "always": [], "auto": []}
    for _ in range(repeats):
        for word, seconds in taken.items():
            with tempfile.TemporaryDirectory() as folder:
                text = recipe(DIGITS, model, width, batch, members, word)
                bench = start(text, Path(folder) / "run")
                begun = time.perf_counter()
                bench.train()
                seconds.append(time.perf_counter() - begun)
    return taken


def spread(values, form):
    """Median and range."""
    low, high = min(values), max(values)
    return f"{median(values):{form}} ({low:{form}} to {high:{form}})"


def named(data, model, width):
    """A network and its data in words."""
    kind = "MLP" if model == MLP else "convnet"
    size = "64" if data == DIGITS else "784"
    shape = f"{size}-{width}-10" if model == MLP else f"width {width}, {size} pixels"
    return f"{kind} {shape}"


def table(columns, rows):
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def measured(arguments):
    """The tables."""
    data = {name: load_data(parse_recipe(recipe(name, MLP, 8, 32, 2)))
            for name in (DIGITS, FASHION)}  # fmt: skip
    rows = []
    for case in CASES:
        source, model, width, batch, members = case
        cells = [named(source, model, width), str(batch), str(members)]
        for threads in (1, 2):
            torch.set_num_threads(threads)
            print(*cells, threads, file=sys.stderr, flush=True)
            apart, stacked, ratios = raced(
                case, data[source], arguments.races, arguments.seconds
            )
            cells += [f"{apart:.2f}", f"{stacked:.2f}", spread(ratios, ".2f")]
        rows.append(cells)
    torch.set_num_threads(1)
    runs = []
    for model, width, batch, members in WHOLE:
        taken = whole(model, width, batch, members, arguments.races)
        pairs = zip(taken["never"], taken["always"], strict=True)
        ratios = [slow / fast for slow, fast in pairs]
        pairs = zip(taken["never"], taken["auto"], strict=True)
        lost = [slow / fast for slow, fast in pairs]
        runs.append(
            [
                named(DIGITS, model, width),
                str(batch),
                str(members),
                f"{median(taken['never']):.2f}",
                f"{median(taken['always']):.2f}",
                f"{median(taken['auto']):.2f}",
                spread(ratios, ".2f"),
                spread(lost, ".2f"),
            ]
        )
    return rows, runs


def main():
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--races", type=int, default=5, help="of each case")
    parser.add_argument("--seconds", type=float, default=0.1, help="of a round")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with torch.random.fork_rng():
        rows, runs = measured(arguments)
    way = ["one after another, ms", "at once, ms", "times as fast"]
    columns = ["Network", "Batch", "Members", *way, *(f"{w}, 2 threads" for w in way)]
    lines = ["one after another, s", "at once, s", "auto, s", "at once, times as fast",
             "auto, times as fast"]  # fmt: skip
    day, seconds = datetime.now(UTC).date(), 2 * arguments.seconds
    text = f"""# Members trained at once

Written by `python benchmarks/stacked_training.py` on {day}; do not edit.
{processor()}, {os.cpu_count()} cores; dale {dale.__version__}, PyTorch
{torch.__version__}.

## An update of all members

One thread, then two. n = {arguments.races} races of {seconds:g} s for each way;
medians, with ranges. SGD with Nesterov momentum; no augmentation.

{table(columns, rows)}

## Whole runs

Training `independent` on digits for 20 epochs with one thread: updates, scores after
each epoch, states and members. n = {arguments.races}; medians, with ranges. `auto` pays
for its pilot.

{table(["Network", "Batch", "Members", *lines], runs)}
"""
    arguments.output.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
