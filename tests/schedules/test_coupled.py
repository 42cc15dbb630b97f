"""Rates and temperatures that belong together."""

import math
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dale.errors import InputError
from dale.schedules import (
    Schedule,
    alignment,
    constant,
    coupled,
    coupled_decay,
    coupled_factor,
    linear,
    scale,
)

FACTORS = st.floats(0.05, 0.99)
EVERY = st.integers(1, 40)


def listed(values):
    return Schedule(lambda step: values[step], len(values), name="listed")


@given(FACTORS, EVERY)
def test_the_two_laws_are_inverse(factor, every):
    decay = coupled_decay(factor, every)
    assert coupled_factor(decay, every) == pytest.approx(factor)
    assert decay > 0


@given(FACTORS, EVERY, st.floats(0.01, 10), st.floats(0.1, 20))
def test_the_scale_of_an_update_is_kept_at_every_drop(factor, every, peak, start):
    rate, heat = coupled(peak, start, factor, every, steps=3 * every + 1)
    for step in range(rate.steps):
        ratio = rate(step) / heat(step) / (peak / start)
        assert ratio == pytest.approx(factor ** -(step % every / every))
        if step % every == 0:
            assert ratio == pytest.approx(1)


def test_another_factor_would_not_keep_it():
    rate, _ = coupled(1.0, 1.0, 0.5, 10, steps=31)
    _, heat = coupled(1.0, 1.0, 0.4, 10, steps=31)
    assert rate(30) / heat(30) > 1.9


VALUES = st.lists(st.floats(0.01, 10), min_size=2, max_size=5)


@given(VALUES, st.data())
def test_the_index_is_the_place_among_all_orders(rates, data):
    count = len(rates)
    heats = data.draw(st.lists(st.floats(0.1, 10), min_size=count, max_size=count))
    near = [-abs(math.log(heat)) for heat in heats]
    sums = [
        sum(r * u for r, u in zip(order, near, strict=True))
        for order in permutations(rates)
    ]
    found = alignment(listed(rates), listed(heats))
    if max(sums) - min(sums) > 1e-6:
        here = sum(r * u for r, u in zip(rates, near, strict=True))
        expected = (here - min(sums)) / (max(sums) - min(sums))
        assert found == pytest.approx(expected, abs=1e-6)
    assert 0 <= found <= 1


@given(VALUES, st.floats(0.001, 1000))
def test_the_unit_of_the_rate_does_not_matter(rates, unit):
    heat = linear(4.0, 0.5, steps=len(rates))
    one = alignment(listed(rates), heat)
    assert alignment(scale(listed(rates), unit), heat) == pytest.approx(one, abs=1e-6)


def test_where_no_order_is_better_it_is_a_half():
    assert alignment(constant(0.1, steps=9), linear(4.0, 1.0, steps=9)) == 0.5
    assert alignment(linear(4.0, 1.0, steps=9), constant(3.0, steps=9)) == 0.5


def test_the_informative_temperature_decides():
    rate, heat = linear(1.0, 0.0, steps=20), linear(8.0, 1.0, steps=20)
    assert alignment(rate, heat, informative=8.0) == 1
    assert alignment(rate, heat, informative=1.0) == 0
    assert 0 < alignment(rate, heat, informative=3.0) < 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: coupled_decay(1.0, 10), r"factor: expected a number in \(0, 1\)"),
        (lambda: coupled_decay(0.5, 0), "every"),
        (lambda: coupled_factor(0.0, 10), "decay"),
        (lambda: coupled_factor(1e3, 10), "leaves nothing"),
        (lambda: coupled(0.1, -1.0, 0.5, 10, 30), "temperature"),
        (lambda: alignment(constant(1, 3), constant(1, 4)), "got 3 and 4 steps"),
        (lambda: alignment(constant(-1, 3), constant(1, 3)), "rates >= 0"),
        (lambda: alignment(constant(1, 3), constant(0, 3)), "temperatures > 0"),
        (lambda: alignment(constant(1, 3), constant(1, 3), 0), "informative"),
    ],
)
def test_impossible_settings_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
