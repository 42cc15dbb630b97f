"""What an ensemble is worth in independent networks."""

from itertools import combinations
from math import comb, inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dale.diagnose import deep_ensemble_equivalent, scores_by_size
from dale.errors import InputError

CURVES = st.lists(st.floats(0.01, 1), min_size=1, max_size=8).map(
    lambda rises: np.cumsum(rises).tolist()
)


@given(CURVES, st.data())
def test_on_a_rising_curve_it_is_the_inverse_of_interpolation(curve, data):
    size = data.draw(st.floats(1, len(curve)))
    score = float(np.interp(size, range(1, len(curve) + 1), curve))
    assert deep_ensemble_equivalent(score, curve) == pytest.approx(size, abs=1e-9)


@given(CURVES)
def test_below_the_curve_it_is_one_and_above_it_infinite(curve):
    assert deep_ensemble_equivalent(curve[0] - 1, curve) == 1
    assert deep_ensemble_equivalent(curve[-1] + 1, curve) == inf


def test_where_the_curve_falls_the_smallest_number_counts():
    assert deep_ensemble_equivalent(2.5, [1.0, 3.0, 2.0, 4.0]) == 1.75


@pytest.mark.parametrize(("score", "curve"), [(nan, [1.0]), (1.0, [nan]), (1.0, [])])
def test_nothing_to_compare_is_refused(score, curve):
    with pytest.raises(InputError, match="expected"):
        deep_ensemble_equivalent(score, curve)


def test_every_ensemble_is_scored_once():
    seen = []
    scores_by_size(4, lambda places: float(seen.append(places) or 0))
    expected = [c for size in range(1, 5) for c in combinations(range(4), size)]
    assert seen == expected


def test_of_many_ensembles_some_are_drawn_without_repetition():
    seen = []
    found = scores_by_size(12, lambda p: float(seen.append(p) or len(p)), most=20)
    assert [len(scores) for scores in found] == [
        min(20, comb(12, k)) for k in range(1, 13)
    ]
    assert len(set(seen)) == len(seen)
    assert all(p == tuple(sorted(set(p))) and p[-1] < 12 for p in seen)
    again = []
    scores_by_size(12, lambda p: float(again.append(p) or len(p)), most=20)
    assert again == seen


@pytest.mark.parametrize("sizes", [(0, 3), (3, 0)])
def test_impossible_numbers_are_refused(sizes):
    with pytest.raises(InputError, match="numbers >= 1"):
        scores_by_size(sizes[0], lambda places: 0.0, most=sizes[1])
