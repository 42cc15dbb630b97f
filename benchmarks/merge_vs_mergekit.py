"""Merging a language model: dale against mergekit, and against copying.

mergekit is asked for in an environment of its own:

    python -m venv mergekit && mergekit/bin/pip install torch==2.13.0 mergekit==0.1.5
    python benchmarks/merge_vs_mergekit.py --mergekit mergekit/bin/python

Three fine-tunes and a base of a Llama-type model with 0.45 billion parameters in
bfloat16 are made on the spot: random weights, and small random differences. For each
method both tools get the same YAML and take turns. What is timed is the whole process,
from its start to its end, with the inputs in the page cache and the modules of both
compiled, as those of an installed package are.

Memory is the peak of anonymous and shared memory of the process and its children, as
``/proc/PID/status`` has it fifty times a second: often enough for a peak, seldom enough
not to take time from two cores. Both tools map the input files; those pages belong to
the cache of the operating system, which takes them back when it likes, and are not
counted. dale also merges models of a quarter of the depth, to see whether memory grows
with the number of tensors.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from compileall import compile_dir
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from merging.models import addressed, at_hand, make

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "merge_vs_mergekit.md"
TUNED = "models: [{model: ONE, WITH}, {model: TWO, WITH}, {model: THREE, WITH}]\n"
BASED = "base_model: BASE\n" + TUNED
_LOOK = 0.02
"""Seconds between two looks at the memory of a process."""
METHODS: dict[str, tuple[str, float]] = {
    "linear": (TUNED.replace("WITH", "parameters: {weight: 1.0}"), 3),
    "slerp": ("base_model: BASE\nmodels: [{model: ONE}]\nparameters: {t: 0.4}\n", 3),
    "task_arithmetic": (BASED.replace("WITH", "parameters: {weight: 0.4}"), 3),
    "dare_ties": (
        BASED.replace("WITH", "parameters: {weight: 0.4, density: 0.5}"),
        6,
    ),
    "ties": (BASED.replace("WITH", "parameters: {weight: 1.0, density: 0.2}"), 10),
}
"""By name: the rest of the YAML, and how many times faster dale shall be."""
LIGHTER, NEAR = 4, 2.5
"""How many times less memory dale shall need, and the most a linear merge may cost as a
multiple of copying the same bytes."""
COPY = """
import sys
from pathlib import Path

*sources, out = map(Path, sys.argv[1:])
block = bytearray(1 << 22)
with (out).open("wb") as target:
    for position, source in enumerate(sources):
        for path in sorted(source.glob("*.safetensors")):
            with path.open("rb", buffering=0) as file:
                while size := file.readinto(block):
                    if position == 0:
                        target.write(memoryview(block)[:size])
"""
"""Reads every input and writes as many bytes as one of them has, with plain files."""


@dataclass(frozen=True)
class Cost:
    """What one process took: wall-clock seconds, and bytes at its peak."""

    seconds: float
    bytes: int


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--mergekit", help="Python of an environment with mergekit; left out without")
    add("--runs", type=int, default=3, help="pairs of processes for each method")
    add("--layers", type=int, default=24, help="depth of the model")
    add("--methods", nargs="*", default=[*METHODS], choices=METHODS)
    add("--folder", type=Path, help="where the models lie; made there if missing")
    add("--quick", action="store_true", help="four layers, one run, nothing written")
    return parser.parse_args(arguments)


def configuration(method: str, models: Path) -> str:
    """The YAML that both tools get."""
    text = f"merge_method: {method}\ndtype: bfloat16\n{METHODS[method][0]}"
    return addressed(text, models)


def cost(command: Sequence[str | Path]) -> Cost:
    """Run a process and watch it."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2"}
    with tempfile.TemporaryFile("w+") as log:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        peak = 0
        while process.poll() is None:
            peak = max(peak, sum(map(resident, family(process.pid))))
            time.sleep(_LOOK)
        seconds = time.perf_counter() - started
        if process.returncode:
            log.seek(0)
            raise SystemExit(f"{' '.join(map(str, command))}\n{log.read()}")
    return Cost(seconds, peak)


def family(pid: int) -> Iterator[int]:
    """A process and all its descendants."""
    yield pid
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from family(int(child))
    except OSError:
        return


