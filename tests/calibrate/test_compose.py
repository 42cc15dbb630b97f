import json

import pytest
import torch

from cases.metrics import sampled
from dale.calibrate import (
    CALIBRATORS,
    ScoreParts,
    compose,
    cross_fitted_score,
    fit_in_turn,
    fit_isotonic,
    fit_temperature,
    given_shift,
    load_calibrator,
    score_parts,
)
from dale.errors import InputError
from dale.metrics import brier, nll

PROBLEM = sampled(300, 3, 0, temperature=2.0)
DATA = PROBLEM.logits_NC, PROBLEM.targets_N
SHIFT = given_shift([0.3, 0.3, 0.4], [0.6, 0.3, 0.1])


def test_applies_from_the_first_to_the_last():
    warm, bias = fit_temperature(*DATA), CALIBRATORS["bcts"].fit(*DATA)
    both = compose(warm, bias, SHIFT)
    expected = SHIFT.apply(bias.apply(warm.apply(DATA[0])))
    assert torch.equal(both.apply(DATA[0]), expected)
    assert "temperature" in both.describe()
    assert ", then prior shift" in both.describe()


def test_nothing_composed_changes_nothing():
    assert torch.equal(compose().apply(DATA[0]), DATA[0].double())
    assert compose().describe() == "nothing"


def test_saved_and_loaded_is_equal_nested_too():
    inner = compose(fit_temperature(*DATA), fit_isotonic(*DATA))
    outer = compose(inner, SHIFT)
    header = json.loads(json.dumps(outer.header()))
    loaded = load_calibrator(outer.tensors(), header)
    assert loaded == outer
    assert torch.equal(loaded.apply(DATA[0]), outer.apply(DATA[0]))


def test_each_is_fitted_to_what_the_ones_before_give():
    fitted = fit_in_turn(*DATA, [fit_temperature, fit_isotonic])
    warm = fit_temperature(*DATA)
    assert fitted.parts == (warm, fit_isotonic(warm.apply(DATA[0]), DATA[1]))
    assert nll(fitted.apply(DATA[0]), DATA[1]) <= nll(warm.apply(DATA[0]), DATA[1])


def test_what_does_not_fit_is_not_loaded():
    both = compose(fit_temperature(*DATA), SHIFT)
    with pytest.raises(InputError, match="expected 'composed' with its number"):
        type(both).load({}, {"calibrator": "composed"})
    stray = {**both.tensors(), "2.bias": torch.zeros(3)}
    with pytest.raises(InputError, match=r"unexpected tensors \['2.bias'\]"):
        load_calibrator(stray, both.header())
    with pytest.raises(InputError, match="got probabilities"):
        fit_in_turn(DATA[0].softmax(1), DATA[1], [fit_temperature])


@pytest.mark.parametrize("metric", [nll, brier])
def test_score_parts_are_cross_fitted_and_sum_to_the_score(metric):
    parts = score_parts(*DATA, metric)
    assert parts.score == metric(*DATA)
    assert parts.calibration + parts.refinement == pytest.approx(parts.score)
    honest = cross_fitted_score(metric, *DATA, fit_temperature, 5, 1)
    assert parts.refinement == honest
    assert parts.calibration > 0


def test_there_is_nothing_to_win_from_calibrated_logits():
    problem = sampled(3000, 3, 5)
    parts = score_parts(problem.logits_NC, problem.targets_N)
    assert abs(parts.calibration) < 2e-3
    assert ScoreParts(0.5, 0.75).calibration == -0.25
