"""What holds of every calibrator, whatever the logits."""

from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from dale.calibrate import (
    CALIBRATORS,
    Temperature,
    compose,
    em_shares,
    fit_temperature,
    given_shift,
)
from dale.metrics import accuracy, nll

# for laws that are tried on every row: the rows add up to hundreds of examples
EACH_ROW = settings(max_examples=12)
WIDE = st.sampled_from([-1e30, -700.0, -2.0, -1e-3, 0.0, 0.5, 3.0, 4.0, 900.0, 1e30])
PLAIN = st.floats(-8, 8, width=32)


@st.composite
def problems(draw, values=WIDE, binary=False):
    n, classes = draw(st.integers(1, 12)), 2 if binary else draw(st.integers(2, 4))
    rows = st.lists(values, min_size=n * classes, max_size=n * classes)
    logits = torch.tensor(draw(rows), dtype=torch.float32).reshape(n, classes)
    sums = logits.double().sum(dim=1)
    assume(bool((logits < 0).any()) or bool(((sums - 1).abs() > 1e-3).any()))
    labels = st.lists(st.integers(0, classes - 1), min_size=n, max_size=n)
    return logits, torch.tensor(draw(labels))


@pytest.mark.parametrize("name", CALIBRATORS)
@EACH_ROW
@given(data=st.data())
def test_nll_of_the_fitting_data_does_not_rise(name, data):
    problem = data.draw(problems(binary=CALIBRATORS[name].binary_only))
    fitted = CALIBRATORS[name].fit(*problem)
    after = nll(fitted.apply(problem[0]), problem[1])
    assert after <= nll(*problem)


@pytest.mark.parametrize("name", [n for n, r in CALIBRATORS.items() if r.keeps_argmax])
@given(problem=problems())
def test_predictions_stay(name, problem):
    logits, targets = problem
    applied = CALIBRATORS[name].fit(logits, targets).apply(logits)
    assert torch.equal(applied.argmax(dim=1), logits.argmax(dim=1))
    assert accuracy(applied, targets) == accuracy(logits, targets)


@given(problem=problems())
def test_temperature_is_positive_and_finite(problem):
    fitted = fit_temperature(*problem)
    assert 0 < fitted.value < float("inf")
    assert fitted.nll_after <= fitted.nll_before


@given(problem=problems(PLAIN), s=st.sampled_from([1e-20, 1e-6, 0.3, 50.0, 1e6, 1e20]))
def test_temperature_scales_with_the_logits(problem, s):
    logits, targets = problem[0].double(), problem[1]
    fitted = fit_temperature(logits, targets)
    assume(fitted.at_bound is None)
    gain = fitted.nll_before - fitted.nll_after
    assume(gain > 1e-9)  # T = 1 is also given where nothing can be gained
    scaled = fit_temperature(s * logits, targets)
    assert scaled.value == pytest.approx(s * fitted.value, rel=1e-5)


@given(problem=problems(PLAIN), t=st.floats(0.1, 10.0))
def test_no_other_temperature_has_a_lower_nll(problem, t):
    logits, targets = problem
    fitted = fit_temperature(logits, targets)
    assume(fitted.at_bound is None)  # else the optimum is beyond the range, and flagged
    other = nll(logits.double() / t, targets)
    assert fitted.nll_after <= other + 1e-12


@given(problem=problems(PLAIN), shift=st.sampled_from([-32.0, 4.0]))
def test_a_constant_added_to_the_logits_does_not_matter(problem, shift):
    logits, targets = problem[0].double(), problem[1]
    assume(bool((logits + shift < 0).any()) or shift > 0)
    fitted = fit_temperature(logits, targets)
    shifted = fit_temperature(logits + shift, targets)
    assert shifted.nll_after == pytest.approx(fitted.nll_after, rel=1e-9, abs=1e-12)


@given(
    problem=problems(st.sampled_from([-3.0, -1.0, 0.1, 0.7, 0.70000005, 2.0])),
    t=st.floats(1e-4, 1e4),
)
def test_auc_of_a_logit_stays_ties_included(problem, t):
    logits, targets = problem
    positive = targets == 0
    assume(bool(positive.any()) and not bool(positive.all()))
    applied = Temperature(t, 1.0, 1.0, None, 1).apply(logits)
    after = roc_auc_score(positive, applied[:, 0])
    assert after == roc_auc_score(positive, logits[:, 0])


@pytest.mark.parametrize("name", CALIBRATORS)
@EACH_ROW
@given(data=st.data())
def test_load_is_the_inverse_of_saving(name, data):
    problem = data.draw(problems(PLAIN, CALIBRATORS[name].binary_only))
    fitted = CALIBRATORS[name].fit(*problem)
    cls = CALIBRATORS[name].cls
    assert cls.load(fitted.tensors(), fitted.header()) == fitted


@pytest.mark.parametrize("name", CALIBRATORS)
@EACH_ROW
@given(data=st.data(), shift=st.sampled_from([-32.0, 4.0]))
def test_a_constant_added_to_an_example_changes_no_probability(name, data, shift):
    problem = data.draw(problems(PLAIN, CALIBRATORS[name].binary_only))
    logits, targets = problem[0].double(), problem[1]
    fitted = CALIBRATORS[name].fit(logits, targets)
    moved = logits + shift * torch.arange(len(logits))[:, None]
    before, after = (fitted.apply(z).softmax(dim=1) for z in (logits, moved))
    assert torch.allclose(before, after, atol=1e-6)


@given(problem=problems(PLAIN), weights=st.lists(st.integers(1, 9), min_size=4))
def test_the_likelihood_of_em_never_falls(problem, weights):
    logits = problem[0].double()
    found = em_shares(logits, weights[: logits.shape[1]], max_steps=200)
    trace = found.log_likelihood
    assert all(later >= earlier - 1e-13 for earlier, later in pairwise(trace))
    assert trace[0] == pytest.approx(0, abs=1e-13)
    assert float(found.target_C.sum()) == pytest.approx(1)
    assert bool((found.target_C >= 0).all())


@given(problem=problems(PLAIN), weights=st.lists(st.integers(1, 9), min_size=8))
def test_corrections_of_the_prior_follow_one_another(problem, weights):
    logits, c = problem[0].double(), problem[0].shape[1]
    first, second, third = weights[:c], weights[4 : 4 + c], weights[-c:]
    twice = compose(given_shift(first, second), given_shift(second, third))
    once = given_shift(first, third)
    assert torch.allclose(twice.apply(logits), once.apply(logits), atol=1e-10)
