"""What it costs that a merge is on the disk when it ends.

    python benchmarks/merge_flushing.py

A linear merge of three models with 0.45 billion parameters in bfloat16, made on the
spot, is timed in turn without and with waiting for the disk. The inputs are in the page
cache. The models go to the folder of temporary files, which should be on a disk.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from merging.models import at_hand

from dale.merge import run_config

TEXT = "merge_method: linear\nparameters: {weight: 1}\n"
TEXT += "models: [{model: one}, {model: two}, {model: three}]\n"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--runs", type=int, default=3, help="merges of each kind")
    add("--layers", type=int, default=24, help="depth of the models")
    add("--folder", type=Path, help="where the models lie; made there if missing")
    return parser.parse_args(arguments)


def main() -> int:
    """Merge in turn, and print seconds."""
    given = parse()
    with at_hand(given.folder, given.layers) as (models, scratch):
        (models / "flushing.yml").write_text(TEXT)
        seconds: dict[bool, list[float]] = {False: [], True: []}
        for run in range(given.runs + 1):
            for sync, taken in seconds.items():
                out = scratch / "out"
                start = time.perf_counter()
                run_config(models / "flushing.yml", out, sync=sync)
                took = time.perf_counter() - start
                shutil.rmtree(out)
                if run:  # the first of each is for warming up
                    taken.append(took)
    print("| waits for the disk | seconds, median and all |")
    print("| --- | --- |")
    for sync, taken in seconds.items():
        each = ", ".join(f"{value:.2f}" for value in taken)
        print(f"| {'yes' if sync else 'no'} | {median(taken):.2f} ({each}) |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
