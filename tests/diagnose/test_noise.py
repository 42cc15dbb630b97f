"""Gradient noise against theory, and Lanczos against dense eigenvalues."""

from itertools import combinations
from math import isnan

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dale.diagnose import gradient_noise, lanczos
from dale.errors import InputError


def problem(seed, examples=60, size=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(examples, size, generator=generator, dtype=torch.float64) + 0.5


def test_the_variance_without_replacement_is_that_of_the_formula():
    """Over all batches there are, not only drawn ones."""
    rows = problem(0, examples=9)
    whole = rows.mean(0)
    trace = (rows - whole).square().sum(1).mean()
    for size in (1, 2, 5, 8):
        batches = [rows[list(b)].mean(0) for b in combinations(range(9), size)]
        off = torch.stack(batches) - whole
        assert off.mean(0).abs().max() < 1e-12  # unbiased
        expected = trace / size * (9 - size) / 8
        assert off.square().sum(1).mean() == pytest.approx(float(expected))


@given(seed=st.integers(0, 1000))
def test_what_is_measured_is_what_is_there(seed):
    rows = problem(seed)
    whole = rows.mean(0)
    trace = float((rows - whole).square().sum(1).mean())
    found = gradient_noise(
        lambda b: rows[b].mean(0), 60, (1, 3, 10, 30), draws=200, seed=seed
    )
    assert found.squared_norm == pytest.approx(float(whole.square().sum()))
    assert found.noise_scale == pytest.approx(trace / found.squared_norm, rel=0.2)
    assert found.exponent == pytest.approx(-1, abs=0.12)
    for size, variance in zip(found.batches, found.variances, strict=True):
        expected = trace / size * (60 - size) / 59
        assert variance == pytest.approx(expected, rel=0.4)
    # 3 × the bias of an unbiased gradient is about chi-square with 3 degrees
    assert all(bias < 8 for bias in found.biases)


def test_a_biased_gradient_is_seen():
    rows = problem(1)
    found = gradient_noise(
        lambda b: rows[b].mean(0) + (0.3 if len(b) < 60 else 0.0), 60, (10,), draws=100
    )
    assert found.biases[0] > 20


def test_no_gradient_and_no_noise():
    found = gradient_noise(lambda b: torch.zeros(2), 10, (1, 2))
    assert found.noise_scale == float("inf")
    assert isnan(found.exponent)
    assert isnan(found.biases[0])


@pytest.mark.parametrize(
    "changed",
    [{"examples": 1}, {"draws": 1}, {"batches": ()}, {"batches": (0,)}],
)
def test_bad_numbers(changed):
    given = {"examples": 10, "draws": 3, "batches": (2,), **changed}
    with pytest.raises(InputError, match="expected"):
        gradient_noise(lambda b: torch.zeros(2), **given)
    with pytest.raises(InputError, match="less than the 10 examples"):
        gradient_noise(lambda b: torch.zeros(2), 10, (10,))


@given(seed=st.integers(0, 10**6), size=st.integers(1, 30), steps=st.integers(1, 40))
def test_ritz_values_against_all_eigenvalues(seed, size, steps):
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(size, size, generator=generator, dtype=torch.float64)
    matrix = matrix + matrix.T
    every = torch.linalg.eigvalsh(matrix)
    found = lanczos(lambda v: matrix @ v, size, steps=steps, seed=seed)
    assert len(found.values) <= min(steps, size)
    assert found.top <= float(every.max()) + 1e-9
    for value, residual in zip(found.values, found.residuals, strict=True):
        assert float((every - value).abs().min()) <= residual + 1e-8
    if steps >= size:
        assert found.values == pytest.approx(every.flip(0).tolist(), abs=1e-8)


def test_an_eigenvalue_that_is_there_twice_comes_once():
    found = lanczos(lambda v: 2 * v, 5)
    assert found.values == pytest.approx((2.0,))
    assert lanczos(lambda v: 0 * v, 5).values == (0.0,)


def test_a_product_that_is_not_finite():
    with pytest.raises(InputError, match="NaN or infinite"):
        lanczos(lambda v: v / 0, 3)
    with pytest.raises(InputError, match="numbers >= 1"):
        lanczos(lambda v: v, 0)
