import pytest
import torch

from dale.data import hold_out_classes, resample_priors
from dale.errors import DataError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


TARGETS = torch.arange(1000) % 3  # 334, 333 and 333


@pytest.mark.parametrize("priors", [[1, 1, 1], [0.7, 0.2, 0.1], [5, 0, 1], [0, 0, 1]])
def test_has_the_shares_and_cannot_be_larger(priors):
    chosen = resample_priors(TARGETS, priors, seeded())
    counts = torch.bincount(TARGETS[chosen], minlength=3)
    shares = torch.tensor(priors, dtype=torch.float64) / sum(priors)
    assert ((counts - len(chosen) * shares).abs() < 1).all()
    room = torch.bincount(TARGETS) - (len(chosen) + 1) * shares
    assert bool((room < 0).any())
    assert len(chosen.unique()) == len(chosen)
    assert torch.equal(chosen, chosen.sort().values)


def test_equal_shares_of_equal_classes_keep_everything():
    targets = torch.arange(30) % 3
    chosen = resample_priors(targets, [0.1, 0.1, 0.1], seeded())
    assert torch.equal(chosen, torch.arange(30))


def test_who_is_chosen_is_drawn():
    one, other = (resample_priors(TARGETS, [8, 1, 1], seeded(s)) for s in (0, 1))
    assert torch.equal(one, resample_priors(TARGETS, torch.tensor([8, 1, 1]), seeded()))
    assert not torch.equal(one, other)
    times = torch.zeros(1000)
    for seed in range(200):
        times[resample_priors(TARGETS, [8, 1, 1], seeded(seed))] += 1
    assert bool((times[TARGETS == 0] == 200).all())
    rare = times[TARGETS == 1] / 200
    assert float(rare.mean()) == pytest.approx(41 / 333, abs=0.01)
    assert float((rare - rare.mean()).abs().max()) < 0.12  # 5 standard deviations


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ([1.0], r"priors_C is \[1.0\]; expected at least 2 shares"),
        ([1.0, -1.0, 1.0], "expected at least 2 shares >= 0"),
        ([0, 0, 0], "expected a positive sum"),
        ([1, 1], "2 shares; the targets lie between 0 and 2"),
        ([1, 1, 1, 1], r"no example of the classes \[3\]"),
    ],
)
def test_impossible_shares_are_refused(priors, message):
    with pytest.raises(DataError, match=message):
        resample_priors(TARGETS, priors, seeded())


def test_held_out_classes_are_a_partition_with_labels_from_0():
    targets = torch.tensor([4, 0, 1, 2, 3, 4, 1])
    parts = hold_out_classes(targets, [1, 3])
    assert parts.classes == (0, 2, 4)
    assert parts.known_N.tolist() == [0, 1, 3, 5]
    assert parts.novel_N.tolist() == [2, 4, 6]
    names = torch.tensor(parts.classes)[parts.known_targets_N]
    assert torch.equal(names, targets[parts.known_N])


def test_a_class_that_does_not_occur_may_be_held_out():
    parts = hold_out_classes(torch.tensor([0, 1]), [2], classes=4)
    assert parts.classes == (0, 1, 3)
    assert parts.novel_N.tolist() == []


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        ([], r"held_out is \[\]; expected different classes"),
        ([1, 1], "expected different classes"),
        ([3, -1], r"held_out names \[-1, 3\]; the classes are 0 to 2"),
        ([0, 1], "1 of 3 classes stay known; expected 2 or more"),
    ],
)
def test_impossible_classes_are_refused(held_out, message):
    with pytest.raises(DataError, match=message):
        hold_out_classes(TARGETS, held_out)
