"""What it costs that a merge is on the disk when it ends.

    python benchmarks/merge_flushing.py

A linear merge of three models with 0.45 billion parameters in bfloat16, made on the
spot, is timed in turn without flushing, with all of it at the end, and as it is: while
tensors are made. The inputs are in the page cache. The models go to the folder of
temporary files, which should be on a disk.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from merging.models import make

from dale.merge import flushing, run_config

WAYS = ("never", "at the end", "on the way")
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


@contextmanager
def flushed(how: str) -> Iterator[list[float]]:
    """Flush in another way; gives the seconds that the merge waited at the end."""
    fsync, step, finish = os.fsync, flushing._STEP, flushing.Flusher.finish
    waited: list[float] = []

    def timed(self: flushing.Flusher, handle: int) -> None:
        start = time.perf_counter()
        finish(self, handle)
        waited.append(time.perf_counter() - start)

    flushing.Flusher.finish = timed  # type: ignore[method-assign]
    if how == "never":
        os.fsync = lambda handle: None  # type: ignore[assignment]
    elif how == "at the end":
        flushing._STEP = sys.maxsize
    try:
        yield waited
    finally:
        os.fsync, flushing._STEP = fsync, step
        flushing.Flusher.finish = finish  # type: ignore[method-assign]


def main() -> int:
    """Merge in turn, and print seconds."""
    given = parse()
    with tempfile.TemporaryDirectory() as temporary:
        models = given.folder or Path(temporary)
        make(models, given.layers)
        (models / "flushing.yml").write_text(TEXT)
        seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
        for run in range(given.runs + 1):
            for way in WAYS:
                out = Path(temporary) / "out"
                with flushed(way) as waited:
                    start = time.perf_counter()
                    run_config(models / "flushing.yml", out)
                    took = time.perf_counter() - start
                shutil.rmtree(out)
                if run:  # the first of each is for warming up
                    seconds[way].append((took, sum(waited)))
    print("| flushed | seconds, median and all | of which waiting at the end |")
    print("| --- | --- | --- |")
    for way, pairs in seconds.items():
        whole, end = zip(*pairs, strict=True)
        each = ", ".join(f"{value:.2f}" for value in whole)
        print(f"| {way} | {median(whole):.2f} ({each}) | {median(end):.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
