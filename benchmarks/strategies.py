"""Every strategy at equal budget on Fashion-MNIST, and what its members are worth.

Every strategy and seed is one run folder. It can be stopped and started again; what is
done is not done twice.

    python benchmarks/strategies.py
"""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

# one thread for each worker; torch reads this when it is first imported
os.environ["OMP_NUM_THREADS"] = "1"

from comparing.contest import ENTRIES, MEMBERS, WIDTH, Contest, measured, work
from comparing.tables import markdown
from fashion.machine import DATA, has_images, surroundings
from fashion.pages import publish

from dale.models import build, count_parameters

ROOT = Path(__file__).resolve().parents[1]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", default=DATA, help="folder of the four IDX files")
    add("--runs", type=Path, default=ROOT / "runs" / "strategies", help="run folders")
    add("--seeds", type=int, default=3, help="seeds")
    add("--workers", type=int, default=2, help="processes, of one thread each")
    add("--epochs", type=int, default=16, help="budget of every strategy")
    add("--quick", action="store_true", help="600 images, 4 epochs, 1 seed")
    return parser.parse_args(arguments)


def command(given: argparse.Namespace) -> str:
    """The command line that makes these figures."""
    words = ["python benchmarks/strategies.py"]
    words += ["--quick"] if given.quick else []
    usual = parse([])
    for name in ("seeds", "epochs"):
        if getattr(given, name) != getattr(usual, name):
            words.append(f"--{name} {getattr(given, name)}")
    return " ".join(words)


def main() -> int:
    """Train what is missing and write the results."""
    given = parse()
    if not has_images(given.data):
        return 2
    contest = Contest(given.data, given.epochs, images=10_000, validation=4_000)
    runs, seeds = given.runs, given.seeds
    results, pictures = ROOT / "benchmarks" / "results", ROOT / "docs" / "_static"
    if given.quick:
        contest, seeds = Contest(given.data, 4, images=600, validation=500), 1
        runs = runs.with_name(f"{runs.name}-quick")
        results = pictures = runs / "results"
    folders = [
        {t: runs / f"seed{seed}" / t.replace(", ", "-") for t in ENTRIES}
        for seed in range(seeds)
    ]
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
        jobs = {
            folder: pool.submit(work, folder, contest.recipe(title, seed))
            for seed, mine in enumerate(folders)
            for title, folder in mine.items()
        }
        for folder, job in jobs.items():
            job.result()
            print(f"done {folder.relative_to(runs)}", flush=True)
    document = {
        "facts": {
            "command": command(given),
            **surroundings(given.workers),
            "parameters": count_parameters(
                build("convnet", (1, 28, 28), 10, width=WIDTH)
            ),
            "images": contest.images,
            "validation": contest.validation,
            "epochs": contest.epochs,
            "members": MEMBERS,
            "settings": list(ENTRIES.values()),
        },
        "seeds": [measured(mine) for mine in folders],
    }
    page, drawn_by = markdown(document), "comparing.pictures"
    publish("strategies", document, page, results, pictures, drawn_by)
    return 0


if __name__ == "__main__":
    sys.exit(main())
