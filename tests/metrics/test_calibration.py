import json
import math
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

import reference.metrics as slow
from cases.metrics import PROBLEMS, sampled
from dale.errors import InputError
from dale.metrics import (
    Reliability,
    adaptive_ece,
    check,
    classwise_ece,
    confidence_N,
    debiased_rms_ce,
    diagram,
    ece,
    mce,
    ranked,
    reliability,
    rms_ce,
    top_label_ece,
)

NATURAL = [sampled(200, 5, 0), sampled(300, 10, 2, temperature=3.0)]
NETCAL = Path(__file__).parents[1] / "golden" / "metrics" / "netcal.json"
GRID = [(bins, spacing) for bins in (1, 2, 7, 15) for spacing in ("width", "mass")]


def two_class(*confidences: float) -> torch.Tensor:
    """Logits whose class 0 has exactly these odds, in float64."""
    p = torch.tensor(confidences, dtype=torch.float64)
    return torch.stack([p, 1 - p], dim=1).log()


@pytest.mark.parametrize(("bins", "spacing"), GRID)
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_equal_the_slow_twin(problem, bins, spacing):
    data = problem.logits_NC, problem.targets_N, bins, spacing
    assert ece(*data) == pytest.approx(slow.ece(*data), abs=1e-12)
    assert mce(*data) == pytest.approx(slow.mce(*data), abs=1e-12)
    counts = tuple(len(right) for _, right in slow.binned(*data))
    assert reliability(*data).counts == counts


@pytest.mark.parametrize("bins", [5, 10, 15])
@pytest.mark.parametrize("problem", NATURAL, ids=str)
def test_agree_with_torchmetrics_where_no_confidence_is_an_edge(problem, bins):
    logits, targets = problem.logits_NC.double(), problem.targets_N
    for ours, norm in ((ece, "l1"), (mce, "max")):
        theirs = multiclass_calibration_error(
            logits.softmax(dim=1), targets, logits.shape[1], bins, norm
        )
        assert ours(logits, targets, bins) == pytest.approx(float(theirs), abs=1e-6)


def test_confidence_of_exactly_one_is_in_the_last_bin():
    logits = torch.tensor([[1000.0, 0.0], [2.5, 0.0]])  # confidences 1.0 and 0.924
    targets = torch.tensor([1, 0])
    diagram = reliability(logits, targets, bins=10)
    assert diagram.counts == (0,) * 9 + (2,)
    expected = abs(0.5 - (1.0 + 1 / (1 + 0.0820849986)) / 2)
    assert diagram.ece == pytest.approx(expected)
    theirs = multiclass_calibration_error(logits.softmax(dim=1), targets, 2, 10)
    assert float(theirs) != pytest.approx(expected, abs=0.01)  # a bin of its own


def test_an_edge_belongs_to_the_bin_below():
    # four classes of probability 1/4 and two of 1/2 lie on edges of 4 bins
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1e9, -1e9]])
    diagram = reliability(logits, torch.tensor([0, 0]), bins=4)
    assert diagram.counts == (1, 1, 0, 0)
    assert diagram.confidence == (0.25, 0.5, None, None)
    assert diagram.accuracy == (1.0, 1.0, None, None)
    assert diagram.gaps == (0.75, 0.5, None, None)


@pytest.mark.parametrize("spacing", ["width", "mass"])
def test_the_last_bit_of_a_softmax_decides_nothing(spacing):
    # the three confidences are equal on paper and not in float64
    logits = torch.tensor([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 9.0]])
    assert len(set(confidence_N(logits).tolist())) > 1
    diagram = reliability(logits, torch.tensor([0, 1, 2]), 3, spacing)
    assert max(diagram.counts) == 3
    fifteen = torch.zeros(1, 15)
    assert reliability(fifteen, torch.tensor([0]), 15, spacing).counts[0] == 1


@pytest.mark.parametrize("bins", [1, 2, 3, 15, 40])
def test_confidence_one_is_never_outside_whatever_the_bins(bins):
    diagram = reliability(torch.tensor([[99.0, 0.0]]), torch.tensor([0]), bins)
    assert diagram.counts == (0,) * (bins - 1) + (1,)
    assert len(diagram.edges) == bins + 1
    assert diagram.edges[0] == 0.0
    assert diagram.edges[-1] == 1.0


