"""Temperature scaling: dale against netcal and against plain L-BFGS.

netcal is asked for in an environment of its own:

    python -m venv netcal && netcal/bin/pip install torch==2.13.0 netcal==1.4.0
    python benchmarks/calibration_vs_netcal.py --netcal netcal/bin/python

Every measurement is a process of its own that loads the logits, fits and applies once
to the first 64 examples so that everything is imported, then once to all of them; only
the latter is timed. The tools take turns.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SIZES = ((10_000, 10), (50_000, 1_000))
RUNS = 5
PRELUDE = """
import json, os, sys, threading, time
import numpy as np
import torch
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
held = np.load(sys.argv[1])
logits, targets = held["logits"], held["targets"]

def anonymous():
    with open("/proc/self/status") as file:
        lines = [line.split() for line in file]
    return next(int(line[1]) for line in lines if line[0] == "RssAnon:") * 1024

peak, over = anonymous(), threading.Event()
before = peak

def look():
    global peak
    while not over.wait(0.002):
        peak = max(peak, anonymous())

watcher = threading.Thread(target=look, daemon=True)
"""
CLOSE = """
over.set()
watcher.join()
found = torch.as_tensor(found, dtype=torch.float64)
nll = float(torch.nn.functional.cross_entropy(found, torch.from_numpy(targets)))
peak = max(peak, anonymous())
print(json.dumps({"seconds": seconds, "nll": nll, "bytes": peak - before}))
"""
DALE = """
from dale.calibrate import fit_temperature
z, y = torch.from_numpy(logits), torch.from_numpy(targets)

def fit_and_apply(z, y):
    return fit_temperature(z, y).apply(z)

fit_and_apply(z[:64], y[:64])
watcher.start()
started = time.perf_counter()
found = fit_and_apply(z, y)
seconds = time.perf_counter() - started
"""
# as in the much copied implementation: rate 0.01, 50 iterations, started at 1.5
LBFGS = """
z, y = torch.from_numpy(logits), torch.from_numpy(targets)

def fit_and_apply(z, y):
    temperature = torch.nn.Parameter(torch.ones(1) * 1.5)
    optimizer = torch.optim.LBFGS([temperature], lr=0.01, max_iter=50)

    def loss():
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(z / temperature, y)
        value.backward()
        return value

    optimizer.step(loss)
    return (z / temperature).detach()

fit_and_apply(z[:64], y[:64])
watcher.start()
started = time.perf_counter()
found = fit_and_apply(z, y)
seconds = time.perf_counter() - started
"""
# the same with a line search, until it has converged
CONVERGED = LBFGS.replace(
    "lr=0.01, max_iter=50", 'lr=1.0, max_iter=100, line_search_fn="strong_wolfe"'
)
# netcal takes and gives probabilities; its derivatives are finite differences, which
# float32 rounds away
NETCAL = """
from netcal.scaling import TemperatureScaling
p = torch.from_numpy(logits).to(torch.KIND).softmax(dim=1).numpy()

def fit_and_apply(p, y):
    method = TemperatureScaling()
    method.fit(p, y)
    return method.transform(p)

fit_and_apply(p[:64], targets[:64])
watcher.start()
started = time.perf_counter()
found = fit_and_apply(p, targets)
seconds = time.perf_counter() - started
found = np.log(np.clip(found, 1e-300, None))
"""
TOOLS = {
    "dale": DALE,
    "netcal, float64": NETCAL.replace("KIND", "float64"),
    "netcal, float32": NETCAL.replace("KIND", "float32"),
    "L-BFGS, rate 0.01, 50 iterations": LBFGS,
    "L-BFGS, line search, converged": CONVERGED,
}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--netcal", help="Python of an environment with netcal; left out without it")
    add("--runs", type=int, default=RUNS, help="processes of each tool and size")
    add("--threads", type=int, default=2, help="threads of each process")
    add("--quick", action="store_true", help="a tenth of the examples, one run")
    return parser.parse_args(arguments)


def draw(path: Path, count: int, classes: int) -> None:
    """Logits of a model that is sure by a factor of 1.7 too much."""
    import numpy as np
    import torch

    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(count, classes, generator=generator)
    shares = (logits / 1.7).softmax(dim=1)
    targets = torch.multinomial(shares, 1, generator=generator)[:, 0]
    np.savez(path, logits=logits.numpy(), targets=targets.numpy())


def once(python: str, text: str, data: Path, threads: int) -> dict[str, float]:
    """One process."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [python, "-c", PRELUDE + text + CLOSE, str(data)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def measure(given: argparse.Namespace) -> list[dict[str, Any]]:
    """All tools in turn, on each size."""
    rows = []
    tools = {n: t for n, t in TOOLS.items() if given.netcal or "netcal" not in n}
    with tempfile.TemporaryDirectory() as folder:
        for count, classes in SIZES:
            count = count // 10 if given.quick else count
            data = Path(folder) / "logits.npz"
            draw(data, count, classes)
            found: dict[str, list[dict[str, float]]] = {name: [] for name in tools}
            for _ in range(1 if given.quick else given.runs):
                for name, text in tools.items():
                    python = given.netcal if "netcal" in name else sys.executable
                    found[name].append(once(python, text, data, given.threads))
            for name, runs in found.items():
                pairs = zip(runs, found["dale"], strict=True)
                ratios = [run["seconds"] / own["seconds"] for run, own in pairs]
                rows.append(
                    {
                        "size": f"{count:,} × {classes:,}",
                        "tool": name,
                        "seconds": [run["seconds"] for run in runs],
                        "ratios": ratios,
                        "nll": runs[0]["nll"],
                        "bytes": max(run["bytes"] for run in runs),
                        "logits": 4 * count * classes,
                    }
                )
                print(rows[-1], flush=True)
    return rows


def markdown(rows: Sequence[dict[str, Any]], given: argparse.Namespace) -> str:
    """The page."""
    import torch

    sys.path.insert(0, str(Path(__file__).parent))
    from fashion.machine import processor
    from fashion.tables import table

    head = ("N × C", "Tool", "Seconds", "Times dale's", "NLL after", "Memory, MB")
    lines = [
        [
            row["size"],
            row["tool"],
            f"{median(row['seconds']):.4f}",
            f"{median(row['ratios']):.1f} ({min(row['ratios']):.1f} to "
            f"{max(row['ratios']):.1f})",
            f"{row['nll']:.8f}",
            f"{row['bytes'] / 1e6:.0f}",
        ]
        for row in rows
    ]
    runs = len(rows[0]["seconds"])
    return "\n".join(
        [
            "# Temperature scaling against netcal and L-BFGS",
            "",
            "Written by `python benchmarks/calibration_vs_netcal.py` on "
            f"{datetime.now(UTC).date().isoformat()}; do not edit.",
            f"{processor()}, {given.threads} threads, PyTorch {torch.__version__}.",
            "",
            "Fit and apply, in a process of its own each after a first time on 64 "
            f"examples, the tools in turn, n = {runs}. Seconds and ratios are medians, "
            "with the range of the ratios. "
            "Memory is the peak of anonymous memory above what the logits take, the "
            "result included: float64 for dale, float32 for L-BFGS.",
            "",
            *table(head, lines),
            "",
        ]
    )


def main() -> int:
    """Measure and write the table."""
    given = parse()
    rows = measure(given)
    page = markdown(rows, given)
    if given.quick:
        print(page)
        return 0
    path = ROOT / "benchmarks" / "results" / "calibration_vs_netcal.md"
    path.write_text(page, encoding="utf-8")
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
