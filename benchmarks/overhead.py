"""What dale's loop costs over the plainest loop that makes the same updates.

    python benchmarks/overhead.py

One side trains a recipe into a run folder, with its saved states, members, log lines
and progress calls. The other is the loop that one would write by hand. Both make the
same updates on the same batches with the same rates, so both must end at the same
weights, bit for bit; that is checked. They alternate in pairs, in one process with one
thread, and the ratio is taken within each pair.
"""

import argparse
import gc
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from fashion.machine import processor
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import dale
from dale.data import Data, Split, from_arrays
from dale.keys import key
from dale.recipes import load_data
from dale.recipes.workbench import scores
from dale.store import Run
from dale.train import (
    OPTIMIZERS,
    Recipe,
    Watcher,
    build_model,
    parse_recipe,
    train,
)
from dale.train.specs import settings

HERE = Path(__file__).resolve()
TARGET = 1.05
Evaluate = Callable[[nn.Module, Split], Mapping[str, float]]
COMMON = "strategies: [{name: single, schedule: {name: cosine, peak: 0.1}}]"
RECIPES = {
    "convnet, 28×28 images": f"""
data: {{source: factory, function: "{HERE}:images"}}
model: convnet
epochs: 6
batch: 128
engine: {{device: cpu}}
{COMMON}
""",
    "mlp, digits": f"""
data: digits
model: mlp
epochs: 60
batch: 64
engine: {{device: cpu}}
{COMMON}
""",
}


def images() -> Data:
    """Made images of the size of Fashion-MNIST's; what they show does not matter."""
    generator = torch.Generator().manual_seed(0)

    def drawn(count: int) -> tuple[Tensor, Tensor]:
        pixels = torch.randint(0, 256, (count, 28, 28), generator=generator)
        targets_N = torch.arange(count) % 10
        return pixels.to(torch.uint8), targets_N

    return from_arrays({"train": drawn(1280), "val": drawn(160), "test": drawn(10)})


@dataclass(frozen=True)
class Times:
    """Seconds that one side took, and where it ended.

    Args:
        wall: By the clock.
        cpu: Spent by this process; other processes do not change it.
        weights: The last weights.
    """

    wall: float
    cpu: float
    weights: Mapping[str, Tensor]


