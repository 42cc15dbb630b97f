"""How far mergekit's own arithmetic in bfloat16 is from dale's, method by method.

mergekit is not needed: its results are those stored in ``tests/golden/merge``, made by
the scripts there.

    python benchmarks/merge_rounding.py
"""

import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from dale.merge.config.loading import parse_config
from dale.merge.config.prepare import prepare
from dale.merge.job import run_jobs
from dale.weights import save

TESTS = Path(__file__).resolve().parents[1] / "tests"
STORED = TESTS / "golden" / "merge"


def made_by(name: str) -> ModuleType:
    """The cases that the stored results are of."""
    if str(TESTS) not in sys.path:
        sys.path.insert(0, str(TESTS))
    return import_module(f"golden.merge.{name}")


def merged(text: str, models: Path) -> Tensor:
    """All elements of a merge, tensor by tensor in the order of the names."""
    jobs = sorted(prepare(parse_config(text), models).jobs, key=lambda job: job.name)
    return torch.cat([tensor.reshape(-1) for _, tensor in run_jobs(jobs)])


def against_dale(models: Path) -> Iterator[tuple[str, int, float, float]]:
    """Of every configuration that draws nothing, both tools choosing the types.

    Yields:
        Its name, elements, the share that differ, and mergekit's mean error against
        float64 as a multiple of dale's.
    """
    configs = made_by("configs")
    with np.load(STORED / "configs.npz") as stored:
        for case in (case for case in configs.CASES if not case.draws):
            theirs = torch.from_numpy(stored[f"{case.name}/alone"])
            if theirs.dtype == torch.int16:
                theirs = theirs.view(torch.bfloat16)
            ours = merged(case.text, models)
            exact = merged("dtype: float64\n" + case.text, models)
            error, other = ((x.double() - exact).abs().mean() for x in (ours, theirs))
            share = float((ours != theirs).double().mean())
            yield case.name, len(ours), share, float(other / error) if error else 1.0


def against_itself() -> Iterator[tuple[str, float]]:
    """Of every case of single tensors, mergekit by itself and told to use float32.

    Yields:
        Its name, and the share of elements that differ.
    """
    inputs = made_by("inputs")
    with np.load(STORED / "deterministic.npz") as stored:
        for case in inputs.CASES:
            native, wide = (stored[f"{case.name}/{w}"] for w in ("native", "bfloat16"))
            yield case.name, float((native != wide).mean())


def main() -> int:
    """Print both tables."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder)

        def store(model: dict[str, np.ndarray], path: str | Path) -> None:
            tensors = {n: torch.from_numpy(a).bfloat16() for n, a in model.items()}
            save(path, tensors, {})

        made_by("configs").write(models, store)
        print("configurations, models in bfloat16, no dtype; CPU, one thread")
        print("| case | elements | differ | mergekit's error / dale's |")
        print("| --- | --- | --- | --- |")
        for name, count, share, ratio in against_dale(models):
            print(f"| {name} | {count} | {100 * share:.0f} % | {ratio:.1f} |")
    print("\nsingle tensors: mergekit by itself against mergekit in float32")
    print("| case | differ |")
    print("| --- | --- |")
    for name, share in against_itself():
        print(f"| {name} | {100 * share:.0f} % |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
