"""What holds of every metric, whatever the logits."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dale.metrics import (
    METRICS,
    accuracy,
    aurc,
    brier,
    brier_parts,
    disagreement_MM,
    ece,
    error,
    mce,
    nll,
    reliability,
    risk_coverage,
    rms_ce,
    top_label_ece,
)

ON_ONE = [
    name for name, row in METRICS.items() if row.needs == ("logits_NC", "targets_N")
]
# for laws that are tried on every row: the rows add up to hundreds of examples
EACH_ROW = settings(max_examples=12)
# the root of a difference near 0 keeps half of the digits
SLACK = {"debiased_rms_ce": 1e-6}
SMALL = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 40.0, 900.0])


def close_to(name, value):
    return pytest.approx(value, rel=1e-12, abs=SLACK.get(name, 1e-13), nan_ok=True)


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
@EACH_ROW
@given(problem=problems())
def test_within_bounds(name, problem):
    value = METRICS[name].function(*problem)
    assert METRICS[name].may_be_nan or not math.isnan(value)
    assert not value < METRICS[name].lower
    assert METRICS[name].upper is None or not value > METRICS[name].upper


@pytest.mark.parametrize("name", ON_ONE)
@EACH_ROW
@given(problem=problems(), data=st.data())
def test_the_order_of_the_examples_does_not_matter(name, problem, data):
    logits, targets = problem
    order = torch.tensor(data.draw(st.permutations(range(len(targets)))))
    function = METRICS[name].function
    shuffled = function(logits[order], targets[order])
    assert shuffled == close_to(name, function(logits, targets))


@pytest.mark.parametrize("name", ON_ONE)
@EACH_ROW
@given(problem=problems(), shift=st.sampled_from([-64.0, 0.25, 8.0]))
def test_a_constant_added_to_the_logits_does_not_matter(name, problem, shift):
    logits, targets = problem
    function = METRICS[name].function
    expected = function(logits, targets)
    assert function(logits + shift, targets) == pytest.approx(expected, 0, 0, True)


@pytest.mark.parametrize("name", ON_ONE)
@EACH_ROW
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
    assert renamed == close_to(name, expected)


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


@given(
    problem=problems(),
    bins=st.integers(1, 20),
    spacing=st.sampled_from(["width", "mass"]),
)
def test_the_parts_of_the_brier_score_sum_to_it(problem, bins, spacing):
    parts = brier_parts(*problem, bins, spacing)
    assert parts.brier == pytest.approx(brier(*problem), abs=1e-13)
    assert min(parts.reliability, parts.resolution, parts.within_variance) >= 0
    # by Cauchy and Schwarz, what bins hide is at most what there is
    assert parts.resolution <= parts.uncertainty + 1e-13


@given(
    problem=problems(),
    bins=st.integers(1, 20),
    spacing=st.sampled_from(["width", "mass"]),
)
def test_the_calibration_errors_are_in_order(problem, bins, spacing):
    diagram = reliability(*problem, bins, spacing)
    assert diagram.ece <= rms_ce(*problem, bins, spacing) + 1e-12
    assert rms_ce(*problem, bins, spacing) <= diagram.mce + 1e-12
    assert diagram.debiased_square <= diagram.square + 1e-15
    assert ece(*problem, bins) <= top_label_ece(*problem, bins) + 1e-12


@given(problem=problems())
def test_the_curve_ends_at_the_error_and_its_mean_is_the_area(problem):
    curve = risk_coverage(*problem)
    assert curve.coverage[-1] == 1.0
    assert curve.risk[-1] == pytest.approx(error(*problem), abs=1e-12)
    assert curve.aurc == aurc(*problem)
    assert sum(curve.risk) / len(curve.risk) == pytest.approx(curve.aurc, abs=1e-12)


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
