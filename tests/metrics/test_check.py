import pytest
import torch

from cases.metrics import BAD_INPUTS, PROBLEMS, members
from dale.errors import InputError
from dale.metrics import METRICS, blocks, check, checked, checked_members
from dale.metrics.check import checked_logits

ON_ONE = {
    name: row
    for name, row in METRICS.items()
    if row.needs == ("logits_NC", "targets_N")
}


@pytest.mark.parametrize("name", ON_ONE)
@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [case[1:] for case in BAD_INPUTS],
    ids=[case[0] for case in BAD_INPUTS],
)
def test_every_metric_refuses_bad_input(name, logits, targets, message):
    with pytest.raises(InputError, match=message):
        ON_ONE[name].function(logits, targets)


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_checked_returns_the_values_detached(problem):
    logits, targets = checked(
        problem.logits_NC.clone().requires_grad_(), problem.targets_N
    )
    assert not logits.requires_grad
    assert torch.equal(logits, problem.logits_NC)
    assert targets.dtype == torch.int64
    assert torch.equal(targets, problem.targets_N.long())


def test_a_bad_member_is_named():
    logits, targets = members(3, 5, 4, 0)
    logits[2, 1, 0] = torch.nan
    with pytest.raises(InputError, match=r"member 2, example 1: .* got NaN"):
        checked_members(logits, targets)


def test_members_need_three_axes_and_fitting_targets():
    logits, targets = members(3, 5, 4, 0)
    with pytest.raises(InputError, match=r"logits_MNC: expected 3 axes \(M, N, C\)"):
        checked_members(logits[0], targets)
    with pytest.raises(InputError, match=r"logits_MNC: expected M >= 1"):
        checked_members(logits[:0])
    with pytest.raises(InputError, match=r"targets_N: expected shape \(5,\)"):
        checked_members(logits, targets[:4])


def test_blocks_are_bounded_and_cover_everything(monkeypatch):
    monkeypatch.setattr(check, "_BLOCK_ELEMENTS", 12)
    logits, targets = torch.randn(10, 5), torch.arange(10)
    parts = list(blocks(logits, targets))
    assert max(part.numel() for part, _ in parts) <= 12
    assert torch.equal(torch.cat([part for part, _ in parts]), logits.double())
    assert torch.equal(torch.cat([labels for _, labels in parts]), targets)


def test_a_row_wider_than_a_block_is_still_one_block(monkeypatch):
    monkeypatch.setattr(check, "_BLOCK_ELEMENTS", 3)
    assert [len(part) for part, _ in blocks(torch.zeros(2, 5))] == [1, 1]


@pytest.mark.parametrize("name", ON_ONE)
def test_the_size_of_the_blocks_does_not_matter(name, monkeypatch):
    problem = PROBLEMS[0]
    whole = ON_ONE[name].function(problem.logits_NC, problem.targets_N)
    monkeypatch.setattr(check, "_BLOCK_ELEMENTS", 35)
    assert ON_ONE[name].function(problem.logits_NC, problem.targets_N) == whole


def test_checked_logits_takes_no_targets():
    assert torch.equal(checked_logits(torch.zeros(2, 3)), torch.zeros(2, 3))
    with pytest.raises(InputError, match="example 0"):
        checked_logits(torch.full((2, 3), torch.nan))
