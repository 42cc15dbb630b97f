import pytest
import torch

import reference.data as slow
from dale.data import make_splits
from dale.data.splits import quotas
from dale.errors import DataError

TARGETS = torch.arange(100) % 4


def test_parts_are_disjoint_and_cover_everything():
    parts = make_splits(TARGETS, {"test": 20, "val": 0.1})
    assert [len(part) for part in parts.values()] == [20, 10, 70]
    assert torch.cat(list(parts.values())).sort().values.tolist() == list(range(100))
    for part in parts.values():
        assert torch.equal(part, part.sort().values)


def test_classes_keep_their_share():
    targets = torch.tensor([0] * 70 + [1] * 20 + [2] * 10)
    parts = make_splits(targets, {"val": 20})
    assert targets[parts["val"]].bincount().tolist() == [14, 4, 2]


def test_a_later_split_changes_no_earlier_one():
    one = make_splits(TARGETS, {"test": 20})
    two = make_splits(TARGETS, {"test": 20, "val": 0.3})
    assert torch.equal(one["test"], two["test"])


def test_depends_on_the_seed_alone():
    torch.manual_seed(1)
    one = make_splits(TARGETS, {"val": 20}, seed=3)["val"]
    torch.manual_seed(2)
    assert torch.equal(one, make_splits(TARGETS, {"val": 20}, seed=3)["val"])
    assert not torch.equal(one, make_splits(TARGETS, {"val": 20}, seed=4)["val"])


def test_a_class_of_one_stays_in_training():
    targets = torch.tensor([0] * 30 + [1])
    assert 30 in make_splits(targets, {"test": 3, "val": 3})["train"].tolist()


def test_a_class_of_three_is_in_all_three():
    targets = torch.tensor([0] * 90 + [1] * 3)
    parts = make_splits(targets, {"test": 0.1, "val": 0.1})
    assert all(1 in targets[part].tolist() for part in parts.values())


@pytest.mark.parametrize(
    ("counts", "total"), [([60, 30, 10], 17), ([7, 7, 7], 10), ([100, 50, 25], 60)]
)
def test_quotas_are_largest_remainders_where_no_class_is_small(counts, total):
    assert quotas(counts, total) == slow.hamilton(counts, total)


@pytest.mark.parametrize(
    ("counts", "total", "expected"),
    [
        ([97, 2, 1], 10, [9, 1, 0]),  # a small class gives one, a single one stays
        ([5, 5, 5], 2, [1, 1, 0]),  # fewer places than classes
        ([2, 2], 3, [2, 1]),  # more places than can be spared
        ([3], 1, [1]),
        ([], 0, []),
    ],
)
def test_quotas_at_the_edges(counts, total, expected):
    assert quotas(counts, total) == expected


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"val": 0}, "the size of val is 0; expected at least 1"),
        ({"val": -3}, "the size of val is -3"),
        ({"val": True}, "the size of val is True"),
        ({"val": 1.0}, r"the share of val is 1.0; expected a value in \(0, 1\)"),
        ({"val": 100}, r"\{'val': 100\} leave no training example of 100"),
        ({"val": 60, "test": 40}, "leave no training example"),
    ],
)
def test_wrong_sizes(sizes, message):
    with pytest.raises(DataError, match=message):
        make_splits(TARGETS, sizes)
