"""Every row of CALIBRATORS, through the table."""

import json
from dataclasses import FrozenInstanceError, fields, is_dataclass

import pytest
import torch

from cases.metrics import BAD_INPUTS, PROBLEMS, sampled
from dale.calibrate import (
    CALIBRATORS,
    Fitted,
    check_logits,
    fit_temperature,
    load_calibrator,
)
from dale.errors import InputError
from dale.metrics import nll

FIVE = sampled(200, 5, 0, temperature=2.0)
TWO = sampled(200, 2, 0, temperature=2.0)
ROWS = [
    (name, problem)
    for name, row in CALIBRATORS.items()
    for problem in PROBLEMS
    if problem.logits_NC.shape[1] == 2 or not row.binary_only
]


def _problem(name):
    return TWO if CALIBRATORS[name].binary_only else FIVE


def _fitted(name):
    problem = _problem(name)
    return CALIBRATORS[name].fit(problem.logits_NC, problem.targets_N)


@pytest.mark.parametrize("name", CALIBRATORS)
def test_fits_its_class_frozen(name):
    fitted = _fitted(name)
    assert type(fitted) is CALIBRATORS[name].cls
    assert is_dataclass(fitted)
    for field in fields(fitted):
        with pytest.raises(FrozenInstanceError):
            setattr(fitted, field.name, 0)


@pytest.mark.parametrize("name", CALIBRATORS)
def test_saved_and_loaded_is_equal(name):
    fitted = _fitted(name)
    header = json.loads(json.dumps(fitted.header()))
    assert header["calibrator"] == name
    assert load_calibrator(fitted.tensors(), header) == fitted
    assert CALIBRATORS[name].cls.load(fitted.tensors(), header) == fitted


@pytest.mark.parametrize("name", CALIBRATORS)
def test_counts_its_parameters(name):
    held = sum(tensor.numel() for tensor in _fitted(name).tensors().values())
    classes, count = _problem(name).logits_NC.shape[1], CALIBRATORS[name].parameters
    if count is None:
        half = CALIBRATORS[name].fit(FIVE.logits_NC[::4], FIVE.targets_N[::4])
        assert sum(tensor.numel() for tensor in half.tensors().values()) < held
    else:
        assert count(classes) == held


@pytest.mark.parametrize(("name", "problem"), ROWS, ids=str)
def test_nll_of_the_fitting_data_does_not_rise(name, problem):
    data = problem.logits_NC, problem.targets_N
    fitted = CALIBRATORS[name].fit(*data)
    applied = fitted.apply(problem.logits_NC)
    assert applied.dtype == torch.float64
    assert applied.shape == problem.logits_NC.shape
    assert nll(applied, problem.targets_N) <= nll(*data)
    if isinstance(fitted, Fitted):
        after = nll(applied, problem.targets_N)
        assert fitted.facts.nll_before == pytest.approx(nll(*data), rel=1e-12)
        assert fitted.facts.nll_after == pytest.approx(after, rel=1e-9, abs=1e-12)
        assert fitted.facts.n == len(problem.targets_N)


@pytest.mark.parametrize("name", [n for n, r in CALIBRATORS.items() if r.keeps_argmax])
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_the_argmax_stays_where_the_table_says_so(name, problem):
    logits = problem.logits_NC
    applied = CALIBRATORS[name].fit(logits, problem.targets_N).apply(logits)
    assert torch.equal(applied.argmax(dim=1), logits.argmax(dim=1))


@pytest.mark.parametrize("name", CALIBRATORS)
def test_fitting_and_applying_leave_the_inputs_alone(name):
    problem = _problem(name)
    logits, targets = problem.logits_NC.clone(), problem.targets_N.clone()
    CALIBRATORS[name].fit(logits, targets).apply(logits)
    assert torch.equal(logits, problem.logits_NC)
    assert torch.equal(targets, problem.targets_N)


@pytest.mark.parametrize("name", CALIBRATORS)
@pytest.mark.parametrize("case", BAD_INPUTS, ids=[case[0] for case in BAD_INPUTS])
def test_bad_input_is_refused(name, case):
    with pytest.raises(InputError, match=case[3]):
        CALIBRATORS[name].fit(case[1], case[2])


