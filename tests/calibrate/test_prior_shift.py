"""Label shift: made data with known shares, and every way to find them."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from cases.metrics import BAD_INPUTS
from dale.calibrate import (
    SHIFT_ESTIMATES,
    em_shares,
    fit_bbse,
    fit_em,
    given_shift,
    load_calibrator,
    mean_posterior_C,
    no_shift_test,
    prior_log_odds,
)
from dale.errors import InputError
from dale.metrics import nll

SOURCE = torch.tensor([0.5, 0.3, 0.2]).double()
TARGET = torch.tensor([0.2, 0.2, 0.6]).double()
CENTRES = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]]).double()


def drawn(count, shares, generator, prior=SOURCE):
    """Points around three centres, and their exact log-posteriors at the prior."""
    targets = torch.multinomial(shares, count, replacement=True, generator=generator)
    noise = torch.randn(count, 2, generator=generator, dtype=torch.float64)
    points = CENTRES[targets] + noise
    distances = (points[:, None] - CENTRES).square().sum(dim=2)
    return prior.log() - distances / 2, targets


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_bias_of_a_binary_head_gives_back_the_share():
    for share in (1e-6, 0.01, 0.5, 0.9):
        bias = torch.tensor(prior_log_odds(share), dtype=torch.float64)
        assert float(bias.sigmoid()) == pytest.approx(share, rel=1e-12)
    assert prior_log_odds(0.5) == 0.0
    with pytest.raises(
        InputError, match=r"share: expected a number in \(0, 1\), got 1"
    ):
        prior_log_odds(1)


def test_a_difference_of_biases_is_the_correction_of_two_classes():
    shift = given_shift([0.8, 0.2], [0.4, 0.6])
    logits = torch.tensor([[0.0, 1.3]], dtype=torch.float64)
    moved = shift.apply(logits)[0]
    expected = 1.3 + prior_log_odds(0.6) - prior_log_odds(0.2)
    assert float(moved[1] - moved[0]) == pytest.approx(expected, rel=1e-12)


def test_the_correction_is_bayes_rule():
    logits, _ = drawn(50, TARGET, seeded())
    corrected = given_shift(SOURCE, TARGET).apply(logits)
    direct, _ = drawn(50, TARGET, seeded(), prior=TARGET)
    assert torch.allclose(corrected, direct.log_softmax(dim=1), atol=1e-12)


def test_correcting_there_and_back_changes_nothing():
    logits, _ = drawn(20, SOURCE, seeded())
    there = given_shift(SOURCE, TARGET).apply(logits)
    back = given_shift(TARGET, SOURCE).apply(there)
    assert torch.allclose(back, logits.log_softmax(dim=1), atol=1e-12)


@pytest.mark.parametrize("name", SHIFT_ESTIMATES)
def test_recovers_a_planted_shift_and_lowers_the_loss(name):
    row, generator = SHIFT_ESTIMATES[name], seeded(1)
    source, targets = drawn(6000, SOURCE, generator)
    shifted, truth = drawn(6000, TARGET, generator)
    shift = row.fit(source, targets, shifted, **row.settings)
    assert torch.allclose(shift.target, TARGET, atol=0.03)
    assert torch.allclose(shift.source, SOURCE, atol=0.03)
    assert float(shift.target.sum()) == pytest.approx(1)
    assert nll(shift.apply(shifted), truth) < nll(shifted, truth) - 0.1
    assert shift.method == name
    assert name in shift.describe()


@pytest.mark.parametrize("name", SHIFT_ESTIMATES)
def test_finds_no_shift_on_the_source_itself(name):
    row = SHIFT_ESTIMATES[name]
    source, targets = drawn(500, SOURCE, seeded(2))
    shift = row.fit(source, targets, source, **row.settings)
    assert torch.allclose(shift.weights_C, torch.ones(3).double(), atol=1e-3)


@pytest.mark.parametrize("name", SHIFT_ESTIMATES)
def test_rows_say_what_they_are(name):
    row = SHIFT_ESTIMATES[name]
    assert row.reference
    # two clusters that contradict the confusion matrix
    source = torch.tensor([[3.0, 0.0]] * 8 + [[0.0, 3.0]] * 2 + [[0.0, 3.0]] * 10)
    targets = torch.tensor([0] * 10 + [1] * 10)
    shifted = torch.tensor([[3.0, 0.0]] * 10)
    shift = row.fit(source, targets, shifted, **row.settings)
    assert (shift.clipped == 0.0) is row.never_negative
    assert bool((shift.target >= 0).all())
    if shift.clipped:
        assert "were set to 0" in shift.describe()
    logits, _ = drawn(4000, SOURCE, seeded(3))
    other, labels = drawn(4000, TARGET, seeded(4))
    source, targets = drawn(4000, SOURCE, seeded(5))
    del logits, labels
    wrong = row.fit(3 * source, targets, 3 * other, **row.settings).target
    assert bool(((wrong - TARGET).abs().max() > 0.05) == row.needs_calibrated)


def test_em_is_the_maximum_that_scipy_finds():
    logits, _ = drawn(300, TARGET, seeded(6))
    found = em_shares(logits, SOURCE, tolerance=1e-12)
    ratios = logits.softmax(dim=1).numpy() / SOURCE.numpy()

    def loss(x):
        shares = np.exp(x) / np.exp(x).sum()
        return -np.mean(np.log(ratios @ shares))

    best = minimize(loss, np.zeros(3), options={"gtol": 1e-10}).fun
    assert found.log_likelihood[-1] == pytest.approx(-best, abs=1e-6)
    assert found.log_likelihood[-1] >= -best - 1e-12
    assert found.gap <= 1e-12


def test_em_starts_at_the_source_and_never_falls():
    logits, _ = drawn(200, TARGET, seeded(7))
    trace = em_shares(logits, SOURCE, tolerance=1e-10).log_likelihood
    assert trace[0] == pytest.approx(0, abs=1e-14)
    assert all(b >= a - 1e-14 for a, b in pairwise(trace))


def test_the_certificate_bounds_what_is_missing():
    logits, _ = drawn(200, TARGET, seeded(8))
    best = em_shares(logits, SOURCE, tolerance=1e-12).log_likelihood[-1]
    for steps in (1, 3, 10):
        early = em_shares(logits, SOURCE, max_steps=steps)
        assert len(early.log_likelihood) == steps + 1
        assert 0 < best - early.log_likelihood[-1] <= early.gap


def test_em_can_find_that_a_class_is_gone():
    logits, _ = drawn(2000, torch.tensor([0.5, 0.5, 0.0]).double(), seeded(9))
    found = em_shares(logits, SOURCE)
    assert float(found.target_C[2]) < 0.02


def test_logits_that_tell_nothing_leave_the_shares():
    found = em_shares(SOURCE.log().expand(40, 3), SOURCE)
    assert torch.allclose(found.target_C, SOURCE)
    assert len(found.log_likelihood) == 1
    assert no_shift_test(SOURCE.log().expand(40, 3), SOURCE).p_value == 1.0


@pytest.mark.parametrize("level", [0.05, 0.2])
def test_the_test_for_no_shift_has_its_nominal_level(level):
    generator, rejected, runs = seeded(10), 0, 300
    for _ in range(runs):
        logits, _ = drawn(300, SOURCE, generator)
        rejected += no_shift_test(logits, SOURCE).p_value < level
    spread = math.sqrt(level * (1 - level) / runs)
    assert abs(rejected / runs - level) < 3 * spread


def test_the_test_for_no_shift_sees_a_shift():
    logits, _ = drawn(300, TARGET, seeded(11))
    test = no_shift_test(logits, SOURCE)
    assert test.p_value < 1e-6
    assert test.degrees == 2
    assert test.statistic > 30


def test_soft_and_hard_confusions_are_as_in_a_loop():
    source, targets = drawn(60, SOURCE, seeded(12))
    shifted, _ = drawn(50, TARGET, seeded(13))
    for soft in (False, True):
        joint, mu = np.zeros((3, 3)), np.zeros(3)
        for row, label in zip(source, targets.tolist(), strict=True):
            vote = np.eye(3)[int(row.argmax())] if not soft else row.softmax(0).numpy()
            joint[:, label] += vote / 60
        for row in shifted:
            vote = np.eye(3)[int(row.argmax())] if not soft else row.softmax(0).numpy()
            mu += vote / 50
        shares = np.bincount(targets.numpy()) / 60
        raw = np.linalg.solve(joint, mu) * shares
        expected = np.maximum(raw, 0) / np.maximum(raw, 0).sum()
        shift = fit_bbse(source, targets, shifted, soft=soft)
        assert np.allclose(shift.target.numpy(), expected, atol=1e-12)
        assert shift.clipped == pytest.approx(-np.minimum(raw, 0).sum())
        assert shift.condition == pytest.approx(np.linalg.cond(joint))


def test_classes_that_cannot_be_told_apart_are_refused():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 2.0]])
    targets = torch.tensor([0, 1, 2])
    with pytest.raises(InputError, match=r"at most 10000, got .* cannot be told apart"):
        fit_bbse(logits, targets, logits)
    with pytest.raises(InputError, match=r"every class, got none of \[1\]"):
        fit_bbse(logits, torch.tensor([0, 2, 2]), logits)


def test_saved_and_loaded_is_equal():
    source, targets = drawn(60, SOURCE, seeded(14))
    shift = fit_em(source, targets, drawn(50, TARGET, seeded(15))[0])
    header = json.loads(json.dumps(shift.header()))
    assert load_calibrator(shift.tensors(), header) == shift
    assert hash(load_calibrator(shift.tensors(), header)) == hash(shift)
    assert shift != given_shift(SOURCE, TARGET)


def test_a_class_of_share_0_is_ruled_out():
    shift = given_shift([0.5, 0.5], [1.0, 0.0])
    applied = shift.apply(torch.tensor([[0.0, 5.0]]))
    assert applied.tolist() == [[0.0, -math.inf]]
    with pytest.raises(
        InputError, match="example 0: expected a class that is possible"
    ):
        shift.apply(torch.tensor([[-math.inf, 0.0]]))


def test_mean_posteriors_are_shares():
    logits, _ = drawn(40_000, SOURCE, seeded(16))
    assert torch.allclose(mean_posterior_C(logits), SOURCE, atol=0.01)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ([0.5, 0.0], [1, 1], r"each more than 0, got \[0.5, 0.0\]"),
        ([1, 1], [-1, 2], r"each 0 or more, got \[-1.0, 2.0\]"),
        ([1, 1], [0, 0], r"each 0 or more, got \[0.0, 0.0\]"),
        ([1], [1], "at least 2 finite numbers"),
        ([1, math.inf], [1, 1], "finite numbers"),
        ([1, 1], [1, 1, 1], r"expected 2 shares, .* got 3"),
    ],
)
def test_impossible_shares_are_refused(source, target, message):
    with pytest.raises(InputError, match=message):
        given_shift(source, target)


def test_other_numbers_of_classes_are_refused():
    with pytest.raises(InputError, match="logits of 3 classes, one per share, got 4"):
        em_shares(torch.zeros(2, 4), SOURCE)
    with pytest.raises(InputError, match="logits of 3 classes, one per share, got 2"):
        given_shift(SOURCE, TARGET).apply(torch.zeros(2, 2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"tolerance": 0.0}, "tolerance: .* > 0"), ({"max_steps": 0}, "max_steps: .* 0")],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        em_shares(torch.zeros(2, 3), SOURCE, **settings)


@pytest.mark.parametrize("name", SHIFT_ESTIMATES)
@pytest.mark.parametrize("case", BAD_INPUTS, ids=[case[0] for case in BAD_INPUTS])
def test_bad_source_data_are_refused(name, case):
    row = SHIFT_ESTIMATES[name]
    with pytest.raises(InputError, match=case[3]):
        row.fit(case[1], case[2], torch.zeros(3, 2), **row.settings)


@pytest.mark.parametrize("which", ["source", "target"])
@pytest.mark.parametrize("name", SHIFT_ESTIMATES)
def test_probabilities_are_refused(name, which):
    source, targets = drawn(300, SOURCE, seeded())
    logits, _ = drawn(300, SOURCE, seeded(1))
    given = {"source": source, "target": logits}
    given[which] = given[which].softmax(dim=1)
    with pytest.raises(InputError, match="expected logits, got probabilities"):
        SHIFT_ESTIMATES[name].fit(given["source"], targets, given["target"])
    with pytest.raises(InputError, match="expected logits, got probabilities"):
        no_shift_test(logits.softmax(dim=1), SOURCE)


@pytest.mark.parametrize("name", SHIFT_ESTIMATES)
def test_a_class_without_source_examples_is_refused(name):
    source, targets = drawn(1000, SOURCE, seeded())
    logits, _ = drawn(300, SOURCE, seeded(1))
    last = len(SOURCE) - 1
    kept = targets != last
    with pytest.raises(InputError, match=rf"class {last}|none of \[{last}\]"):
        SHIFT_ESTIMATES[name].fit(source[kept], targets[kept], logits)
