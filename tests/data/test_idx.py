import gzip

import numpy as np
import pytest
import torch

from cases.data import idx_bytes, write_idx
from dale.data import load
from dale.data.idx import read_idx
from dale.errors import DataError

IMAGES = "train-images-idx3-ubyte"
LABELS = "train-labels-idx1-ubyte.gz"


@pytest.fixture
def folder(tmp_path):
    write_idx(tmp_path)
    return tmp_path


@pytest.mark.parametrize("shape", [(3,), (2, 5), (2, 3, 4)])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_reads_what_was_written(tmp_path, shape, ending):
    array = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    content = idx_bytes(array)
    path = tmp_path / f"file{ending}"
    path.write_bytes(gzip.compress(content) if ending else content)
    assert np.array_equal(read_idx(path, len(shape)).numpy(), array)


def test_t10k_files_are_the_test_split_in_order(folder):
    data = load("idx", path=folder)
    assert data.splits["test"].targets_N.tolist() == [i % 4 for i in range(20)]
    assert data.shape == (1, 6, 5)
    raw = read_idx(folder / "t10k-images-idx3-ubyte", 3)
    assert torch.equal(data.splits["test"].reader.values[:, 0], raw)


@pytest.mark.parametrize(("val", "expected"), [(0.2, 12), (8, 8)])
def test_validation_is_carved_from_training(folder, val, expected):
    splits = load("idx", path=folder, val=val).splits
    assert (len(splits["val"]), len(splits["train"])) == (expected, 60 - expected)
    assert splits["val"].targets_N.bincount().unique().numel() == 1


def test_train_limit_keeps_a_stratified_part_and_leaves_the_rest_alone(folder):
    whole, part = load("idx", path=folder), load("idx", path=folder, train_limit=20)
    assert part.splits["train"].targets_N.bincount().tolist() == [5, 5, 5, 5]
    rows = {name: set(split.rows_N.tolist()) for name, split in whole.splits.items()}
    assert set(part.splits["train"].rows_N.tolist()) < rows["train"]
    assert set(part.splits["val"].rows_N.tolist()) == rows["val"]
    again = load("idx", path=folder, train_limit=20)
    assert torch.equal(part.splits["train"].rows_N, again.splits["train"].rows_N)


def test_train_limit_above_the_number_keeps_all(folder):
    assert len(load("idx", path=folder, train_limit=1000).splits["train"]) == 54


def test_class_names(folder):
    names = ("a", "b", "c", "d")
    assert load("idx", path=folder, class_names=names).class_names == names
    with pytest.raises(DataError, match="train has class 3; expected 0 to 2"):
        load("idx", path=folder, class_names=names[:3])


def damage_magic(folder):
    content = (folder / IMAGES).read_bytes()
    (folder / IMAGES).write_bytes(b"\x00\x00\x0d\x03" + content[4:])


def cut(folder):
    content = (folder / IMAGES).read_bytes()
    (folder / IMAGES).write_bytes(content[:-7])


def cut_header(folder):
    (folder / IMAGES).write_bytes((folder / IMAGES).read_bytes()[:10])


def lengthen(folder):
    (folder / IMAGES).write_bytes((folder / IMAGES).read_bytes() + b"xy")


def cut_archive(folder):
    (folder / LABELS).write_bytes((folder / LABELS).read_bytes()[:-12])


def no_archive(folder):
    (folder / LABELS).write_bytes(b"plain text")


def flip_archive(folder):
    content = bytearray((folder / LABELS).read_bytes())
    content[-6] ^= 0xFF
    (folder / LABELS).write_bytes(content)


def one_label_less(folder):
    (folder / LABELS).write_bytes(gzip.compress(idx_bytes(np.zeros(59, np.uint8))))


def empty(folder):
    (folder / IMAGES).write_bytes(idx_bytes(np.zeros((0, 6, 5), np.uint8)))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda f: (f / IMAGES).unlink(), rf"has no file {IMAGES} or {IMAGES}.gz"),
        (lambda f: (f / LABELS).unlink(), "has no file train-labels-idx1-ubyte or"),
        (damage_magic, rf"{IMAGES} starts with 00 00 0d 03; expected 00 00 08 03"),
        (cut, rf"{IMAGES} is truncated: 1793 bytes of values; expected 1800"),
        (cut_header, rf"{IMAGES} starts with 00 00 08 03; expected .* and 3 lengths"),
        (lengthen, rf"{IMAGES} is too long: 1802 bytes of values; expected 1800"),
        (cut_archive, rf"{LABELS} is truncated"),
        (no_archive, rf"cannot read .*{LABELS}: Not a gzipped file"),
        (flip_archive, rf"cannot read .*{LABELS}: CRC check failed"),
        (one_label_less, "train has 60 images and 59 labels"),
        (empty, rf"{IMAGES} is empty"),
    ],
)
def test_damaged_files_are_named(folder, harm, message):
    harm(folder)
    with pytest.raises(DataError, match=message):
        load("idx", path=folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train_limit": 0}, "train_limit is 0; expected 1 or more"),
        ({"val": 60}, "leave no training example of 60"),
    ],
)
def test_wrong_settings(folder, settings, message):
    with pytest.raises(DataError, match=message):
        load("idx", path=folder, **settings)
