"""A run that loses its process again and again, against one that does not.

Each process is killed (SIGKILL) at a random moment after a random number of updates;
the next goes on with what is on disk. At the end every file of the two runs is
compared.

    python benchmarks/kills.py
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import yaml
from fashion.machine import DATA, has_images, processor
from fashion.tables import table

from dale.recipes import Workbench, start
from dale.store import Run
from dale.train import Watcher

ROOT = Path(__file__).resolve().parents[1]
STRATEGIES = [
    {"name": "snapshot", "cycles": 3, "peak": 0.2},
    {"name": "swa", "every": "2.5%"},
]
COLLECT = [
    "ema",
    "tail",
    {"name": "swa", "every": "5%"},
    {"name": "swag", "samples": 3, "every": "5%"},
]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", default=DATA, help="folder of the four IDX files")
    add("--runs", type=Path, default=ROOT / "runs" / "kills", help="run folders, new")
    add("--kills", type=int, default=20, help="times that the process is lost")
    add("--epochs", type=int, default=12, help="budget of each strategy")
    add("--seed", type=int, default=0, help="of the moments")
    add("--quick", action="store_true", help="digits and 3 kills")
    add("--work", nargs=3, metavar=("RUN", "UPDATES", "MOMENT"), help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def recipe(given: argparse.Namespace) -> str:
    """Two strategies with every average at once, saved about once in a second."""
    data: Any = {
        "source": "idx",
        "path": given.data,
        "val": 2_000,
        "train_limit": 10_000,
    }
    document = {
        "version": 1,
        "seed": 0,
        "data": "digits" if given.quick else data,
        "model": {"name": "convnet", "width": 12},
        "epochs": given.epochs,
        "batch": 16 if given.quick else 64,
        "augment": {"crop": 1},
        "engine": {"device": "cpu", "threads": 1},
        "strategies": STRATEGIES,
        "collect": COLLECT,
        "checkpoint_seconds": 0.1 if given.quick else 0.3,
    }
    return yaml.safe_dump(document, sort_keys=False)


def work(folder: str, updates: int, moment: float) -> None:
    """Train, and die by SIGKILL so many seconds after so many updates."""
    left = iter(range(updates))

    def count() -> bool:
        if next(left, None) == updates - 1:
            signal.signal(
                signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL)
            )
            signal.setitimer(signal.ITIMER_REAL, moment)
        return False

    Workbench(Run(folder)).train(Watcher(stop=count))


def lose(folder: Path, given: argparse.Namespace, updates: int) -> list[int]:
    """Start processes until the run is done; after how many updates each was killed."""
    draws, killed = random.Random(given.seed), []
    mean = max(2, updates // (given.kills + 1))
    while True:
        after = draws.randint(1, 3 * mean // 2) if len(killed) < given.kills else 10**9
        moment = draws.uniform(1e-6, 0.1)
        order = [sys.executable, __file__, "--work", str(folder), str(after)]
        done = subprocess.run([*order, f"{moment:.6f}"], check=False)
        if done.returncode == 0:
            return killed
        if done.returncode != -signal.SIGKILL:
            raise SystemExit(f"the process ended with {done.returncode}")
        killed.append(after)
        print(f"kill {len(killed)} after {after} updates", flush=True)


def digests(folder: Path) -> dict[str, str]:
    """Every file of a run but its lock."""
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def main() -> int:
    """Train both, compare, and write what was found."""
    given = parse()
    if given.work:
        folder, updates, moment = given.work
        work(folder, int(updates), float(moment))
        return 0
    if given.quick:
        given.kills, given.epochs = 3, 6
    elif not has_images(given.data):
        return 2
    given.runs.mkdir(parents=True, exist_ok=True)
    if list(given.runs.iterdir()):
        raise SystemExit(f"{given.runs} holds files: give --runs a new folder")
    text = recipe(given)
    whole = start(text, given.runs / "whole", "benchmarks/kills.py")
    whole.train()
    last = {line["trajectory"]: line["step"] for line in whole.run.log()}
    updates = sum(last.values())
    lost = start(text, given.runs / "lost", "benchmarks/kills.py").run.folder
    begun = time.perf_counter()
    killed = lose(lost, given, updates)
    seconds = time.perf_counter() - begun
    expected, found = digests(whole.run.folder), digests(lost)
    other = sorted(
        name for name in expected | found if expected.get(name) != found.get(name)
    )
    page = markdown(given, text, updates, killed, seconds, expected, other)
    print(page)
    if not given.quick:
        path = ROOT / "benchmarks" / "results" / "kills.md"
        path.write_text(page, encoding="utf-8")
        print(f"wrote {path}")
    return 1 if other or len(killed) < given.kills else 0


def markdown(
    given: argparse.Namespace,
    text: str,
    updates: int,
    killed: Sequence[int],
    seconds: float,
    files: dict[str, str],
    other: Sequence[str],
) -> str:
    """The page."""
    members = sum(name.startswith("members/") for name in files)
    rows = [
        ("Updates of the run", f"{updates:,}"),
        ("Processes killed", str(len(killed))),
        ("Updates before each kill", ", ".join(map(str, killed))),
        ("Seconds, all processes", f"{seconds:.0f}"),
        ("Files compared", f"{len(files)}, with {members} members"),
        ("Files that differ", ", ".join(other) or "none"),
    ]
    return "\n".join(
        [
            "# Killed and resumed",
            "",
            f"Written by `python benchmarks/kills.py` on "
            f"{datetime.now(UTC).date().isoformat()}; do not edit. {processor()}.",
            "",
            *table(("What", "Found"), rows),
            "",
            "The recipe:",
            "",
            "```yaml",
            text.replace(given.data, "fashion-mnist").rstrip(),
            "```",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
