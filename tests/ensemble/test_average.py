import math

import pytest
import torch

from cases.ensemble import CASES, INF
from dale.ensemble import geometric, hard_vote, mean_logit, mean_probability
from dale.errors import InputError
from dale.metrics import nll


@pytest.mark.parametrize("case", CASES, ids=str)
def test_mean_logit_and_geometric_mean_are_one_distribution(case):
    one = mean_logit(case.logits_MNC, case.weights_M)
    other = geometric(case.logits_MNC, case.weights_M)
    assert torch.allclose(one, other, rtol=1e-12, atol=1e-12)


def test_mean_probability_and_mean_logit_are_not():
    logits = torch.tensor([[[6.0, 0.0]], [[-1.0, 0.0]]])
    assert not torch.allclose(mean_probability(logits), mean_logit(logits), atol=0.1)


def test_no_probability_underflows():
    logits = torch.tensor([[[0.0, -800.0]], [[0.0, -900.0]]]).double()
    expected = -800 - math.log(2)
    assert mean_probability(logits)[0, 1] == pytest.approx(expected, rel=1e-14)


def test_a_class_ruled_out_by_one_member():
    logits = torch.tensor([[[0.0, -INF]], [[0.0, 0.0]]])
    assert mean_probability(logits).exp()[0].tolist() == pytest.approx([0.75, 0.25])
    assert geometric(logits).exp().tolist() == [[1.0, 0.0]]
    assert mean_logit(logits).exp().tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("combine", [mean_probability, geometric, mean_logit])
def test_a_member_without_weight_rules_out_nothing(combine):
    logits = torch.tensor([[[0.0, -INF]], [[0.5, 0.0]]]).double()
    combined = combine(logits, [0.0, 1.0])
    assert torch.allclose(combined, logits[1].log_softmax(dim=1))


@pytest.mark.parametrize("combine", [geometric, mean_logit])
def test_members_that_rule_out_everything_between_them_are_refused(combine):
    logits = torch.zeros(2, 3, 2)
    logits[0, 1, 0] = logits[1, 1, 1] = -INF
    with pytest.raises(InputError, match="example 1: expected a class that every"):
        combine(logits)
    assert mean_probability(logits).exp()[1].tolist() == pytest.approx([0.5, 0.5])


def test_huge_float32_logits():
    logits = torch.tensor([[[1e30, 0.0]], [[0.0, 1e30]]])
    assert mean_probability(logits).exp().tolist() == [[0.5, 0.5]]
    assert mean_logit(logits).exp().tolist() == [[0.5, 0.5]]


def test_votes_are_counted_and_smoothed():
    first, second = [1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]
    logits = torch.tensor([[first], [first], [second]])
    shares = hard_vote(logits).exp()[0]
    expected = [2.25 / 4, 1.25 / 4, 0.25 / 4, 0.25 / 4]
    assert shares.tolist() == pytest.approx(expected)
    assert hard_vote(logits, smoothing=0.0)[0, 2] == -INF
    flatter = hard_vote(logits, smoothing=100.0).exp()[0]
    assert flatter.tolist() == pytest.approx([0.25] * 4, abs=0.02)


def test_smoothed_votes_have_a_finite_nll():
    logits = torch.tensor([[[1.0, 0.0, 0.0]]] * 9)
    target = torch.tensor([2])
    assert nll(hard_vote(logits), target) == pytest.approx(math.log(30), rel=1e-6)
    assert nll(hard_vote(logits, smoothing=0.0), target) == INF


def test_a_tied_vote_goes_to_the_lowest_class():
    logits = torch.tensor([[[0.0, 0.0]], [[0.0, 0.0]]])
    assert hard_vote(logits).argmax(dim=1).tolist() == [0]


def test_weights_given_as_numbers_are_not_rounded_to_float32():
    logits = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(1)).double()
    weights = [0.1, 0.2, 0.7]
    exact = torch.tensor(weights, dtype=torch.float64)
    assert torch.equal(
        mean_probability(logits, weights), mean_probability(logits, exact)
    )


def test_weighted_votes_count_effective_members():
    logits = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 1.0]]])
    alone = hard_vote(logits, [1.0, 0.0, 0.0])
    assert torch.allclose(alone, hard_vote(logits[:1]))
    w = torch.tensor([0.5, 0.25, 0.25])
    votes = 1 / float(w.square().sum())
    assert hard_vote(logits, w).exp()[0].tolist() == pytest.approx([0.5, 0.5])
    uneven = hard_vote(logits, [0.5, 0.5, 0.0]).exp()[0]
    assert uneven.tolist() == pytest.approx([0.5, 0.5])
    assert votes == pytest.approx(2.6667, rel=1e-4)


@pytest.mark.parametrize("smoothing", [-1.0, INF, INF - INF])
def test_impossible_smoothing_is_refused(smoothing):
    with pytest.raises(InputError, match="smoothing: expected a finite number >= 0"):
        hard_vote(torch.zeros(1, 1, 2), smoothing=smoothing)
