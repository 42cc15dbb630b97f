import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dale.diagnose import regime
from dale.errors import InputError

SHARE = st.floats(0, 1)
NLL = st.floats(0, 20)
SCORES = st.fixed_dictionaries({"error": SHARE, "nll": NLL})
ORDER = ["overfits", "balanced", "underfits"]


@given(train=SCORES, val=SCORES, examples=st.integers(1, 10**6))
def test_every_pair_of_scores_has_a_verdict(train, val, examples):
    found = regime(train, val, examples)
    assert found.regime in ORDER
    assert found.headline
    assert found.advice
    assert len(found.reasons) == 3
    assert json.loads(json.dumps(found.to_dict()))["regime"] == found.regime


@given(val=SCORES, examples=st.integers(1, 10**5), errors=st.lists(SHARE, min_size=2))
def test_more_training_error_never_looks_more_over_fitted(val, examples, errors):
    assume(val["error"] * examples >= 10)
    places = [
        ORDER.index(regime({"error": e, "nll": 1.0}, val, examples).regime)
        for e in sorted(errors)
    ]
    assert places == sorted(places)


@given(train=SCORES, val=SCORES, examples=st.integers(100, 1000), k=st.integers(2, 9))
def test_only_the_ratio_of_the_errors_matters(train, val, examples, k):
    assume(val["error"] * examples >= 10 * k)
    ratio = train["error"] / val["error"]
    assume(min(abs(ratio - 0.5), abs(ratio - 0.75)) > 1e-9)
    smaller = [{**s, "error": s["error"] / k} for s in (train, val)]
    assert regime(*smaller, examples).regime == regime(train, val, examples).regime


@given(score=SCORES, examples=st.integers(1, 10**5))
def test_no_gap_is_no_over_fitting(score, examples):
    assert regime(score, score, examples).regime == "underfits"


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [(0.0, 0), (0.49, 0), (0.5, 1), (0.6, 1), (0.75, 1), (0.76, 2), (1.3, 2)],
)
@pytest.mark.parametrize("measure", ["error", "nll"])
def test_where_the_regimes_begin(ratio, expected, measure):
    val = {"error": 0.25 if measure == "error" else 0.001, "nll": 0.5}
    train = {"error": 0.0, "nll": 0.0} | {measure: ratio * val[measure]}
    found = regime(train, val, 1000)
    assert found.regime == ORDER[expected]
    assert found.figures["ratio"] == pytest.approx(ratio)
    name = {"error": "training error is", "nll": "training negative log-likeli"}
    assert found.reasons[-1].startswith(name[measure])


def test_few_mistakes_are_judged_by_likelihood():
    train, val = {"error": 0.0, "nll": 0.1}, {"error": 0.01, "nll": 0.11}
    assert regime(train, val, examples=999).regime == "underfits"
    assert regime(train, val, examples=1000).regime == "overfits"


def test_a_likelihood_of_exactly_zero():
    perfect = {"error": 0.0, "nll": 0.0}
    assert regime(perfect, perfect, 100).figures["ratio"] == 1.0


@pytest.mark.parametrize("wrong", [{"error": 0.1}, {"error": 0.1, "nll": float("nan")}])
@pytest.mark.parametrize("place", ["train", "val"])
def test_scores_that_are_no_numbers(wrong, place):
    right = {"error": 0.1, "nll": 0.3}
    pair = {"train": right, "val": right, place: wrong}
    with pytest.raises(InputError, match=f"{place} scores lack a finite nll"):
        regime(pair["train"], pair["val"], 100)
