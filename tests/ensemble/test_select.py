from dataclasses import FrozenInstanceError

import pytest
import torch

import reference.ensemble as slow
from cases.ensemble import CASES
from cases.metrics import BAD_INPUTS, members
from dale.ensemble import Choice, greedy, mean_probability
from dale.errors import InputError
from dale.metrics import METRICS, nll

INF = float("inf")
SIZES = [(1, 10, 3, 4), (4, 30, 3, 8), (7, 60, 5, 12), (3, 1, 2, 5)]


@pytest.mark.parametrize("metric", ["nll", "error"])
@pytest.mark.parametrize(("m", "n", "classes", "size"), SIZES)
def test_equals_the_slow_twin(metric, m, n, classes, size):
    logits, targets = members(m, n, classes, seed=m)
    choice = greedy(logits.double(), targets, size, metric)
    order, scores, best = slow.greedy(logits.double(), targets, size, metric)
    assert list(choice.order) == order
    assert choice.scores == pytest.approx(scores, rel=1e-12)
    assert choice.best == best
    expected = [order[:best].count(k) / best for k in range(m)]
    assert choice.weights_M == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["nll", "error"])
@pytest.mark.parametrize("case", CASES[:6], ids=str)
def test_scores_are_those_of_the_mean_probability(metric, case):
    choice = greedy(case.logits_MNC, case.targets_N, 6, metric)
    combined = mean_probability(case.logits_MNC, choice.weights_M)
    value = METRICS[metric].function(combined, case.targets_N)
    assert value == pytest.approx(choice.scores[choice.best - 1], rel=1e-12)
    assert choice.scores[choice.best - 1] == pytest.approx(min(choice.scores))


@pytest.mark.parametrize("metric", ["nll", "error"])
def test_never_worse_than_the_best_single_member(metric):
    logits, targets = members(6, 50, 4, 9)
    singles = [METRICS[metric].function(member, targets) for member in logits]
    choice = greedy(logits, targets, 10, metric)
    assert choice.scores[0] == pytest.approx(min(singles), rel=1e-12)
    assert choice.order[0] == singles.index(min(singles))
    assert min(choice.scores) <= min(singles) + 1e-12


@pytest.mark.parametrize("metric", ["nll", "error"])
def test_copies_of_one_member_are_one_member(metric):
    logits, targets = members(1, 40, 3, 2)
    # added in other orders, equal sums differ in the last bit
    choice = greedy(logits.expand(5, -1, -1), targets, 7, metric)
    assert choice.order == (0,) * 7
    assert choice.best == 1
    assert choice.weights_M == (1.0, 0.0, 0.0, 0.0, 0.0)


def test_a_tie_goes_to_a_member_in_use():
    # after member 1 the others are equally good; 1 itself is no improvement
    p = torch.tensor([[[0.2], [0.8]], [[0.8], [0.8]], [[0.8], [0.8]]])
    logits = torch.cat([p, 1 - p], dim=2).log()
    choice = greedy(logits, torch.tensor([0, 0]), size=3)
    assert choice.order == (1, 1, 1)
    assert choice.best == 1


def test_the_best_prefix_is_returned():
    p = torch.tensor([[[0.9], [0.2]], [[0.3], [0.8]], [[0.4], [0.3]]])
    logits = torch.cat([p, 1 - p], dim=2).log()
    choice = greedy(logits, torch.tensor([0, 0]), size=6)
    assert len(choice.order) == len(choice.scores) == 6
    assert choice.best == choice.scores.index(min(choice.scores)) + 1
    assert choice.members == (0, 1)
    assert sum(choice.weights_M) == pytest.approx(1.0)


def test_probabilities_too_small_for_float64_are_compared_all_the_same():
    logits = torch.tensor([[[0.0, 2000.0]], [[0.0, 1500.0]], [[0.0, 1800.0]]])
    choice = greedy(logits, torch.tensor([0]), size=3)
    assert choice.order == (1, 1, 1)
    assert choice.scores == pytest.approx((1500.0,) * 3, rel=1e-12)


def test_a_member_that_rules_out_a_target_is_not_taken_alone():
    logits = torch.tensor([[[0.0, -INF], [9.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    choice = greedy(logits, torch.tensor([1, 0]), size=2)
    assert choice.order[0] == 1
    assert max(choice.scores) < INF
    targets = torch.tensor([1, 1])
    assert choice.scores[0] == pytest.approx(nll(logits[1], targets))


def test_no_member_with_a_finite_nll_is_refused():
    logits = torch.tensor([[[0.0, -INF]], [[0.0, -INF]]])
    with pytest.raises(InputError, match="expected a member with a finite NLL"):
        greedy(logits, torch.tensor([1]))
    assert greedy(logits, torch.tensor([1]), 2, "error").scores == (1.0, 1.0)


@pytest.mark.parametrize("metric", ["nll", "error"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_logits_are_widened(metric, dtype):
    logits, targets = members(4, 30, 3, 1)
    narrow = logits.to(dtype)
    choice = greedy(narrow, targets, 5, metric)
    expected = greedy(narrow.double(), targets, 5, metric)
    assert choice.order == expected.order


def test_inputs_are_left_alone_and_the_choice_is_frozen():
    logits, targets = members(3, 20, 3, 1)
    before = logits.clone()
    choice = greedy(logits, targets, 4)
    assert torch.equal(logits, before)
    assert isinstance(choice, Choice)
    with pytest.raises(FrozenInstanceError):
        choice.best = 0


@pytest.mark.parametrize("size", [0, -1, 2.0, True])
def test_impossible_sizes_are_refused(size):
    logits, targets = members(2, 5, 3, 0)
    with pytest.raises(InputError, match=rf"size: .* >= 1, got {size}"):
        greedy(logits, targets, size)


def test_an_unknown_metric_is_refused():
    logits, targets = members(2, 5, 3, 0)
    with pytest.raises(InputError, match="'nll' or 'error', got 'brier'"):
        greedy(logits, targets, metric="brier")


VALUES = [case for case in BAD_INPUTS if getattr(case[1], "shape", ()) != (1, 3, 2)]


@pytest.mark.parametrize("case", VALUES, ids=[case[0] for case in VALUES])
def test_bad_input_is_refused(case):
    name, logits, targets, message = case
    members = logits[None] if isinstance(logits, torch.Tensor) else logits
    if "axis" in name or "no example" in name or name == "one class":
        message = rf"logits_MNC: .*, got shape \({', '.join(map(str, members.shape))}\)"
    with pytest.raises(InputError, match=message):
        greedy(members, targets)
