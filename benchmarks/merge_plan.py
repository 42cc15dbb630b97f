"""What `dale merge CONFIG OUT --plan` foresees, against merges that are done.

Three fine-tunes and a base of a Llama-type model with 0.19 billion parameters in
bfloat16 (0.39 GB a model) are made on the spot. For each configuration a process plans
it, and another does it, several times. Memory is what the merge takes beside the
program: the peak of anonymous memory, less what there was when every header had been
read. Seconds are those of the merge, from the first tensor to the last, with the inputs
in the page cache. What checking the result afterwards takes stands beside them.

    python benchmarks/merge_plan.py
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from threading import Thread

from merge_vs_mergekit import resident
from merging.models import addressed, at_hand

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "merge_plan.md"
TUNED = "models: [{model: ONE}, {model: TWO}, {model: THREE}]\n"
BASED = "base_model: BASE\n" + TUNED
CONFIGURATIONS = {
    "linear": TUNED + "merge_method: linear\nparameters: {weight: 1}\n",
    "linear, cast": TUNED + "merge_method: linear\nparameters: {weight: 1}\n"
    "dtype: float32\nout_dtype: bfloat16\n",
    "slerp": "base_model: BASE\nmodels: [{model: ONE}]\n"
    "merge_method: slerp\nparameters: {t: 0.4}\n",
    "task_arithmetic": BASED + "merge_method: task_arithmetic\n"
    "parameters: {weight: 0.4}\n",
    "ties": BASED + "merge_method: ties\nparameters: {weight: 1, density: 0.2}\n",
    "ties_global": BASED + "merge_method: ties_global\n"
    "parameters: {weight: 1, density: 0.2}\n",
    "dare_ties": BASED + "merge_method: dare_ties\n"
    "parameters: {weight: 0.4, density: 0.5}\n",
    "model_stock": BASED + "merge_method: model_stock\n",
    "breadcrumbs": BASED + "merge_method: breadcrumbs\n"
    "parameters: {weight: 0.4, density: 0.9, gamma: 0.01}\n",
    "della": BASED + "merge_method: della\n"
    "parameters: {weight: 0.4, density: 0.7, epsilon: 0.1}\n",
    "sce": BASED + "merge_method: sce\nparameters: {select_topk: 0.5}\n",
}
"""By name: YAML in which the folders of the models are still to be put."""
BOUND = 4
"""How many times the measured memory the foreseen one may be."""
CHILD = """
import json, sys, time
from pathlib import Path
from dale.merge.config import plan

def say(**words):
    lines = Path("/proc/self/status").read_text().splitlines()
    own = next(1024 * int(x.split()[1]) for x in lines if x.startswith("RssAnon:"))
    print(json.dumps({"bytes": own, "at": time.perf_counter(), **words}), flush=True)

real = plan.write_jobs

def watched(*given, **options):
    say()
    files = real(*given, **options)
    say()
    return files

plan.write_jobs = watched
plan.run_config(sys.argv[1], sys.argv[2], check=lambda found: None)
say()
"""
"""Does a merge, and says when the first tensor is begun, when the last is done, and
when all were checked."""


@dataclass(frozen=True)
class Cost:
    """What a merge took: bytes beside the program, seconds, and those of the check."""

    bytes: int
    seconds: float
    checking: float


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--runs", type=int, default=3, help="processes for each configuration")
    add("--layers", type=int, default=8, help="depth of the model")
    add("--threads", type=int, default=2, help="of PyTorch")
    add("--only", nargs="*", default=[*CONFIGURATIONS], choices=CONFIGURATIONS)
    add("--folder", type=Path, help="where the models lie; made there if missing")
    add("--quick", action="store_true", help="two layers, one run, nothing written")
    return parser.parse_args(arguments)


def planned(path: Path, threads: int) -> dict[str, float]:
    """What the command line foresees."""
    command = [sys.executable, "-m", "dale", "merge", path, "--plan", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    return json.loads(done.stdout)["cost"]


def done(path: Path, out: Path, threads: int) -> Cost:
    """Do a merge in a process of its own and watch it."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, path, out],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    said: list[dict[str, float]] = []
    reader = Thread(target=lambda: said.extend(map(json.loads, process.stdout or [])))
    reader.start()
    peak = 0
    while process.poll() is None:
        if len(said) == 1:
            peak = max(peak, resident(process.pid))
        time.sleep(0.001)
    reader.join()
    shutil.rmtree(out)
    begin, end, checked = said
    peak = max(peak, int(end["bytes"]))
    return Cost(
        peak - int(begin["bytes"]), end["at"] - begin["at"], checked["at"] - end["at"]
    )


