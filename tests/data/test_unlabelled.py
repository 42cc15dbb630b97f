"""Training examples whose labels are hidden, or were never there."""

import numpy as np
import pytest
import torch
from PIL import Image

from dale.data import Joined, augmentation, from_arrays, load
from dale.errors import DataError

X = torch.arange(240.0).reshape(60, 4)
Y = torch.arange(60) % 3


def made(**settings):
    return from_arrays({"train": (X, Y)}, val=6, test=6, **settings)


def values(split):
    """The first feature of each example, before it was normalised: who it is."""
    first = split.batch(torch.arange(len(split)))[:, 0]
    scale, shift = split.scaling.affine
    return set(((first - shift[0]) / scale[0]).round().int().tolist())


@pytest.mark.parametrize("labelled", [9, 0.2, 12])
def test_hidden_labels_leave_all_else_as_it_was(labelled):
    whole, part = made(), made(labelled=labelled)
    count = labelled if isinstance(labelled, int) else round(0.2 * 48)
    assert len(part.splits["train"]) == count
    assert part.examples == whole.examples == 48
    assert part.unlabelled is not None
    assert whole.unlabelled is None
    assert part.unlabelled.targets_N.unique().tolist() == [-1]
    found = values(part.splits["train"]), values(part.unlabelled)
    assert found[0] | found[1] == values(whole.splits["train"])
    assert not found[0] & found[1]
    for name in ("val", "test"):  # and with them the normalisation
        assert part.splits[name].digest() == whole.splits[name].digest()
    counts = part.splits["train"].targets_N.bincount()
    assert counts.max() - counts.min() <= 1


def test_which_labels_are_kept_is_up_to_the_seed():
    assert values(made(labelled=9).splits["train"]) == values(
        made(labelled=9).splits["train"]
    )
    other = made(labelled=9, seed=1).splits["train"]
    assert values(made(labelled=9).splits["train"]) != values(other)


def test_as_many_labels_as_there_are_hide_none():
    assert made(labelled=48).unlabelled is None


def test_a_limit_keeps_both_kinds():
    data = made(train_limit=30, labelled=9)
    assert (data.examples, len(data.splits["train"])) == (30, 9)


@pytest.mark.parametrize(
    ("labelled", "words"),
    [
        (0, "size of labelled is 0"),
        (2, "labelled 2 left no training example of class"),
        (49, "labelled is 49; expected at most 48, as many training examples have a"),
    ],
)
def test_too_few_labels_or_too_many_are_refused(labelled, words):
    with pytest.raises(DataError, match=words):
        made(labelled=labelled)


def test_labels_that_were_never_there():
    targets = torch.where(torch.arange(60) % 5 == 0, -1, Y)
    data = from_arrays({"train": (X, targets)}, val=6, test=6, labelled="known")
    assert data.unlabelled is not None
    assert len(data.unlabelled) == 12
    assert values(data.unlabelled) == {4 * i for i in range(0, 60, 5)}
    for split in data.splits.values():
        assert split.targets_N.min() == 0
    with pytest.raises(DataError, match="labelled: known takes -1 for no label"):
        from_arrays({"train": (X, targets)})
    arrays = {"train": (X, targets), "val": (X, targets)}
    with pytest.raises(DataError, match="targets of val has class -1"):
        from_arrays(arrays, labelled="known")
    with pytest.raises(DataError, match="no training example has a label"):
        from_arrays({"train": (X, torch.full((60,), -1))}, labelled="known")


def test_archives_and_functions_may_leave_labels_out(tmp_path):
    targets = np.where(np.arange(60) % 5 == 0, -1, Y.numpy())
    np.savez(tmp_path / "x.npz", x=X.numpy(), y=targets)
    data = load("npz", path=tmp_path / "x.npz", labelled="known")
    assert data.unlabelled is not None
    assert len(data.unlabelled) == 12
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def make():\n"
        "    rows = torch.arange(60)\n"
        "    targets = torch.where(rows % 5 == 0, -1, rows % 3)\n"
        "    return {'train': (torch.rand(60, 4), targets)}\n"
    )
    function = f"{tmp_path / 'mine.py'}:make"
    data = load("factory", function=function, labelled="known")
    assert data.unlabelled is not None
    assert len(data.unlabelled) == 12
    with pytest.raises(DataError, match="has class -1"):
        load("factory", function=function)


def test_a_folder_of_images_without_labels(tmp_path):
    for place, count in (("train/cat", 8), ("train/dog", 8), ("unlabelled", 5)):
        (tmp_path / place).mkdir(parents=True)
        for index in range(count):
            Image.new("L", (4, 4), 10 * index).save(tmp_path / place / f"{index}.png")
    data = load("images", path=tmp_path, val=2, test=2)
    assert data.unlabelled is not None
    assert (data.examples, len(data.unlabelled)) == (17, 5)
    assert len(load("images", path=tmp_path, labelled=4).splits["train"]) == 4
    (tmp_path / "unlabelled" / "deeper").mkdir()
    (tmp_path / "unlabelled" / "0.png").rename(tmp_path / "unlabelled/deeper/0.png")
    with pytest.raises(DataError, match=r"deeper/0\.png lies in a folder"):
        load("images", path=tmp_path)


def test_joined_is_both_in_any_order():
    data = load("digits", labelled=100)
    assert data.unlabelled is not None
    joined = Joined(data.splits["train"], data.unlabelled)
    assert len(joined) == 1079
    assert (joined.targets_N == -1).sum() == 979
    order = torch.randperm(1079, generator=torch.Generator().manual_seed(0))
    whole = torch.cat(
        [
            part.batch(torch.arange(len(part)))
            for part in (joined.labelled, joined.unlabelled)
        ]
    )
    assert torch.equal(joined.batch(order[:77]), whole[order[:77]])
    few = joined.subset(order[:50])
    assert len(few) == 50
    assert few.labelled_count == (order[:50] < 100).sum()
    assert (
        len({joined.digest(), few.digest(), joined.subset(order[50:99]).digest()}) == 3
    )
    draws = [torch.Generator().manual_seed(3) for _ in range(2)]
    augment = augmentation(crop=2)
    first, again = (joined.batch(order[:77], augment, draw) for draw in draws)
    assert torch.equal(first, again)
    assert not torch.equal(first, joined.batch(order[:77]))