@pytest.mark.parametrize("name", CALIBRATORS)
def test_probabilities_are_refused(name):
    probs, targets = _problem(name).logits_NC.softmax(dim=1), _problem(name).targets_N
    message = r"expected logits, got probabilities \(all 200 rows .*pass logits or log-"
    with pytest.raises(InputError, match=message):
        CALIBRATORS[name].fit(probs, targets)
    assert CALIBRATORS[name].fit(probs.log(), targets)


@pytest.mark.parametrize("name", [n for n in CALIBRATORS if n != "none"])
def test_a_target_of_probability_zero_is_refused(name):
    logits = torch.tensor([[0.0, 1.0], [0.0, -torch.inf]])
    with pytest.raises(InputError, match=r"example 1: .* its target 1, got -inf"):
        CALIBRATORS[name].fit(logits, torch.tensor([0, 1]))


@pytest.mark.parametrize("name", CALIBRATORS)
def test_shapes_are_checked_when_applied(name):
    with pytest.raises(InputError, match=r"2 axes \(N, C\), got shape \(3,\)"):
        _fitted(name).apply(torch.zeros(3))


@pytest.mark.parametrize("name", CALIBRATORS)
def test_equal_fits_are_equal_and_others_are_not(name):
    fitted, again = _fitted(name), _fitted(name)
    assert fitted == again
    assert hash(fitted) == hash(again)
    assert fitted != "something else"
    if name != "none":
        problem = _problem(name)
        other = CALIBRATORS[name].fit(problem.logits_NC[1:], problem.targets_N[1:])
        assert fitted != other


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_probabilities_of_any_width_are_recognised(dtype):
    probs = torch.tensor([[0.25, 0.75], [0.5, 0.5], [0.0, 1.0]], dtype=dtype)
    with pytest.raises(InputError, match="got probabilities"):
        check_logits(probs)


def test_one_row_that_is_no_distribution_makes_them_logits():
    probs = torch.tensor([[0.2, 0.8], [0.5, 0.5]])
    for other in ([0.5, 0.52], [1.5, -0.5], [2.0, 0.0]):
        check_logits(torch.cat([probs, torch.tensor([other])]))
        check_logits(torch.cat([torch.tensor([other]), probs]))
    check_logits(probs * 1.011)
    with pytest.raises(InputError, match="all 2 rows"):
        check_logits(probs * 1.009)


@pytest.mark.parametrize(
    "narrow",
    [
        lambda probs: probs.half(),
        lambda probs: probs.bfloat16(),
        lambda probs: (1000 * probs).round() / 1000,
    ],
    ids=["float16", "bfloat16", "three digits"],
)
def test_rounded_probabilities_are_refused(narrow):
    generator = torch.Generator().manual_seed(0)
    probs = (3 * torch.randn(500, 10, generator=generator)).softmax(dim=1)
    with pytest.raises(InputError, match="got probabilities"):
        check_logits(narrow(probs))


@pytest.mark.parametrize("name", CALIBRATORS)
def test_rows_say_where_they_come_from(name):
    assert CALIBRATORS[name].reference
    assert _fitted(name).describe()


def test_an_unknown_kind_is_named_with_the_nearest():
    with pytest.raises(InputError, match=r"'temperatur'; did you mean 'temperature'\?"):
        load_calibrator({}, {"calibrator": "temperatur"})


def test_what_does_not_fit_is_not_loaded():
    fitted = fit_temperature(FIVE.logits_NC, FIVE.targets_N)
    cls, tensors, header = type(fitted), fitted.tensors(), fitted.header()
    with pytest.raises(InputError, match="expected 'temperature', got 'none'"):
        cls.load(tensors, {"calibrator": "none"})
    with pytest.raises(InputError, match=r"tensors \['temperature'\], got \[\]"):
        cls.load({}, header)
    del header["n"]
    with pytest.raises(InputError, match="header lacks n"):
        cls.load(tensors, header)
    with pytest.raises(InputError, match=r"tensors \[\], got \['temperature'\]"):
        CALIBRATORS["none"].cls.load(tensors, {"calibrator": "none"})
