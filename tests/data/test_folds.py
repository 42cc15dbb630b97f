"""Folds: a partition, with the classes' shares; groups are not divided."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dale.data import fold_size, leave_out, load, make_folds
from dale.errors import DataError

classes = st.lists(st.integers(2, 30), min_size=1, max_size=5)


@given(counts=classes, folds=st.integers(2, 8), seed=st.integers(0, 3))
def test_every_fold_has_its_share(counts, folds, seed):
    folds = min(folds, sum(counts))
    targets = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    try:
        fold_N = make_folds(targets, folds, seed)
    except DataError:
        # as many folds as examples: two of a class can be dealt to one fold
        assert folds > min(counts)
        return
    sizes = fold_N.bincount(minlength=folds).tolist()
    assert sizes == [fold_size(len(targets), folds, fold) for fold in range(folds)]
    for target in range(len(counts)):
        mine = fold_N[targets == target].bincount(minlength=folds)
        assert mine.max() - mine.min() <= 1
    assert torch.equal(make_folds(targets, folds, seed), fold_N)


@given(
    groups=st.lists(st.integers(0, 12), min_size=20, max_size=60),
    folds=st.integers(2, 4),
)
def test_groups_stay_whole(groups, folds):
    groups_N = torch.tensor(groups)
    targets = torch.arange(len(groups)) % 2
    count = len(groups_N.unique())
    try:
        fold_N = make_folds(targets, folds, groups_N=groups_N)
    except DataError:
        assert count < 2 * folds or count <= folds
        return
    for group in groups_N.unique():
        assert len(fold_N[groups_N == group].unique()) == 1
    assert len(fold_N.unique()) == folds


def test_groups_of_one_size_are_dealt_evenly():
    groups = torch.arange(12).repeat_interleave(5)
    targets = (torch.arange(60) // 5) % 3
    fold_N = make_folds(targets, 4, groups_N=groups)
    for target in range(3):
        assert fold_N[targets == target].bincount().tolist() == [5, 5, 5, 5]


def test_another_seed_gives_other_folds():
    targets = torch.arange(100) % 3
    assert not torch.equal(make_folds(targets, 5), make_folds(targets, 5, seed=1))


def test_what_is_left_out_is_the_rest():
    data = load("digits", val=800, test=896)
    fold_N = make_folds(data.splits["train"].targets_N, 3)
    everyone = data.splits["train"].batch(torch.arange(101))
    seen, held = leave_out(data, fold_N, 1)
    rest = seen.splits["train"]
    assert (len(rest), len(held)) == (101 - 34, 34)
    assert torch.equal(rest.batch(torch.arange(len(rest))), everyone[fold_N != 1])
    assert torch.equal(held.batch(torch.arange(34)), everyone[fold_N == 1])
    assert seen.splits["val"] is data.splits["val"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([0, 1], 1), "1 folds of 2 examples; expected from 2 to 2"),
        (([0, 1, 0], 4), "4 folds of 3 examples"),
        (([0, 0, 0, 1], 2), "class 1 would be missing where fold 2 of 2 is held out"),
        (([0, 1, 0, 1], 3, 0, [1, 1, 2, 2]), "3 folds of 2 groups"),
        (([0, 0, 1, 1], 2, 0, [1, 2, 3, 3]), "class 1 would be missing"),
        (([0, 1], 2, 0, [1]), "1 groups for 2 examples"),
    ],
)
def test_what_cannot_be_divided_is_one_line(arguments, said):
    targets, folds, *rest = arguments
    if len(rest) == 2:
        rest[1] = torch.tensor(rest[1])
    with pytest.raises(DataError, match=said):
        make_folds(torch.tensor(targets), folds, *rest)
