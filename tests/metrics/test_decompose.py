import json

import pytest
import torch

from cases.metrics import PROBLEMS, sampled
from dale.errors import InputError
from dale.metrics import brier, brier_parts, brier_reliability, brier_resolution

GRID = [(bins, spacing) for bins in (1, 4, 15) for spacing in ("width", "mass")]


@pytest.mark.parametrize(("bins", "spacing"), GRID)
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_the_five_terms_sum_to_the_brier_score(problem, bins, spacing):
    data = problem.logits_NC, problem.targets_N
    parts = brier_parts(*data, bins, spacing)
    assert parts.brier == pytest.approx(brier(*data), abs=1e-13)
    assert brier_reliability(*data, bins, spacing) == parts.reliability
    assert brier_resolution(*data, bins, spacing) == parts.resolution


def test_the_familiar_three_terms_are_not_enough():
    problem = sampled(200, 3, 0)
    parts = brier_parts(problem.logits_NC, problem.targets_N, 3)
    three = parts.reliability - parts.resolution + parts.uncertainty
    score = brier(problem.logits_NC, problem.targets_N)
    assert abs(three - score) > 1e-3
    inside = parts.within_variance - parts.within_covariance
    assert three + inside == pytest.approx(score, abs=1e-13)


def test_the_terms_inside_vanish_where_each_bin_holds_one_probability():
    logits = torch.tensor([[0.3, 0.7], [0.8, 0.2]]).double().log().repeat(10, 1)
    targets = (torch.arange(20) % 3 == 0).long()
    parts = brier_parts(logits, targets, 10)
    assert parts.within_variance == pytest.approx(0, abs=1e-25)
    assert parts.within_covariance == pytest.approx(0, abs=1e-15)


def test_uncertainty_is_the_score_of_the_shares():
    targets = torch.tensor([0] * 6 + [1] * 3 + [2])
    shares = torch.tensor([[0.6, 0.3, 0.1]], dtype=torch.float64).log().repeat(10, 1)
    parts = brier_parts(shares, targets)
    assert parts.uncertainty == pytest.approx(brier(shares, targets))
    assert parts.reliability == pytest.approx(0, abs=1e-15)
    assert parts.resolution == pytest.approx(0, abs=1e-15)


def test_a_perfect_forecast_is_all_resolution():
    targets = torch.tensor([0, 1, 2, 0])
    parts = brier_parts(900 * torch.eye(3)[targets], targets)
    assert parts.resolution == pytest.approx(parts.uncertainty)
    assert parts.generalised_resolution == pytest.approx(parts.uncertainty)
    assert parts.reliability == 0.0


def test_ready_for_json():
    parts = brier_parts(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]))
    read = json.loads(json.dumps(parts.to_dict()))
    assert type(parts)(**read) == parts


def test_impossible_bins_are_refused():
    with pytest.raises(InputError, match="bins: expected an integer >= 1, got 0"):
        brier_parts(torch.zeros(2, 2), torch.tensor([0, 1]), 0)
