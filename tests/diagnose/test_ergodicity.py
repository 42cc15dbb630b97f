"""Time averages against ensemble averages."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dale.diagnose import ergodicity, pair_disagreement, ratio_of_means
from dale.errors import InputError
from dale.metrics import disagreement_MM


def drawn(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@given(seed=st.integers(0, 999), members=st.integers(2, 5), classes=st.integers(2, 4))
def test_the_mean_is_that_of_the_pairs(seed, members, classes):
    logits = drawn(seed, members, 30, classes)
    pairs = disagreement_MM(logits)
    mean = pairs.sum() / (members * (members - 1))
    assert pair_disagreement(logits).mean() == pytest.approx(float(mean))


@pytest.mark.parametrize("truth", [0.0, 0.5, 1.3])
def test_the_interval_holds_the_truth_as_often_as_it_says(truth):
    held = 0
    for seed in range(200):
        below = 1 + 0.5 * drawn(seed, 60)
        above = truth * below + 0.3 * drawn(seed + 1000, 60)
        found = ratio_of_means(above, below, resamples=200, seed=seed)
        held += found.low <= truth <= found.high
    assert 178 <= held <= 200  # 0.95 · 200, less three standard deviations


def test_a_ratio_that_is_not_determined():
    found = ratio_of_means(drawn(0, 50), 0.01 * drawn(1, 50))
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert math.isnan(ratio_of_means(torch.ones(3), torch.zeros(3)).value)


def test_the_parts_are_what_they_are_named_after():
    single, time, apart = 1 + drawn(0, 80).abs(), drawn(1, 80).abs(), torch.zeros(80)
    logits, others = drawn(2, 3, 80, 4), drawn(3, 3, 80, 4)
    found = ergodicity(single, time, apart, logits, others)
    expected = (single.mean() - time.mean()) / single.mean()
    assert found.gain.value == pytest.approx(float(expected))
    assert found.gain.low < found.gain.value < found.gain.high
    ratio = pair_disagreement(logits).mean() / pair_disagreement(others).mean()
    assert found.disagreement.value == pytest.approx(float(ratio))


def test_what_does_not_fit():
    with pytest.raises(InputError, match="rows of equal length"):
        ratio_of_means(torch.ones(3), torch.ones(4))
    with pytest.raises(InputError, match="finite"):
        ratio_of_means(torch.tensor([math.nan]), torch.ones(1))
    with pytest.raises(InputError, match="2 members or more"):
        pair_disagreement(torch.zeros(1, 4, 3))
    one = torch.ones(4)
    with pytest.raises(InputError, match="same examples"):
        ergodicity(one, one, one, torch.zeros(2, 4, 3), torch.zeros(2, 5, 3))