def resident(pid: int) -> int:
    """Bytes of anonymous and shared memory."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    parts = [line.split() for line in lines]
    return 1024 * sum(int(p[1]) for p in parts if p[0] in {"RssAnon:", "RssShmem:"})


def measure(given: argparse.Namespace, models: Path, scratch: Path) -> dict:
    """Every method with every tool, in turn."""
    tools = {"dale": [sys.executable, "-m", "dale", "merge"]}
    if given.mergekit:
        tools["mergekit"] = [Path(given.mergekit).with_name("mergekit-yaml")]
    found: dict[str, dict[str, list[Cost]]] = {}
    for method in given.methods:
        configuration_file = scratch / f"{method}.yml"
        configuration_file.write_text(configuration(method, models))
        costs: dict[str, list[Cost]] = {name: [] for name in tools}
        if method == "linear":
            costs["copying"] = []
        for run in range(given.runs):
            for name, command in tools.items():
                out = scratch / name
                costs[name].append(cost([*command, configuration_file, out]))
                shutil.rmtree(out)
            if method == "linear":
                sources = [models / name for name in ("one", "two", "three")]
                out = scratch / "copied"
                costs["copying"].append(
                    cost([sys.executable, "-c", COPY, *sources, out])
                )
                out.unlink()
            print(method, run, {n: c[-1] for n, c in costs.items()}, flush=True)
        found[method] = costs
    return found


def shallow(given: argparse.Namespace, scratch: Path) -> dict[str, Cost]:
    """What dale takes for models of a quarter of the depth."""
    models = scratch / "shallow"
    make(models, given.layers // 4)
    found = {}
    for method in given.methods:
        configuration_file = scratch / f"{method}-shallow.yml"
        configuration_file.write_text(configuration(method, models))
        out = scratch / "dale"
        command = [sys.executable, "-m", "dale", "merge", configuration_file, out]
        found[method] = cost(command)
        shutil.rmtree(out)
    return found


def line(method: str, tool: str, ours: Sequence[Cost], theirs: Sequence[Cost]) -> str:
    """One row of the table: a tool beside dale."""
    pairs = [*zip(theirs, ours, strict=True)]
    times = [their.seconds / own.seconds for their, own in pairs]
    memory = median(c.bytes for c in theirs) / median(c.bytes for c in ours)
    ratio = median(c.seconds for c in theirs) / median(c.seconds for c in ours)
    cells = [
        method,
        tool,
        f"{median(c.seconds for c in theirs):.1f}",
        f"{ratio:.1f} ({min(times):.1f} to {max(times):.1f})",
        f"{median(c.bytes for c in theirs) / 1e6:.0f}",
        f"{memory:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def verdicts(found: Mapping[str, Mapping[str, Sequence[Cost]]]) -> Iterator[str]:
    """What was hoped for, and what was found."""
    for method, costs in found.items():
        own = median(c.seconds for c in costs["dale"])
        if "mergekit" in costs:
            ratio = median(c.seconds for c in costs["mergekit"]) / own
            least = METHODS[method][1]
            word = "reached" if ratio >= least else "missed"
            yield f"* {method}, {least} times faster: {word}, {ratio:.1f}."
            size = median(c.bytes for c in costs["dale"])
            less = median(c.bytes for c in costs["mergekit"]) / size
            word = "reached" if less >= LIGHTER else "missed"
            yield f"* {method}, {LIGHTER} times less memory: {word}, {less:.1f}."
        if "copying" in costs:
            ratio = own / median(c.seconds for c in costs["copying"])
            word = "reached" if ratio <= NEAR else "missed"
            yield f"* {method}, within {NEAR} times of copying: {word}, {ratio:.2f}."


def markdown(
    found: Mapping[str, Mapping[str, Sequence[Cost]]],
    quarter: Mapping[str, Cost],
    given: argparse.Namespace,
) -> str:
    """The page."""
    import torch
    from fashion.machine import processor

    rows = [
        line(method, tool, costs["dale"], costs[tool])
        for method, costs in found.items()
        for tool in costs
    ]
    depths = [
        f"| {method} | {cost.bytes / 1e6:.0f} | {whole / 1e6:.0f} | "
        f"{whole / cost.bytes:.2f} |"
        for method, cost in quarter.items()
        for whole in [median(c.bytes for c in found[method]["dale"])]
    ]
    load = os.getloadavg()[2]
    return "\n".join(
        [
            "# Merging against mergekit",
            "",
            "Written by `python benchmarks/merge_vs_mergekit.py` on "
            f"{datetime.now(UTC):%Y-%m-%d}; do not edit.",
            f"{processor()}, {os.cpu_count()} cores, PyTorch {torch.__version__}, "
            f"n = {given.runs} pairs, mean load of the machine {load:.1f}.",
            "",
            f"A Llama-type model of {given.layers} layers in bfloat16, three tuned. "
            "Whole processes; seconds and megabytes are medians; times dale's is the "
            "ratio of medians, with the range within pairs. Copying reads the three "
            "inputs and writes one output with plain files.",
            "",
            "| Method | Tool | Seconds | Times dale's | Memory, MB | Times dale's |",
            "| --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            *verdicts(found),
            "",
            f"Memory of dale by depth, MB: {given.layers // 4} layers, and "
            f"{given.layers}.",
            "",
            f"| Method | {given.layers // 4} layers | {given.layers} | Times |",
            "| --- | --- | --- | --- |",
            *depths,
            "",
        ]
    )


def main() -> None:
    """Measure, and write the page."""
    given = parse()
    if given.quick:
        given.layers, given.runs = 4, 1
    for place in find_spec("dale").submodule_search_locations:
        compile_dir(place, quiet=1)
    with at_hand(given.folder, given.layers) as (models, scratch):
        found = measure(given, models, scratch)
        quarter = shallow(given, scratch)
    page = markdown(found, quarter, given)
    print(page)
    if not given.quick and given.layers == 24:
        RESULTS.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
