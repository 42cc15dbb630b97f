"""Fashion-MNIST: snapshots against a single run of the same budget, in two regimes.

Trains everything into run folders, then writes tables and pictures from them:

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

# one thread for each worker; torch reads this when it is first imported
os.environ["OMP_NUM_THREADS"] = "1"

from fashion.regimes import REGIMES, Regime, quick
from fashion.work import Job, Site, jobs

DATA = "/usr/share/datasets/fashion-mnist"
ROOT = Path(__file__).resolve().parents[1]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=DATA, help="folder of the IDX files")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "fashion")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each setting")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--quick", action="store_true", help="600 images, 3 epochs")
    parser.add_argument("--tables", action="store_true", help="train nothing")
    return parser.parse_args(arguments)


def train(site: Site, regimes: Sequence[Regime], workers: int) -> None:
    """Do every job, each in a process of its own, until none is left."""
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


def main() -> int:
    """Train what is missing and write the results."""
    given = parse()
    if not Path(given.data).is_dir():
        print(
            f"no folder {given.data}; install Debian's dataset-fashion-mnist, or give "
            "--data FOLDER with the four IDX files",
            file=sys.stderr,
        )
        return 2
    regimes = [quick(regime) for regime in REGIMES] if given.quick else list(REGIMES)
    runs = given.runs.with_name(given.runs.name + "-quick" * given.quick)
    site = Site(given.data, runs, tuple(range(given.seeds)))
    if not given.tables:
        train(site, regimes, given.workers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
