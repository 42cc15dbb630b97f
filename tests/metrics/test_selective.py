import json
import math
from itertools import permutations

import pytest
import torch

import reference.metrics as slow
from cases.metrics import PROBLEMS, sampled
from dale.errors import InputError
from dale.metrics import (
    accuracy,
    aurc,
    bootstrap,
    error,
    misclassification_auroc,
    ranked,
    ranking_auroc,
    risk_coverage,
    selective_curve,
    selective_risk,
)

INF = float("inf")
FOUR = torch.tensor([[4.0, 0.0], [3.0, 0.0], [2.0, 0.0], [1.0, 0.0]])


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_the_whole_curve_equals_the_slow_twin(problem):
    data, count = (problem.logits_NC, problem.targets_N), len(problem.targets_N)
    curve = risk_coverage(*data, points=10**6)
    assert curve.risk == pytest.approx(slow.risks(*data), abs=1e-12)
    assert curve.coverage == tuple(k / count for k in range(1, count + 1))
    assert curve.risk[-1] == pytest.approx(error(*data), abs=1e-12)


def test_known_values():
    targets = torch.tensor([0, 1, 0, 1])
    curve = risk_coverage(FOUR, targets)
    assert curve.risk == pytest.approx((0, 1 / 2, 1 / 3, 1 / 2))
    assert aurc(FOUR, targets) == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 4)
    # right ones at 4 and 2, wrong ones at 3 and 1: three of four pairs in order
    assert misclassification_auroc(FOUR, targets) == 0.75


def test_ties_give_the_mean_over_all_orders():
    confidences = [0.9, 0.7, 0.7, 0.7]
    p = torch.tensor(confidences, dtype=torch.float64)
    logits = torch.stack([p, 1 - p], dim=1).log()
    targets = torch.tensor([0, 1, 0, 0])
    wrong = targets.tolist()
    areas = []
    for order in permutations([1, 2, 3]):
        kept = [wrong[i] for i in (0, *order)]
        areas.append(sum(sum(kept[:k]) / k for k in (1, 2, 3, 4)) / 4)
    assert aurc(logits, targets) == pytest.approx(sum(areas) / len(areas))


def test_a_confidence_that_says_nothing_gives_the_error():
    logits, targets = torch.zeros(10, 2), (torch.arange(10) >= 7).long()
    assert risk_coverage(logits, targets).risk == pytest.approx([0.3] * 10)
    assert aurc(logits, targets) == pytest.approx(0.3)
    assert misclassification_auroc(logits, targets) == 0.5


@pytest.mark.parametrize("points", [1, 3, 7, 100])
def test_a_thinned_curve_keeps_its_end_and_its_area(points):
    problem = sampled(100, 4, 0)
    whole = risk_coverage(problem.logits_NC, problem.targets_N)
    thin = risk_coverage(problem.logits_NC, problem.targets_N, points)
    assert len(thin.risk) == len(thin.coverage) == points
    assert thin.coverage[-1] == 1.0
    assert thin.aurc == whole.aurc
    assert set(zip(thin.coverage, thin.risk, strict=True)) <= set(
        zip(whole.coverage, whole.risk, strict=True)
    )


@pytest.mark.parametrize("coverage", [1e-9, 0.07, 0.7, 0.8, 0.81, 1.0])
@pytest.mark.parametrize("problem", PROBLEMS[:4], ids=str)
def test_risk_at_a_coverage_equals_the_slow_twin(problem, coverage):
    data = problem.logits_NC, problem.targets_N
    expected = slow.selective_risk(*data, coverage)
    assert selective_risk(*data, coverage) == pytest.approx(expected, abs=1e-12)


def test_coverage_is_not_rounded_up_by_the_last_bit():
    assert 0.07 * 100 > 7
    p = torch.linspace(0.9, 0.6, 100).double()
    logits = torch.stack([p, 1 - p], dim=1).log()
    targets = torch.tensor([0] * 7 + [1] * 93)
    assert selective_risk(logits, targets, 0.07) == 0.0


def test_detection_is_undefined_without_errors_or_without_hits():
    right, wrong = torch.zeros(4).long(), torch.ones(4).long()
    assert math.isnan(misclassification_auroc(FOUR, right))
    assert math.isnan(misclassification_auroc(FOUR, wrong))
    assert aurc(FOUR, right) == selective_risk(FOUR, right) == 0.0
    assert aurc(FOUR, wrong) == 1.0


def test_intervals_leave_out_the_draws_that_are_undefined():
    targets = torch.tensor([0, 0, 0, 1])  # no error in a third of the draws
    low, high = bootstrap(misclassification_auroc, FOUR, targets, n=200)
    assert 0 <= low <= high == 1.0
    ends = bootstrap(misclassification_auroc, FOUR, torch.zeros(4).long(), n=20)
    assert all(map(math.isnan, ends))


def test_one_ranking_serves_all():
    problem = sampled(80, 3, 1)
    data = problem.logits_NC, problem.targets_N
    ranking = ranked(*data)
    assert selective_curve(ranking) == risk_coverage(*data)
    assert ranking_auroc(ranking) == misclassification_auroc(*data)
    assert float(ranking.correct_N.mean()) == pytest.approx(accuracy(*data))


def test_ready_for_json():
    curve = risk_coverage(FOUR, torch.tensor([0, 1, 0, 1]))
    assert json.loads(json.dumps(curve.to_dict()))["risk"] == list(curve.risk)


@pytest.mark.parametrize("coverage", [0, -0.1, 1.01, 80])
def test_impossible_coverages_are_refused(coverage):
    with pytest.raises(InputError, match=rf"coverage: .* \(0, 1\], got {coverage}"):
        selective_risk(FOUR, torch.zeros(4).long(), coverage)


@pytest.mark.parametrize("points", [0, 1.5, True])
def test_impossible_numbers_of_points_are_refused(points):
    with pytest.raises(InputError, match=f"points: .* >= 1, got {points}"):
        risk_coverage(FOUR, torch.zeros(4).long(), points)
