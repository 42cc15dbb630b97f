import pytest
import torch

import reference.metrics as slow
from cases.metrics import members
from dale.errors import InputError
from dale.metrics import (
    disagreement_MM,
    error,
    mean_disagreement,
    normalised_disagreement,
)

CASES = [(1, 5, 3), (2, 40, 2), (6, 100, 7), (3, 1, 2)]


@pytest.mark.parametrize(("m", "n", "classes"), CASES)
def test_the_matrix_equals_loops_exactly(m, n, classes):
    logits, _ = members(m, n, classes, 0)
    ours = disagreement_MM(logits)
    assert ours.dtype == torch.float64
    assert (ours.numpy() == slow.disagreement_MM(logits)).all()


def test_ties_are_not_disagreement():
    logits = torch.tensor([[[1.0, 1.0, 0.0]], [[2.0, 1.0, 1.0]]])
    assert disagreement_MM(logits)[0, 1] == 0.0


def test_one_member_disagrees_with_nobody_but_has_no_mean():
    logits, targets = members(1, 5, 3, 0)
    assert disagreement_MM(logits).tolist() == [[0.0]]
    with pytest.raises(InputError, match="M >= 2 members to compare, got 1"):
        mean_disagreement(logits)
    with pytest.raises(InputError, match="M >= 2"):
        normalised_disagreement(logits, targets)


def test_perfect_members_have_no_normalised_disagreement():
    targets = torch.tensor([0, 1, 2])
    logits = torch.eye(3).repeat(4, 1, 1)
    assert normalised_disagreement(logits, targets) == 0.0


def test_disjoint_errors_reach_the_upper_bound():
    targets = torch.zeros(6).long()
    logits = torch.zeros(3, 6, 2)
    for member in range(3):
        logits[member, member, 1] = 1.0  # each errs on one example of its own
    assert normalised_disagreement(logits, targets) == pytest.approx(2.0)


def test_normalised_by_the_mean_error():
    logits, targets = members(4, 80, 3, 7)
    errors = [error(member, targets) for member in logits]
    expected = mean_disagreement(logits) / (sum(errors) / 4)
    assert normalised_disagreement(logits, targets) == pytest.approx(expected)


def test_wrong_input_is_refused():
    logits, targets = members(2, 5, 3, 0)
    with pytest.raises(InputError, match="3 axes"):
        disagreement_MM(logits[0])
    with pytest.raises(InputError, match=r"classes in \[0, 3\)"):
        normalised_disagreement(logits, targets + 3)
