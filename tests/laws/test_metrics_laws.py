"""What holds of every metric, whatever the logits."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from dale.metrics import (
    METRICS,
    accuracy,
    disagreement_MM,
    ece,
    error,
    mce,
    nll,
    reliability,
)

ON_ONE = [
    name for name, row in METRICS.items() if row.needs == ("logits_NC", "targets_N")
]
SMALL = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 40.0, 900.0])


@st.composite
def problems(draw, values=SMALL):
    n, classes = draw(st.integers(1, 12)), draw(st.integers(2, 5))
    rows = st.lists(values, min_size=n * classes, max_size=n * classes)
    logits = torch.tensor(draw(rows), dtype=torch.float64).reshape(n, classes)
    labels = st.lists(st.integers(0, classes - 1), min_size=n, max_size=n)
    return logits, torch.tensor(draw(labels))


@st.composite
def member_problems(draw):
    logits, targets = draw(problems())
    others = draw(st.lists(st.permutations(range(len(logits))), min_size=1, max_size=4))
    return torch.stack([logits, *(logits[list(order)] for order in others)]), targets


@pytest.mark.parametrize("name", ON_ONE)
@given(problem=problems())
def test_within_bounds(name, problem):
    value = METRICS[name].function(*problem)
    assert METRICS[name].lower <= value
    assert METRICS[name].upper is None or value <= METRICS[name].upper


@pytest.mark.parametrize("name", ON_ONE)
@given(problem=problems(), data=st.data())
def test_the_order_of_the_examples_does_not_matter(name, problem, data):
    logits, targets = problem
    order = torch.tensor(data.draw(st.permutations(range(len(targets)))))
    function = METRICS[name].function
    shuffled = function(logits[order], targets[order])
    assert shuffled == pytest.approx(function(logits, targets), rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("name", ON_ONE)
@given(problem=problems(), shift=st.sampled_from([-64.0, 0.25, 8.0]))
def test_a_constant_added_to_the_logits_does_not_matter(name, problem, shift):
    logits, targets = problem
    function = METRICS[name].function
    assert function(logits + shift, targets) == function(logits, targets)


@pytest.mark.parametrize("name", ON_ONE)
@given(
    problem=problems(values=st.floats(-9, 9, width=32)),
    data=st.data(),
)
def test_the_names_of_the_classes_do_not_matter(name, problem, data):
    logits, targets = problem
    top = logits.topk(2, dim=1).values
    # a tie goes to the lowest index, which renaming changes
    assume(not bool((top[:, 0] == top[:, 1]).any()))
    order = data.draw(st.permutations(range(logits.shape[1])))
    place = torch.tensor([order.index(c) for c in range(len(order))])
    renamed = METRICS[name].function(logits[:, order], place[targets])
    expected = METRICS[name].function(logits, targets)
    assert renamed == pytest.approx(expected, rel=1e-12, abs=1e-13)


@given(problem=problems())
def test_accuracy_and_error_are_complements(problem):
    assert accuracy(*problem) + error(*problem) == pytest.approx(1.0, abs=1e-15)


@given(
    problem=problems(),
    bins=st.integers(1, 20),
    spacing=st.sampled_from(["width", "mass"]),
)
def test_every_example_is_in_a_bin_and_ece_is_at_most_mce(problem, bins, spacing):
    diagram = reliability(*problem, bins, spacing)
    assert sum(diagram.counts) == len(problem[1])
    assert len(diagram.counts) == bins
    assert list(diagram.edges) == sorted(diagram.edges)
    assert ece(*problem, bins, spacing) <= mce(*problem, bins, spacing) + 1e-15


@given(problem=problems(), spacing=st.sampled_from(["width", "mass"]))
def test_one_bin_compares_the_means(problem, spacing):
    logits, targets = problem
    confidence = float(logits.softmax(dim=1).amax(dim=1).mean())
    expected = abs(accuracy(logits, targets) - confidence)
    assert ece(logits, targets, 1, spacing) == pytest.approx(expected, abs=1e-12)


@given(problem=problems())
def test_nll_of_uniform_predictions_is_log_c(problem):
    logits, targets = problem
    expected = torch.tensor(float(logits.shape[1]), dtype=torch.float64).log()
    assert nll(torch.zeros_like(logits), targets) == pytest.approx(float(expected))


@given(problem=member_problems())
def test_disagreement_is_a_pseudometric(problem):
    table = disagreement_MM(problem[0])
    assert torch.equal(table, table.T)
    assert not table.diagonal().any()
    through = (table[:, :, None] + table[None, :, :]).amin(dim=1)
    assert bool((table <= through + 1e-12).all())


@pytest.mark.parametrize("name", ["mean_disagreement", "normalised_disagreement"])
@given(problem=member_problems(), data=st.data())
def test_the_order_of_the_members_does_not_matter(name, problem, data):
    logits, targets = problem
    order = data.draw(st.permutations(range(len(logits))))
    arguments = (targets,) if "targets_N" in METRICS[name].needs else ()
    function = METRICS[name].function
    value = function(logits, *arguments)
    assert function(logits[order], *arguments) == pytest.approx(value, abs=1e-12)
    assert METRICS[name].lower <= value <= METRICS[name].upper + 1e-12
