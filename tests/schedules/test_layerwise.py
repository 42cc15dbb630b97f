"""Factors by layer: what they equalise, and what is refused."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dale.errors import InputError
from dale.schedules import (
    cosine,
    discriminative_rates,
    equalised_rates,
    scale,
    signal_ratios,
)

norms = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8)


@given(layers=st.integers(1, 30), factor=st.floats(0.1, 3))
def test_neighbours_have_the_ratio_asked_for(layers, factor):
    rates = discriminative_rates(layers, factor)
    assert len(rates) == layers
    assert rates[-1] == 1
    for rate, following in pairwise(rates):
        assert rate == pytest.approx(factor * following)
    assert discriminative_rates(layers, 1) == [1.0] * layers


def test_the_published_factor_is_the_default():
    assert discriminative_rates(3) == pytest.approx([1 / 2.6**2, 1 / 2.6, 1])


@given(gradients=norms, of=st.sampled_from(["mean", "largest"]), data=st.data())
def test_updates_come_out_in_the_sizes_asked_for(gradients, of, data):
    size = st.floats(0.5, 2)
    targets = data.draw(
        st.lists(size, min_size=len(gradients), max_size=len(gradients))
    )
    rates = equalised_rates(gradients, targets, of, limit=1e9)
    shares = [r * g / u for r, g, u in zip(rates, gradients, targets, strict=True)]
    assert shares == pytest.approx([shares[0]] * len(shares))
    unit = max(rates) if of == "largest" else sum(rates) / len(rates)
    assert unit == pytest.approx(1)


@given(gradients=st.lists(st.floats(0, 1e6), min_size=1, max_size=8))
def test_no_layer_takes_all_of_the_rate(gradients):
    rates = equalised_rates(gradients, limit=10)
    assert all(math.isfinite(rate) and rate > 0 for rate in rates)
    assert max(rates) <= 100.0000001 * min(rates)


def test_a_vanishing_gradient_is_bounded_and_none_at_all_changes_nothing():
    assert equalised_rates([1.0, 1.0, 0.0], of="largest", limit=4) == [0.25, 0.25, 1.0]
    assert equalised_rates([0.0, 0.0]) == [1.0, 1.0]


def test_ratios():
    assert signal_ratios([1.0, 0.0, 2.0], [4.0, 1.0, 0.0]) == [0.25, 0.0, math.inf]


def test_a_factor_goes_with_any_schedule():
    rate = cosine(0.3, steps=10)
    for factor in discriminative_rates(3, 0.5):
        assert scale(rate, factor).values() == [factor * v for v in rate.values()]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: discriminative_rates(0), "layers must be at least 1"),
        (lambda: discriminative_rates(2, 0.0), "factor must be above 0"),
        (lambda: equalised_rates([]), "expected at least one layer"),
        (lambda: equalised_rates([1.0, -1.0]), "expected numbers >= 0, got -1"),
        (lambda: equalised_rates([1.0, math.nan]), r"gradients\[1\] must be a finite"),
        (lambda: equalised_rates([1.0], [0.0]), "expected 1 targets above 0"),
        (lambda: equalised_rates([1.0], [1.0, 2.0]), "expected 1 targets above 0"),
        (lambda: equalised_rates([1.0], limit=0.5), "limit must be at least 1"),
        (lambda: equalised_rates([1.0], of="sum"), "of must be 'mean' or 'largest'"),
        (lambda: signal_ratios([1.0], [1.0, 2.0]), "expected 1 decays, got 2"),
    ],
)
def test_what_makes_no_sense_is_one_line(call, said):
    with pytest.raises(InputError, match=said):
        call()
