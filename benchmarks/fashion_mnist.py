"""Fashion-MNIST: snapshots against a single run of the same budget, in two regimes.

Trains everything into run folders, then writes tables and pictures from them. It can
be stopped and started again; what is done is not done twice.

    python benchmarks/fashion_mnist.py
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any

# one thread for each worker; torch reads this when it is first imported
os.environ["OMP_NUM_THREADS"] = "1"

import torch
from fashion.machine import DATA, has_images, surroundings
from fashion.measure import measure
from fashion.pages import publish
from fashion.regimes import BATCH, REGIMES, WIDTH, Regime, quick
from fashion.tables import markdown
from fashion.work import Job, Site, jobs

from dale.models import build, count_parameters

ROOT = Path(__file__).resolve().parents[1]
SEEDS = 3


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Snapshots against a single run of the same budget, in two regimes."
    )
    add = parser.add_argument
    add("--data", default=DATA, help="folder of the four IDX files")
    add("--runs", type=Path, default=ROOT / "runs" / "fashion", help="run folders")
    add("--seeds", type=int, default=SEEDS, help="runs of each setting")
    add("--workers", type=int, default=2, help="processes, of one thread each")
    add("--quick", action="store_true", help="600 images, 3 epochs, 1 seed")
    add("--tables", action="store_true", help="train nothing; write what is there")
    return parser.parse_args(arguments)


def train(site: Site, regimes: Sequence[Regime], workers: int) -> None:
    """Do every job in one of the worker processes, until none is left."""
    started = time.monotonic()
    running: dict[Future[None], Job] = {}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        while True:
            for job in waiting(site, regimes, [j.folder for j in running.values()]):
                if len(running) == workers:
                    break
                running[pool.submit(job.do)] = job
                say(f"started {job.name}", started)
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                future.result()
                say(f"finished {running.pop(future).name}", started)


def waiting(site: Site, regimes: Sequence[Regime], busy: list[Path]) -> Iterator[Job]:
    """Jobs that are ready, not done and not in a folder that a worker is busy in."""
    for regime in regimes:
        for job in jobs(site, regime):
            if not job.done and job.folder not in busy:
                yield job


def say(text: str, started: float) -> None:
    """One line for whoever watches."""
    print(f"{(time.monotonic() - started) / 60:6.1f} min  {text}", flush=True)


def facts(given: argparse.Namespace, site: Site, regime: Regime) -> dict[str, Any]:
    """What the figures were measured on and with."""
    command = "python benchmarks/fashion_mnist.py"
    if given.quick:
        command += " --quick"
    elif given.seeds != SEEDS:
        command += f" --seeds {given.seeds}"
    return {
        "command": command,
        **surroundings(given.workers),
        "parameters": count_parameters(build("convnet", (1, 28, 28), 10, width=WIDTH)),
        "batch": BATCH,
        "validation": regime.validation,
        "seeds": list(site.seeds),
    }


def main() -> int:
    """Train what is missing and write the results."""
    given = parse()
    if not has_images(given.data):
        return 2
    torch.set_num_threads(1)
    regimes, runs, seeds = REGIMES, given.runs, given.seeds
    results, pictures = ROOT / "benchmarks" / "results", ROOT / "docs" / "_static"
    if given.quick:
        regimes, seeds = tuple(quick(regime) for regime in REGIMES), 1
        runs = runs.with_name(f"{runs.name}-quick")
        results = pictures = runs / "results"
    site = Site(given.data, runs, tuple(range(seeds)))
    if not given.tables:
        train(site, regimes, given.workers)
    measured = [found for r in regimes if (found := measure(site, r)) is not None]
    if not measured:
        print(f"{runs} holds no regime whose settings were all tried", file=sys.stderr)
        return 1
    document = {"facts": facts(given, site, regimes[0]), "regimes": measured}
    page, drawn_by = markdown(document), "fashion.pictures"
    publish("fashion_mnist", document, page, results, pictures, drawn_by, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