def measure(given: argparse.Namespace, models: Path, scratch: Path) -> dict:
    """Every configuration: what is foreseen, and what is found."""
    found = {}
    for name in given.only:
        path = scratch / "c.yml"
        path.write_text(addressed(CONFIGURATIONS[name], models))
        plans, costs = [], []
        for run in range(given.runs):
            plans.append(planned(path, given.threads))
            costs.append(done(path, scratch / "out", given.threads))
            print(name, run, plans[-1], costs[-1], flush=True)
        found[name] = plans, costs
    return found


def line(name: str, plans: Sequence[Mapping[str, float]], costs: Sequence[Cost]) -> str:
    """One row of the table."""
    bound, peak = plans[0]["memory_bytes"], max(cost.bytes for cost in costs)
    foreseen = median(plan["seconds"] for plan in plans)
    seconds = median(cost.seconds for cost in costs)
    cells = [
        name,
        f"{bound / 1e6:.1f}",
        f"{peak / 1e6:.1f}",
        f"{peak / bound:.2f}",
        f"{foreseen:.1f}",
        f"{seconds:.1f}",
        f"{100 * (foreseen / seconds - 1):+.0f} %",
        f"{median(cost.checking for cost in costs):.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def verdicts(found: Mapping[str, tuple]) -> Iterator[str]:
    """What was hoped for, and what was found."""
    for name, (plans, costs) in found.items():
        share = max(cost.bytes for cost in costs) / plans[0]["memory_bytes"]
        if not 1 / BOUND <= share <= 1:
            yield f"* {name}: missed, the peak is {share:.2f} of what is foreseen."
    errors = [
        abs(
            median(plan["seconds"] for plan in plans)
            / median(cost.seconds for cost in costs)
            - 1
        )
        for plans, costs in found.values()
    ]
    yield f"* Time: off by {100 * median(errors):.0f} % in the median, "
    yield f"  {100 * max(errors):.0f} % at the most."


def markdown(found: Mapping[str, tuple], given: argparse.Namespace) -> str:
    """The page."""
    import torch
    from fashion.machine import processor

    rows = [line(name, plans, costs) for name, (plans, costs) in found.items()]
    return "\n".join(
        [
            "# What a plan foresees",
            "",
            f"Written by `python benchmarks/merge_plan.py` on "
            f"{datetime.now(UTC):%Y-%m-%d}; do not edit.",
            f"{processor()}, {os.cpu_count()} cores, {given.threads} threads, PyTorch "
            f"{torch.__version__}, n = {given.runs} processes, mean load of the "
            f"machine {os.getloadavg()[2]:.1f}.",
            "",
            f"A Llama-type model of {given.layers} layers in bfloat16. Megabytes "
            "beside the program: foreseen, and the highest peak of all processes. "
            "Seconds are medians. Checking reads the result and every input again.",
            "",
            "| Configuration | Planned, MB | Peak, MB | Share | Planned, s | "
            "Found, s | Error | Checking, s |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            *verdicts(found),
            "",
        ]
    )


def main() -> None:
    """Measure, and write the page."""
    given = parse()
    if given.quick:
        given.layers, given.runs = 2, 1
    with at_hand(given.folder, given.layers) as (models, scratch):
        found = measure(given, models, scratch)
    page = markdown(found, given)
    print(page)
    if not given.quick and given.layers == 8 and given.only == [*CONFIGURATIONS]:
        RESULTS.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