def test_bins_of_equal_mass_hold_equally_many():
    logits = two_class(*(0.51 + 0.04 * i for i in range(12)))
    diagram = reliability(logits, torch.zeros(12).long(), 5, "mass")
    assert sum(diagram.counts) == 12
    assert set(diagram.counts) == {2, 3}


def test_ties_share_the_lower_bin_of_equal_mass():
    logits = two_class(0.6, 0.7, 0.7, 0.7, 0.7, 0.9)
    diagram = reliability(logits, torch.zeros(6).long(), 3, "mass")
    assert diagram.counts == (5, 0, 1)
    assert diagram.edges[1] == diagram.edges[2] == pytest.approx(0.7)
    assert diagram.accuracy == (1.0, None, 1.0)


def test_more_bins_of_equal_mass_than_examples():
    diagram = reliability(two_class(0.6, 0.8), torch.tensor([0, 1]), 5, "mass")
    assert sum(diagram.counts) == 2
    assert max(diagram.counts) == 1
    assert diagram.ece == pytest.approx((0.4 + 0.8) / 2)


def test_known_value():
    logits = two_class(0.55, 0.58, 0.95, 0.97)
    targets = torch.tensor([0, 1, 0, 0])
    diagram = reliability(logits, targets, bins=10)
    assert diagram.counts == (0, 0, 0, 0, 0, 2, 0, 0, 0, 2)
    assert diagram.ece == pytest.approx(0.5 * abs(0.5 - 0.565) + 0.5 * abs(1 - 0.96))
    assert diagram.mce == pytest.approx(0.065)
    assert ece(logits, targets, 10) == diagram.ece
    assert mce(logits, targets, 10) == diagram.mce


def test_the_diagram_is_frozen_and_ready_for_json():
    diagram = reliability(torch.zeros(2, 2), torch.tensor([0, 1]), bins=2)
    read = json.loads(json.dumps(diagram.to_dict()))
    assert (
        Reliability(read["spacing"], *(tuple(read[k]) for k in list(read)[1:]))
        == diagram
    )
    with pytest.raises(FrozenInstanceError):
        diagram.counts = ()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_confidence_is_float64_whatever_the_logits(dtype):
    logits = sampled(50, 6, 1).logits_NC.to(dtype)
    confidences = confidence_N(logits)
    assert confidences.dtype == torch.float64
    assert torch.equal(confidences, logits.double().softmax(dim=1).amax(dim=1))


@pytest.mark.parametrize("bins", [0, -1, 2.0, True])
def test_impossible_bins_are_refused(bins):
    with pytest.raises(InputError, match=rf"bins: expected .* >= 1, got {bins}"):
        ece(torch.zeros(2, 2), torch.tensor([0, 1]), bins)


def test_an_unknown_spacing_is_refused():
    with pytest.raises(InputError, match="'width' or 'mass', got 'equal'"):
        mce(torch.zeros(2, 2), torch.tensor([0, 1]), spacing="equal")


@pytest.mark.parametrize("row", json.loads(NETCAL.read_text("utf-8")), ids=str)
def test_agree_with_netcal_where_conventions_coincide(row):
    problem = sampled(
        row["n"], row["classes"], row["seed"], temperature=row["temperature"]
    )
    data = problem.logits_NC, problem.targets_N, row["bins"]
    for metric in (ece, mce, adaptive_ece):
        if metric.__name__ in row:
            expected = row[metric.__name__]
            assert metric(*data) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("problem", NATURAL, ids=str)
def test_rms_agrees_with_torchmetrics(problem):
    logits, targets = problem.logits_NC.double(), problem.targets_N
    theirs = multiclass_calibration_error(
        logits.softmax(dim=1), targets, logits.shape[1], 10, "l2"
    )
    assert rms_ce(logits, targets, 10, "width") == pytest.approx(
        float(theirs), abs=1e-6
    )


@pytest.mark.parametrize(("bins", "spacing"), GRID)
@pytest.mark.parametrize("problem", PROBLEMS[:3], ids=str)
def test_the_other_norms_equal_the_slow_twin(problem, bins, spacing):
    data = problem.logits_NC, problem.targets_N, bins, spacing
    for metric in (rms_ce, classwise_ece, top_label_ece):
        expected = getattr(slow, metric.__name__)(*data)
        assert metric(*data) == pytest.approx(expected, rel=1e-11)
    expected = slow.debiased_square(*data)
    assert reliability(*data).debiased_square == pytest.approx(expected, abs=1e-13)


