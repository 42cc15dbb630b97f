"""Calibration under drift on Fashion-MNIST: networks, averages and ensembles.

Every seed is one run folder with every strategy in it. It can be stopped and started
again; what is done is not done twice.

    python benchmarks/drift.py
"""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

# one thread for each worker; torch reads this when it is first imported
os.environ["OMP_NUM_THREADS"] = "1"

import torch
import yaml
from drifting.claims import claims
from drifting.flat import flatness
from drifting.tables import markdown
from fashion.machine import DATA, has_images, surroundings
from fashion.pages import publish

from dale.models import build, count_parameters
from dale.recipes import Workbench, drift, fuse, start
from dale.store import Run

ROOT = Path(__file__).resolve().parents[1]
SEEDS, WIDTH, MEMBERS, TESTED = 4, 20, 5, 4_000


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", default=DATA, help="folder of the four IDX files")
    add("--runs", type=Path, default=ROOT / "runs" / "drift", help="run folders")
    add("--seeds", type=int, default=SEEDS, help="seeds")
    add("--workers", type=int, default=2, help="processes, of one thread each")
    add("--epochs", type=int, default=20, help="budget of every strategy")
    add("--quick", action="store_true", help="600 images, 3 epochs, 1 seed")
    return parser.parse_args(arguments)


def recipe(data: str, seed: int, epochs: int, images: int, validation: int) -> str:
    """One recipe with every strategy, each given the same budget."""
    cyclic = {"members": MEMBERS, "peak": 0.2}
    document = {
        "version": 1,
        "seed": seed,
        "data": {
            "source": "idx",
            "path": data,
            "val": validation,
            "train_limit": images,
        },
        "model": {"name": "convnet", "width": WIDTH},
        "epochs": epochs,
        "batch": 64,
        "engine": {"device": "cpu", "threads": 1},
        "strategies": [
            {"name": "single", "peak": 0.1},
            {"name": "swa", "peak": 0.1, "rate": 0.05, "every": "2.5%"},
            {"name": "snapshot", "cycles": MEMBERS, "peak": 0.2},
            {"name": "short_cycles", **cyclic},
            {"name": "independent", **cyclic},
        ],
    }
    return yaml.safe_dump(document, sort_keys=False)


def work(folder: Path, text: str, quick: bool) -> None:
    """Train a seed's run, average its snapshots, and judge everything under drift."""
    torch.set_num_threads(1)
    bench = start(text, folder, "benchmarks/drift.py")
    bench.train()
    done = {member.how for member in bench.members() if member.parents}
    if "uniform" not in done:
        fuse(bench, "uniform", group="snapshot")
    if bench.run.read_result("drift") is None:
        corruptions = ["gaussian_noise", "rotation"] if quick else None
        drift(bench, corruptions=corruptions, limit=300 if quick else TESTED)
    if bench.run.read_result("flatness") is None:
        found = flatness(bench, draws=3 if quick else 10)
        with bench.run.lock():
            bench.run.write_result("flatness", found)


def measured(folder: Path) -> dict[str, Any]:
    """What a seed's run holds."""
    run = Run(folder)
    epochs = [line for line in run.log() if line["trajectory"] == "single"]
    return {
        "seed": Workbench(run).recipe.seed,
        "drift": _without_corruptions(run.read_result("drift")),
        "flatness": run.read_result("flatness"),
        "growth": epochs,
    }


def _without_corruptions(found: Any) -> Any:
    """The means by severity, which is what the tables and pictures show."""
    rows = [
        {key: value for key, value in row.items() if key != "by_corruption"}
        for row in found["rows"]
    ]
    return {**found, "rows": rows}


def main() -> int:
    """Train what is missing and write the results."""
    given = parse()
    if not has_images(given.data):
        return 2
    runs, seeds, epochs, images, validation = (
        given.runs,
        given.seeds,
        given.epochs,
        10_000,
        6_000,
    )
    results, pictures = ROOT / "benchmarks" / "results", ROOT / "docs" / "_static"
    if given.quick:
        runs, seeds, epochs = runs.with_name(f"{runs.name}-quick"), 1, 3
        images, validation = 600, 500
        results = pictures = runs / "results"
    folders = [runs / f"seed{seed}" for seed in range(seeds)]
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
        jobs = [
            pool.submit(
                work,
                folder,
                recipe(given.data, seed, epochs, images, validation),
                given.quick,
            )
            for seed, folder in enumerate(folders)
        ]
        for job, folder in zip(jobs, folders, strict=True):
            job.result()
            print(f"done {folder.name}", flush=True)
    found = [measured(folder) for folder in folders]
    shape = (1, 28, 28)
    document = {
        "facts": {
            "command": f"python benchmarks/drift.py{' --quick' if given.quick else ''}",
            **surroundings(given.workers),
            "parameters": count_parameters(build("convnet", shape, 10, width=WIDTH)),
            "images": images,
            "validation": validation,
            "epochs": epochs,
            "members": MEMBERS,
            "seeds": [entry["seed"] for entry in found],
        },
        "seeds": found,
        "claims": claims(found),
    }
    page, drawn_by = markdown(document), "drifting.pictures"
    publish("drift", document, page, results, pictures, drawn_by)
    return 0


if __name__ == "__main__":
    sys.exit(main())
