"""Five fine-tunes of one parent, merged in every way: which is better, and is it sure?

    python benchmarks/merge_ordering.py

The literature, on large networks, has the order average < task arithmetic ≤ TIES <
Fisher, RegMean. Here small networks are fine-tuned from one parent on changed images,
or on pairs of classes, and the order is tested, seed by seed.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

# one thread for each worker; torch reads this when it is first imported
os.environ["OMP_NUM_THREADS"] = "1"

import torch
from fashion.machine import DATA, has_images, surroundings
from fashion.pages import publish
from ordering.methods import STATISTICS, measured
from ordering.problem import NETS, Sizes, family
from ordering.tables import markdown

ROOT = Path(__file__).resolve().parents[1]
PROBLEMS = ("domains", "classes")
QUICK = Sizes(parent=(300, 200), task=200, held=64, test=200, epochs=1)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", default=DATA, help="folder of the four IDX files")
    add("--seeds", type=int, default=5, help="seeds")
    add("--workers", type=int, default=2, help="processes, of one thread each")
    add("--quick", action="store_true", help="small, 2 seeds; writes into runs")
    return parser.parse_args(arguments)


def one(data: str, problem: str, net: str, seed: int, sizes: Sizes) -> dict[str, Any]:
    """Train a family and merge it in every way; runs in a worker."""
    torch.set_num_threads(1)
    return measured(family(data, problem, net, seed, sizes))


def main() -> int:
    """Train, merge, and write the results."""
    given = parse()
    if not has_images(given.data):
        return 2
    begun, sizes = time.perf_counter(), QUICK if given.quick else Sizes()
    seeds = 2 if given.quick else given.seeds
    results, pictures = ROOT / "benchmarks" / "results", ROOT / "docs" / "_static"
    if given.quick:
        results = pictures = ROOT / "runs" / "merge_ordering-quick"
    # the slow ones first, so that no worker waits for the last
    cases = [(net, problem) for net in reversed(NETS) for problem in PROBLEMS]
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
        jobs = {
            f"{problem}, {net}": [
                pool.submit(one, given.data, problem, net, seed, sizes)
                for seed in range(seeds)
            ]
            for net, problem in cases
        }
        found = {}
        for title, several in jobs.items():
            found[title] = [job.result() for job in several]
            print(f"done {title}", flush=True)
    words = "python benchmarks/merge_ordering.py" + (" --quick" if given.quick else "")
    words += f" --seeds {seeds}" if not given.quick and seeds != 5 else ""
    facts = {
        "command": words,
        **surroundings(given.workers),
        "seconds": time.perf_counter() - begun,
        "task": sizes.task,
        "held": sizes.held,
        "test": sizes.test,
        "epochs": sizes.epochs,
        "statistics": STATISTICS,
    }
    document = {"facts": facts, "found": found}
    page = markdown(document)
    publish("merge_ordering", document, page, results, pictures, "ordering.pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
