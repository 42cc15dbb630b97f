"""What mergekit 0.1.5 computed of the same models; see golden/merge/make.py."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dale.merge import METHODS, merge
from golden.merge.inputs import CASES, RANDOM, RANDOM_SHAPE, SHAPES, Case, made

HERE = Path(__file__).parents[1] / "golden" / "merge"
TRIMMED = {"ties", "breadcrumbs", "breadcrumbs_ties"}
IN_FLOAT32 = {"linear", "passthrough", "slerp"}
"""What mergekit computes in float32 without being told to."""


@cache
def golden(file: str) -> dict[str, Any]:
    with np.load(HERE / file) as stored:
        return dict(stored)


def flat(weights: dict[str, Tensor]) -> Tensor:
    return torch.cat([weights[name].reshape(-1) for name in SHAPES])


def inputs(case: Case, dtype: torch.dtype) -> tuple[list[dict[str, Tensor]], dict]:
    models = [
        {name: torch.from_numpy(array).to(dtype) for name, array in model.items()}
        for model in made(case)
    ]
    return models, ({"base": models.pop(0)} if case.base else {})


def ours(case: Case, dtype: torch.dtype, compute: torch.dtype | None = None) -> Tensor:
    models, base = inputs(case, dtype)
    if compute is not None:
        models = [{n: t.to(compute) for n, t in model.items()} for model in models]
        base = {k: {n: t.to(compute) for n, t in m.items()} for k, m in base.items()}
    return flat(merge(models, case.method, **base, **case.settings))


def alike(case: Case) -> Tensor:
    """Where both mean the same. Filters of a convolution differ by definition."""
    by_filter = case.settings.get("filter_wise", False)
    parts = [
        torch.full((np.prod(shape),), not (by_filter and name == "kernel"))
        for name, shape in SHAPES.items()
    ]
    return torch.cat(parts)


def tied(case: Case) -> Tensor:
    """Elements whose change is as large as another one's in the same tensor."""
    models, base = inputs(case, torch.bfloat16)
    found = torch.zeros(len(alike(case)), dtype=torch.bool)
    for model in models:
        marks = {}
        for name, tensor in model.items():
            size = (tensor.float() - base["base"][name].float()).abs()
            _, places, counts = size.unique(return_inverse=True, return_counts=True)
            marks[name] = counts[places] > 1
        found |= flat(marks)
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_float32(case: Case) -> None:
    expected = torch.from_numpy(golden("deterministic.npz")[f"{case.name}/float32"])
    where = alike(case)
    torch.testing.assert_close(
        ours(case, torch.float32)[where], expected[where], rtol=2e-6, atol=4e-7
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_to_the_last_bit_of_bfloat16(case: Case) -> None:
    stored = torch.from_numpy(golden("deterministic.npz")[f"{case.name}/bfloat16"])
    expected, actual = stored.view(torch.bfloat16), ours(case, torch.bfloat16)
    differ = (actual != expected) & alike(case)
    if case.method in TRIMMED:
        # mergekit keeps any of several equal magnitudes, dale the first
        differ &= ~tied(case)
    exact = ours(case, torch.bfloat16, torch.float64)[differ]
    middle = (actual[differ].double() + expected[differ].double()) / 2
    # elsewhere only where the exact result is as near to one as to the other
    torch.testing.assert_close(exact, middle, rtol=1e-6, atol=0)
    assert int(differ.sum()) <= 3


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_by_itself_mergekit_rounds_more_often(case: Case) -> None:
    stored = golden("deterministic.npz")
    native = torch.from_numpy(stored[f"{case.name}/native"]).view(torch.bfloat16)
    wide = torch.from_numpy(stored[f"{case.name}/bfloat16"]).view(torch.bfloat16)
    assert torch.equal(native, wide) == (case.method in IN_FLOAT32)
    exact = ours(case, torch.bfloat16, torch.float64)
    nearer = (ours(case, torch.bfloat16) - exact).abs().mean()
    assert nearer <= (native - exact).abs().mean() * 1.001


@pytest.mark.parametrize("case", RANDOM, ids=lambda case: case.name)
def test_random_methods_in_distribution(case: Case) -> None:
    stored, count = golden("drawn.npz"), 400
    start, *models = (
        torch.from_numpy(model["matrix"])
        for model in made(case, {"matrix": RANDOM_SHAPE})
    )
    kernel = METHODS[case.method].function
    generators = [torch.Generator().manual_seed(k) for k in range(case.models)]
    draws = [kernel(models, start, generators, **case.settings) for _ in range(count)]
    values = torch.stack(draws).double()
    mean = torch.from_numpy(stored[f"{case.name}/mean"]).double()
    spread = torch.from_numpy(stored[f"{case.name}/std"]).double()
    # of 120 elements, six standard errors or more are not to be seen by chance
    error = spread / count**0.5 + 1e-6
    assert ((values.mean(0) - mean).abs() < 6 * error).all()
    torch.testing.assert_close(values.std(0), spread, rtol=0.2, atol=0.02)


def test_all_shared_methods_are_compared() -> None:
    shared = {row.mergekit for row in METHODS.values()} - {None}
    assert shared == {case.method for case in CASES}
    random = {name for name, row in METHODS.items() if not row.deterministic}
    assert random == {case.method for case in RANDOM}
