"""Every row of METRICS, through the table."""

import inspect
import math

import pytest
import torch

import dale.metrics
import reference.metrics as slow
from cases.metrics import PROBLEMS, members
from dale.metrics import METRICS, check_shape

MEMBER_PROBLEMS = [members(2, 30, 3, 0), members(5, 60, 4, 1), members(3, 1, 2, 2)]
# right when sure, and half right when not; or half right in either case
SURE, UNSURE = [3.0, 0.0], [0.1, 0.0]
GOOD = torch.tensor([SURE] * 16 + [UNSURE] * 4), torch.tensor([0] * 18 + [1] * 2)
BAD = torch.tensor([SURE] * 16 + [UNSURE] * 4), torch.tensor([0, 1] * 10)
ROWS = [
    (name, problem)
    for name, row in METRICS.items()
    if row.needs[0] == "logits_NC"
    for problem in PROBLEMS
]


def _value(name, logits, targets):
    tensors = {"logits_NC": logits, "logits_MNC": logits, "targets_N": targets}
    return METRICS[name].function(*(tensors[need] for need in METRICS[name].needs))


@pytest.mark.parametrize(("name", "problem"), ROWS, ids=str)
def test_equals_the_slow_twin_and_lies_within_the_stated_bounds(name, problem):
    value = _value(name, problem.logits_NC, problem.targets_N)
    expected = getattr(slow, name)(problem.logits_NC, problem.targets_N)
    assert type(value) is float
    # the root of a difference near 0 keeps half of the digits
    slack = 1e-7 if name == "debiased_rms_ce" else 1e-14
    assert value == pytest.approx(expected, rel=1e-12, abs=slack, nan_ok=True)
    if math.isnan(value):
        assert METRICS[name].may_be_nan
        return
    upper = METRICS[name].upper
    assert METRICS[name].lower <= value <= (math.inf if upper is None else upper)


@pytest.mark.parametrize("name", [n for n, row in METRICS.items() if row.may_be_nan])
def test_what_may_be_nan_is_so_somewhere_and_not_everywhere(name):
    values = [
        _value(name, problem.logits_NC, problem.targets_N) for problem in PROBLEMS
    ]
    assert 0 < sum(map(math.isnan, values)) < len(values)


@pytest.mark.parametrize("case", MEMBER_PROBLEMS, ids=len)
@pytest.mark.parametrize(
    "name", [name for name, row in METRICS.items() if row.needs[0] == "logits_MNC"]
)
def test_of_members_equals_the_slow_twin(name, case):
    value = _value(name, *case)
    row = METRICS[name]
    arguments = case if len(row.needs) == 2 else case[:1]
    assert type(value) is float
    assert value == pytest.approx(getattr(slow, name)(*arguments), rel=1e-12)
    assert row.lower <= value <= row.upper


@pytest.mark.parametrize("name", METRICS)
def test_needs_are_the_parameters_without_a_default(name):
    parameters = inspect.signature(METRICS[name].function).parameters.values()
    required = tuple(p.name for p in parameters if p.default is p.empty)
    assert required == METRICS[name].needs


@pytest.mark.parametrize("name", METRICS)
def test_rows_say_what_they_are(name):
    row = METRICS[name]
    assert row.function.__name__ == name
    assert row.label
    assert row.reference
    assert row.function is getattr(dale.metrics, name)


_OF_MEMBERS = (("logits_MNC",), ("logits_MNC", "targets_N"))


@pytest.mark.parametrize("name", METRICS)
def test_better_is_in_the_stated_direction(name):
    better = METRICS[name].higher_is_better
    if better is None:
        # what needs no targets, or compares members, says nothing of good and bad
        assert METRICS[name].needs in (("logits_NC",), *_OF_MEMBERS)
        return
    assert (_value(name, *GOOD) > _value(name, *BAD)) is better


@pytest.mark.parametrize("name", METRICS)
def test_inputs_are_left_alone(name):
    logits, targets = members(3, 20, 4, 5)
    if METRICS[name].needs[0] == "logits_NC":
        logits = logits[0]
    before = logits.clone(), targets.clone()
    _value(name, logits, targets)
    assert torch.equal(logits, before[0])
    assert torch.equal(targets, before[1])


def test_every_public_name_exists():
    assert sorted(dale.metrics.__all__) == sorted(set(dale.metrics.__all__))
    assert all(hasattr(dale.metrics, name) for name in dale.metrics.__all__)
    check_shape(torch.zeros(1, 2), "logits_NC")