def test_debiasing_takes_away_what_chance_adds():
    plain, debiased = [], []
    for seed in range(60):
        problem = sampled(300, 5, 100 + seed)  # calibrated by construction
        found = reliability(problem.logits_NC, problem.targets_N, 15, "mass")
        plain.append(found.square)
        debiased.append(found.debiased_square)
    mean, spread = sum(debiased) / 60, torch.tensor(debiased).std() / math.sqrt(60)
    assert abs(mean) < 3 * float(spread)
    assert sum(plain) / 60 > 10 * float(spread)


def test_debiased_is_0_where_chance_explains_everything():
    logits, targets = two_class(*[0.75] * 4), torch.tensor([0, 0, 0, 1])
    assert rms_ce(logits, targets) == pytest.approx(0.0, abs=1e-12)
    assert debiased_rms_ce(logits, targets) == 0.0
    # one example in a bin tells nothing
    assert rms_ce(two_class(0.6), torch.tensor([1])) == pytest.approx(0.6)
    assert debiased_rms_ce(two_class(0.6), torch.tensor([1])) == 0.0


def test_debiased_known_value():
    logits, targets = two_class(*[0.9] * 10), torch.tensor([0] * 5 + [1] * 5)
    found = reliability(logits, targets).debiased_square
    assert found == pytest.approx(0.16 - 0.25 / 9)


def test_top_label_sees_errors_that_cancel_between_classes():
    logits = torch.cat([two_class(*[0.8] * 10), two_class(*[0.8] * 10).flip(1)])
    targets = torch.tensor([0] * 10 + [1] * 6 + [0] * 4)  # right: all, and 6 in 10
    assert ece(logits, targets) == pytest.approx(0.0, abs=1e-12)
    assert top_label_ece(logits, targets) == pytest.approx(0.2)


def test_classwise_looks_at_classes_that_are_not_predicted():
    logits = torch.tensor([[0.6, 0.3, 0.1]], dtype=torch.float64).log().repeat(10, 1)
    targets = torch.tensor([0] * 6 + [2] * 4)
    assert ece(logits, targets) == pytest.approx(0.0, abs=1e-12)
    assert classwise_ece(logits, targets) == pytest.approx((0.0 + 0.3 + 0.3) / 3)


@pytest.mark.parametrize("elements", [7, 400, 4000])
def test_the_size_of_the_blocks_does_not_matter(elements, monkeypatch):
    problem = sampled(100, 5, 3)
    whole = classwise_ece(problem.logits_NC, problem.targets_N)
    monkeypatch.setattr(check, "_BLOCK_ELEMENTS", elements)
    blocked = classwise_ece(problem.logits_NC, problem.targets_N)
    assert blocked == pytest.approx(whole, rel=1e-13)


def test_a_ranking_gives_every_diagram_from_one_sort():
    problem = NATURAL[0]
    ranking = ranked(problem.logits_NC, problem.targets_N)
    assert bool((ranking.confidence_N.diff() >= 0).all())
    for bins, spacing in GRID:
        expected = reliability(problem.logits_NC, problem.targets_N, bins, spacing)
        assert diagram(ranking, bins, spacing) == expected


def test_intervals_hold_the_accuracy_and_shrink_with_the_count():
    logits = two_class(*[0.6] * 10, *[0.9] * 1000)
    targets = (torch.arange(1010) % 5 == 0).long()
    found = reliability(logits, targets, bins=10)
    few, many = found.intervals()[5], found.intervals()[8]
    for interval in (few, many):
        assert interval[0] < 0.8 < interval[1]
    assert many[1] - many[0] < 0.2 * (few[1] - few[0])
    assert found.intervals()[0] is None
    wider = found.intervals(0.99)[5]
    assert wider[0] < few[0] < few[1] < wider[1]
    with pytest.raises(InputError, match=r"level: .* in \(0, 1\), got 95"):
        found.intervals(95)


def test_wilson_known_values_and_ends():
    certain = reliability(two_class(*[0.9] * 10), torch.zeros(10).long(), 1)
    low, high = certain.intervals()[0]
    assert (round(low, 4), high) == (0.7225, 1.0)
    never = reliability(two_class(*[0.9] * 10), torch.ones(10).long(), 1)
    low, high = never.intervals()[0]
    assert (low, round(high, 4)) == (0.0, 0.2775)
