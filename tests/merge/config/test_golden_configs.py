"""What mergekit 0.1.5 made of the same YAML; see golden/merge/make_configs.py."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dale.merge import METHODS
from dale.merge.config.loading import parse_config
from dale.merge.config.prepare import prepare
from dale.merge.job import run_jobs
from dale.weights import save
from golden.merge.configs import CASES, DRAWS, HALVED, TYPES, Case, write

HERE = Path(__file__).parents[2] / "golden" / "merge"
FIXED = [case for case in CASES if not case.draws]
DRAWN = [case for case in CASES if case.draws]
IN_FLOAT32 = {"linear", "passthrough", "slerp"}
"""What mergekit computes in float32 without being told to."""


@cache
def golden() -> dict[str, Any]:
    with np.load(HERE / "configs.npz") as stored:
        return dict(stored)


def expected(case: Case, way: str) -> Tensor:
    bits = torch.from_numpy(golden()[f"{case.name}/{way}"])
    return bits.view(torch.bfloat16) if bits.dtype == torch.int16 else bits


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")

    def store(model, path):
        save(path, {n: torch.from_numpy(a).bfloat16() for n, a in model.items()}, {})

    write(folder, store)
    return folder


def ours(text: str, models: Path, seed: int = 0) -> Tensor:
    ready = prepare(parse_config(text), models)
    assert ready.problems == ()
    tensors = {job.name: tensor for job, tensor in run_jobs(ready.jobs, seed)}
    return torch.cat([tensors[name].reshape(-1) for name in sorted(tensors)])


def method(case: Case) -> str:
    return parse_config(case.text).merge_method


@pytest.mark.parametrize("case", FIXED, ids=lambda case: case.name)
def test_to_the_last_bit_of_bfloat16(case: Case, models: Path) -> None:
    actual = ours(TYPES["wide"] + case.text, models)
    wanted = expected(case, "wide")
    assert actual.dtype == wanted.dtype == torch.bfloat16
    differ = (actual != wanted).nonzero()[:, 0]
    # only where the exact result is as near to one as to the other
    exact = ours("dtype: float64\n" + case.text, models)[differ]
    middle = (actual[differ].double() + wanted[differ].double()) / 2
    torch.testing.assert_close(exact, middle, rtol=1e-6, atol=0)
    assert len(differ) <= 2


@pytest.mark.parametrize("case", FIXED, ids=lambda case: case.name)
def test_types_and_rounding_without_types(case: Case, models: Path) -> None:
    actual, theirs = ours(case.text, models), expected(case, "alone")
    assert actual.dtype == torch.bfloat16
    exact = ours("dtype: float64\n" + case.text, models)
    error, other = ((x.double() - exact).abs().mean() for x in (actual, theirs))
    # dale computes in float32 and rounds once; mergekit rounds as it goes, but for few
    assert error <= other * 1.001
    if method(case) in IN_FLOAT32:
        assert torch.equal(actual, theirs)


@pytest.mark.parametrize("name", sorted(HALVED))
def test_inputs_are_cast_before_the_arithmetic(name: str, models: Path) -> None:
    (case,) = (case for case in FIXED if case.name == name)
    actual, wanted = ours(TYPES["half"] + case.text, models), expected(case, "half")
    assert actual.dtype == wanted.dtype == torch.float32
    # the same float16 values go in, and mergekit rounds its result to float16 too
    torch.testing.assert_close(actual.half(), wanted.half(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("case", DRAWN, ids=lambda case: case.name)
def test_random_methods_in_distribution(case: Case, models: Path) -> None:
    wide = "dtype: float32\n" + case.text
    draws = torch.stack([ours(wide, models, seed) for seed in range(DRAWS)]).double()
    mean, spread = (golden()[f"{case.name}/{part}"] for part in ("mean", "std"))
    mean, spread = torch.from_numpy(mean).double(), torch.from_numpy(spread).double()
    # of 700 elements, six standard errors or more are not to be seen by chance
    error = spread * (2 / DRAWS) ** 0.5 + 1e-6
    assert ((draws.mean(0) - mean).abs() < 6 * error).all()
    torch.testing.assert_close(draws.std(0), spread, rtol=0.25, atol=0.02)


def test_every_method_of_mergekit_is_compared() -> None:
    shared = {row.mergekit for row in METHODS.values()} - {None}
    assert shared == {method(case) for case in CASES}