def timed(work: Callable[[], Mapping[str, Tensor]]) -> Times:
    """Run one side, from the building of the model to the last weights."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    weights = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Times(wall, cpu, weights)


def ours(recipe: Recipe, text: str, data: Data, evaluate: Evaluate) -> Times:
    """dale: a run folder with everything that belongs to one."""
    seen: list[object] = []
    watcher = Watcher(progress=seen.append, member=seen.append)
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", text)

        def work() -> Mapping[str, Tensor]:
            members = train(run, recipe, data, evaluate, watcher)
            return run.population.weights(members[-1])

        return timed(work)


def plain(recipe: Recipe, data: Data, evaluate: Evaluate | None) -> Times:
    """The loop by hand, with the same batches, rates and evaluations."""
    (trajectory,) = recipe.trajectories(len(data.splits["train"]))
    rates = trajectory.schedule.values()

    def work() -> Mapping[str, Tensor]:
        model = build_model(recipe, data, recipe.seed)
        make = OPTIMIZERS[recipe.optimizer.name].function
        optimizer = make(model.parameters(), **settings(recipe.optimizer, "name"))
        updates(model, optimizer, recipe, data, rates, evaluate)
        return model.state_dict()

    return timed(work)


def updates(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    data: Data,
    rates: Sequence[float],
    evaluate: Evaluate | None,
) -> None:
    """Every update of the run."""
    split, step = data.splits["train"], 0
    examples, targets_N = len(split), split.targets_N
    per_epoch = -(-examples // recipe.batch)
    for epoch in range(recipe.epochs):
        generator = torch.Generator().manual_seed(key(recipe.seed, "order", epoch))
        order = torch.randperm(examples, generator=generator)
        model.train()
        for index in range(per_epoch):
            start = examples * index // per_epoch
            end = examples * (index + 1) // per_epoch
            chosen = order[start:end]
            for group in optimizer.param_groups:
                group["lr"] = rates[step]
            loss = cross_entropy(model(split.batch(chosen)), targets_N[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
        if evaluate is not None:
            evaluate(model, data.splits["val"])


def compare(text: str, evaluating: bool, pairs: int) -> list[tuple[Times, Times]]:
    """Pairs of (dale, plain), in turn in either order, after one pair to warm up.

    Raises:
        SystemExit: The two ended at different weights.
    """
    recipe = parse_recipe(text)
    data = load_data(recipe)
    evaluate: Evaluate = scores if evaluating else nothing
    by_hand = scores if evaluating else None
    found = []
    for number in range(pairs + 1):
        if number % 2:
            second, first = (
                plain(recipe, data, by_hand),
                ours(recipe, text, data, evaluate),
            )
        else:
            first, second = (
                ours(recipe, text, data, evaluate),
                plain(recipe, data, by_hand),
            )
        different = [
            name
            for name, tensor in first.weights.items()
            if not torch.equal(tensor, second.weights[name])
        ]
        if different or first.weights.keys() != second.weights.keys():
            sys.exit(f"the two loops end at different weights: {different}")
        if number:
            found.append((first, second))
    return found


def nothing(model: nn.Module, split: Split) -> Mapping[str, float]:
    """In place of an evaluation."""
    return {}


def line(name: str, evaluating: bool, pairs: Sequence[tuple[Times, Times]]) -> str:
    """One row of the table."""
    wall = [ours.wall / plain.wall for ours, plain in pairs]
    cpu = [ours.cpu / plain.cpu for ours, plain in pairs]
    by_hand = median(plain.cpu for _, plain in pairs)
    cells = [
        name,
        "yes" if evaluating else "no",
        f"{by_hand:.2f}",
        *(f"{median(r):.3f} ({min(r):.3f} to {max(r):.3f})" for r in (wall, cpu)),
        str(len(pairs)),
    ]
    return "| " + " | ".join(cells) + " |"


def page(rows: Sequence[str]) -> str:
    """The results as Markdown."""
    head = (
        "| Workload | Evaluation | By hand, CPU s | Wall time, dale / by hand "
        "| CPU time, dale / by hand | Pairs |\n| --- | --- | --- | --- | --- | --- |"
    )
    today = datetime.now(UTC).date().isoformat()
    return "\n".join(
        [
            "# Overhead of dale's loop",
            "",
            f"Written by `python benchmarks/overhead.py` on {today}; do not edit.",
            f"{processor()}, {os.cpu_count()} cores, one thread; dale "
            f"{dale.__version__}, PyTorch {torch.__version__}, Python "
            f"{platform.python_version()}.",
            "",
            head,
            *rows,
            "",
            "Median and range over alternating pairs. Both sides ended at the same "
            "weights, bit for bit, in every pair. dale's side writes a run folder: "
            "saved states, the member, the log, progress calls, and with evaluation "
            "the member's scores on top of those at the end of each epoch.",
            f"The target is a ratio of {TARGET} with the convnet.",
            "",
        ]
    )


def main() -> int:
    """Measure, print the table and store it."""
    parser = argparse.ArgumentParser(description="What dale's loop costs.")
    parser.add_argument("--pairs", type=int, default=7, help="pairs for each row")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, text in RECIPES.items():
        for evaluating in (True, False):
            rows.append(line(name, evaluating, compare(text, evaluating, given.pairs)))
            print(rows[-1], flush=True)
    results = HERE.parent / "results" / "overhead.md"
    results.parent.mkdir(exist_ok=True)
    results.write_text(page(rows), encoding="utf-8")
    print(f"\n{page(rows)}\nwrote {results}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
