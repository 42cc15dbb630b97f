"""What holds of every combiner and of greedy selection, whatever the logits."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import reference.ensemble as slow
from dale.ensemble import COMBINERS, greedy, mean_probability
from dale.metrics import METRICS, nll

VALUES = st.sampled_from([-40.0, -3.0, -1.0, -0.5, 0.0, 0.25, 2.0, 7.0, 300.0])
MIXED = VALUES | st.floats(-9, 9, width=32)


FEW = st.integers(1, 5)


@st.composite
def problems(draw, values=MIXED, members=FEW):
    shape = draw(members), draw(st.integers(1, 6)), draw(st.integers(2, 4))
    count = shape[0] * shape[1] * shape[2]
    flat = draw(st.lists(values, min_size=count, max_size=count))
    labels = st.lists(
        st.integers(0, shape[2] - 1), min_size=shape[1], max_size=shape[1]
    )
    logits = torch.tensor(flat, dtype=torch.float64).reshape(shape)
    return logits, torch.tensor(draw(labels))


def weights_for(data, count):
    weights = data.draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))
    assume(sum(weights) > 0)
    return [float(weight) for weight in weights]


@pytest.mark.parametrize("name", COMBINERS)
@given(problem=problems())
def test_the_result_is_normalised(name, problem):
    log_probs = COMBINERS[name].function(problem[0])
    sums = log_probs.exp().sum(dim=1)
    assert sums.tolist() == pytest.approx([1.0] * len(sums), abs=1e-12)


@pytest.mark.parametrize(
    "name", [n for n, r in COMBINERS.items() if r.exact_for_one_member]
)
@given(problem=problems(members=st.just(1)))
def test_one_member_is_itself(name, problem):
    combined = COMBINERS[name].function(problem[0])
    assert torch.allclose(combined, problem[0][0].log_softmax(dim=1), atol=1e-12)


@pytest.mark.parametrize("name", COMBINERS)
@given(problem=problems(), copies=st.integers(2, 4))
def test_copies_of_the_members_change_nothing_but_the_number_of_votes(
    name, problem, copies
):
    function = COMBINERS[name].function
    repeated = function(problem[0].repeat(copies, 1, 1))
    if name == "hard_vote":
        once = function(problem[0])
        chosen_N1 = repeated.argmax(dim=1, keepdim=True)
        # where votes are tied, either of the tied classes will do
        votes_N1 = once.gather(1, chosen_N1)
        assert torch.allclose(votes_N1, once.amax(dim=1, keepdim=True), atol=1e-10)
    else:
        assert torch.allclose(function(problem[0]), repeated, atol=1e-10)


@pytest.mark.parametrize("name", [n for n, r in COMBINERS.items() if r.obeys_jensen])
@given(problem=problems(), data=st.data())
def test_nll_is_at_most_the_mean_of_the_members(name, problem, data):
    logits, targets = problem
    weights = weights_for(data, len(logits))
    losses = [nll(member, targets) for member in logits]
    mean = sum(w * x for w, x in zip(weights, losses, strict=True)) / sum(weights)
    combined = COMBINERS[name].function(logits, weights)
    assert nll(combined, targets) <= mean * (1 + 1e-12) + 1e-12


@pytest.mark.parametrize("name", COMBINERS)
@given(problem=problems(), data=st.data())
def test_all_weight_on_one_member_gives_that_member(name, problem, data):
    logits, _ = problem
    index = data.draw(st.integers(0, len(logits) - 1))
    weights = [float(m == index) for m in range(len(logits))]
    function = COMBINERS[name].function
    alone = function(logits[index : index + 1])
    assert torch.allclose(function(logits, weights), alone, atol=1e-12)


@pytest.mark.parametrize("name", [n for n, r in COMBINERS.items() if r.symmetric])
@given(problem=problems(), data=st.data())
def test_the_order_of_the_members_does_not_matter(name, problem, data):
    logits, _ = problem
    weights = weights_for(data, len(logits))
    order = data.draw(st.permutations(range(len(logits))))
    function = COMBINERS[name].function
    shuffled = function(logits[order], [weights[m] for m in order])
    assert torch.allclose(shuffled, function(logits, weights), atol=1e-10)


@pytest.mark.parametrize("name", COMBINERS)
@given(problem=problems(), data=st.data())
def test_the_scale_of_the_weights_does_not_matter(name, problem, data):
    weights = weights_for(data, len(problem[0]))
    function = COMBINERS[name].function
    eighths = function(problem[0], [weight / 8 for weight in weights])
    assert torch.equal(eighths, function(problem[0], weights))


@given(problem=problems())
def test_a_member_that_wins_everywhere_is_chosen_alone(problem):
    logits, targets = problem
    perfect = 400 * torch.nn.functional.one_hot(targets, logits.shape[2]).double()
    choice = greedy(torch.cat([logits, perfect[None]]), targets, size=4)
    assert choice.scores[choice.best - 1] <= 1e-12
    singles = [nll(member, targets) for member in logits]
    if min(singles) > 1e-9:
        assert choice.members == (len(logits),)


@pytest.mark.parametrize("metric", ["nll", "error"])
@given(problem=problems(), size=st.integers(1, 6))
def test_greedy_is_never_worse_than_the_best_member(metric, problem, size):
    logits, targets = problem
    choice = greedy(logits, targets, size, metric)
    singles = [METRICS[metric].function(member, targets) for member in logits]
    best = choice.scores[choice.best - 1]
    assert best <= min(singles) * (1 + 1e-12) + 1e-12
    combined = mean_probability(logits, choice.weights_M)
    if metric == "nll":
        assert nll(combined, targets) == pytest.approx(best, rel=1e-9, abs=1e-11)


@pytest.mark.parametrize("metric", ["nll", "error"])
@given(problem=problems(st.floats(-9, 9, width=32)), size=st.integers(1, 5))
def test_greedy_equals_the_slow_twin(metric, problem, size):
    logits, targets = problem
    choice = greedy(logits, targets, size, metric)
    order, scores, best = slow.greedy(logits, targets, size, metric)
    assert choice.scores == pytest.approx(scores, rel=1e-9, abs=1e-12)
    assert list(choice.order) == order
    assert choice.best == best
