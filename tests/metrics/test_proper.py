import math

import pytest
import torch
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

from cases.metrics import PROBLEMS, sampled
from dale.metrics import METRICS, accuracy, brier, brier_N, correct_N, error, nll, nll_N

INF = float("inf")
NATURAL = [sampled(200, 5, 0), sampled(300, 10, 2, temperature=3.0)]


@pytest.mark.parametrize("problem", NATURAL, ids=str)
def test_agree_with_scikit_learn(problem):
    probs = problem.logits_NC.double().softmax(dim=1).numpy()
    targets, labels = problem.targets_N.numpy(), range(probs.shape[1])
    ours = problem.logits_NC, problem.targets_N
    expected = log_loss(targets, probs, labels=labels)
    assert nll(*ours) == pytest.approx(expected, rel=1e-10)
    expected = brier_score_loss(targets, probs, labels=labels, scale_by_half=False)
    assert brier(*ours) == pytest.approx(expected, rel=1e-12)
    assert accuracy(*ours) == accuracy_score(targets, probs.argmax(1))


def test_binary_brier_is_twice_that_of_the_positive_class():
    problem = sampled(100, 2, 3)
    probs = problem.logits_NC.double().softmax(dim=1)[:, 1].numpy()
    half = brier_score_loss(problem.targets_N.numpy(), probs)
    assert brier(problem.logits_NC, problem.targets_N) == pytest.approx(2 * half)


@pytest.mark.parametrize("size", [1e3, 1e30, 1e300])
def test_nll_is_exact_for_huge_logits(size):
    logits = torch.tensor([[size, 0.0], [size, size]], dtype=torch.float64)
    assert nll_N(logits, torch.tensor([1, 0])).tolist() == [size, math.log(2)]
    assert nll(logits[:1], torch.tensor([0])) == 0.0


def test_a_perfect_score_is_plus_zero():
    assert math.copysign(1, nll(torch.tensor([[1e3, 0.0]]), torch.tensor([0]))) == 1.0


def test_minus_infinity_is_a_probability_of_zero():
    logits = torch.tensor([[0.0, -INF, 0.0]])
    assert nll(logits, torch.tensor([0])) == pytest.approx(math.log(2), rel=1e-15)
    assert nll(logits, torch.tensor([1])) == INF
    assert brier(logits, torch.tensor([1])) == 1.5
    assert error(logits, torch.tensor([1])) == 1.0


def test_log_probabilities_are_logits():
    problem = NATURAL[0]
    log_probs = problem.logits_NC.double().log_softmax(dim=1)
    for metric in (nll, brier, accuracy):
        ours = metric(log_probs, problem.targets_N)
        assert ours == pytest.approx(metric(problem.logits_NC, problem.targets_N))


def test_computed_in_float64():
    # 1 + 1e-9 and its softmax differ from 1 in float64 only
    logits = torch.tensor([[1e-9, 0.0]], dtype=torch.float64)
    assert 0 < math.log(2) - nll(logits, torch.tensor([0])) < 1e-9


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_per_example_values_average_to_the_metric(problem):
    data = problem.logits_NC, problem.targets_N
    assert correct_N(*data).dtype == torch.bool
    assert correct_N(*data).double().mean() == pytest.approx(accuracy(*data))
    for each, metric in ((nll_N, nll), (brier_N, brier)):
        assert each(*data).shape == problem.targets_N.shape
        assert each(*data).dtype == torch.float64
        assert float(each(*data).mean()) == metric(*data)


def test_among_equal_logits_the_lowest_class_is_predicted():
    logits = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    assert correct_N(logits, torch.tensor([0, 1])).tolist() == [True, False]
    assert accuracy(logits, torch.tensor([0, 1])) == 0.5
    assert error(logits, torch.tensor([0, 1])) == 0.5


@pytest.mark.parametrize("name", ["nll", "brier", "ece", "mce"])
def test_logits_between_0_and_1_are_still_logits(name):
    generator = torch.Generator().manual_seed(0)
    logits = torch.rand(50, 3, generator=generator, dtype=torch.float64)
    logits /= logits.sum(dim=1, keepdim=True)  # rows that even sum to 1
    targets = torch.randint(3, (50,), generator=generator)
    function = METRICS[name].function
    shifted = function(logits + 5, targets)
    assert function(logits, targets) == pytest.approx(shifted, rel=1e-12)
    assert function(logits, targets) != pytest.approx(function(logits.log(), targets))
