import numpy as np
import pytest
import torch

from dale.data import load
from dale.errors import DataError

X, Y = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3


def written(tmp_path, **arrays):
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    return path


def test_given_splits_are_kept_in_order(tmp_path):
    path = written(
        tmp_path,
        x_train=X,
        y_train=Y,
        x_val=X[:6],
        y_val=Y[:6],
        x_test=X[6:9],
        y_test=Y[6:9],
    )
    splits = load("npz", path=path).splits
    assert [len(split) for split in splits.values()] == [30, 6, 3]
    values = splits["test"].reader.values
    assert np.array_equal(values.numpy(), X[6:9].astype(np.float32))


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((30, 7), None, (7,)),
        ((30, 7), "NF", (7,)),
        ((30, 8, 6), None, (1, 8, 6)),
        ((30, 8, 6), "NHW", (1, 8, 6)),
        ((30, 3, 8, 6), None, (3, 8, 6)),
        ((30, 3, 8, 6), "NCHW", (3, 8, 6)),
        ((30, 8, 6, 3), "NHWC", (3, 8, 6)),
        ((30, 8, 6, 3), "NCHW", (8, 6, 3)),
        ((30, 8, 6, 13), None, (8, 6, 13)),
    ],
)
def test_layouts(tmp_path, shape, layout, expected):
    path = written(tmp_path, x=np.random.default_rng(0).random(shape), y=Y)
    assert load("npz", path=path, layout=layout).shape == expected


def test_channels_last_are_moved_not_reshaped(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (30, 4, 5, 3), dtype=np.uint8)
    data = load("npz", path=written(tmp_path, x=images, y=Y), layout="NHWC")
    values = data.splits["train"].reader.values
    assert values.dtype == torch.uint8
    assert np.array_equal(values.numpy(), images.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("dtype", ["u1", "i2", ">i4", "f2", ">f8", "?"])
def test_every_real_type_is_read(tmp_path, dtype):
    values = (np.arange(120).reshape(30, 4) % 7).astype(dtype)
    data = load("npz", path=written(tmp_path, x=values, y=Y.astype(">i2")))
    held = data.splits["train"].reader.values
    assert held.dtype == (torch.uint8 if dtype == "u1" else torch.float32)
    assert np.array_equal(held.numpy(), values.astype(np.float32))


def nan():
    bad = X.copy()
    bad[4, 2] = np.nan
    return bad


def infinite():
    bad = X.copy()
    bad[5, 0] = np.inf
    return bad


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": nan(), "y": Y}, "inputs of train has NaN or infinite .* row 4"),
        ({"x": infinite(), "y": Y}, "NaN or infinite values, first in row 5"),
        ({"x": X, "y": Y[:-1]}, r"has shape \(29,\); expected \(30,\), one class"),
        ({"x": X, "y": Y[:, None]}, r"has shape \(30, 1\); expected \(30,\)"),
        ({"x": X, "y": Y + 0.5}, "type torch.float64; expected integer classes$"),
        (
            {"x": X, "y": Y.astype(float)},
            r"expected integer classes \(all are .* convert with \.astype\(int\)\)$",
        ),
        ({"x": X, "y": Y.astype(str)}, "type text; expected integer classes$"),
        (
            {"x": X, "y": Y + 1},
            "class 0 has no training example, where targets go from 1 to 3; expected "
            "classes 0 to C-1, each with at least one training example$",
        ),
        ({"x": X, "y": Y * 2}, "class 1 has no training example, where .* 0 to 4"),
        ({"x": X, "y": Y * 10**15}, "class 1 has no training example"),
        (
            {"x": X[:3], "y": Y[:3]},
            r"test and val left no .* of class '\d' but 1 of 3 ",
        ),
        ({"x": X, "y": Y == 1}, "type torch.bool; expected integer classes"),
        ({"x": X, "y": Y - 1}, "has class -1; expected 0 or more"),
        ({"x": X + 1j, "y": Y}, "type complex128; expected real numbers"),
        ({"x": X.astype(str), "y": Y}, "type text; expected real numbers"),
        ({"x": X[:0], "y": Y[:0]}, "expected at least one example"),
        ({"x": X[:, :0], "y": Y}, "expected at least one value in each example"),
        ({"x": X[:, 0], "y": Y}, r"shape \(30,\); expected 2, 3 or 4 axes"),
        ({"x": X, "z": Y}, "holds x, z; expected x_train, y_train"),
        ({"x_test": X, "y_test": Y}, "holds x_test, y_test; expected x_train"),
        ({"x": X, "y": Y, "x_train": X, "y_train": Y}, "or x and y alone"),
        ({"x_train": X}, "holds x_train; expected"),
        ({}, "holds nothing; expected"),
        (
            {"x_train": X, "y_train": Y, "x_test": X[:, :3], "y_test": Y},
            r"inputs of test have shape \(3,\); expected \(4,\) as in train",
        ),
        (
            {"x_train": X, "y_train": Y % 2, "x_test": X, "y_test": Y},
            "test has class 2; expected 0 to 1",
        ),
        (
            {"x_train": X, "y_train": Y // 2 * 2, "x_test": X, "y_test": Y},
            "test has class '1', which train lacks",
        ),
        (
            {"x": np.zeros((30, 8, 8, 3)), "y": Y},
            "as NCHW it would have 8 channels; say layout='NHWC' or",
        ),
    ],
)
def test_wrong_archives(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message):
        load("npz", path=written(tmp_path, **arrays))


def test_wrong_layout_and_range(tmp_path):
    path = written(tmp_path, x=X, y=Y)
    with pytest.raises(DataError, match="layout NHWC has 4 axes"):
        load("npz", path=path, layout="NHWC")
    with pytest.raises(DataError, match="train has class 2; expected 0 to 1"):
        load("npz", path=path, class_names=("a", "b"))
    with pytest.raises(DataError, match="class 3 has no training example"):
        load("npz", path=path, class_names=tuple("abcd"))
    with pytest.raises(DataError, match="class_names has 'a' more than once"):
        load("npz", path=path, class_names=tuple("aba"))
    with pytest.raises(DataError, match="1 classes with 1 names"):
        load("npz", path=written(tmp_path, x=X, y=Y * 0))


def test_pickles_are_refused(tmp_path):
    path = written(tmp_path, x=X, y=np.array([{}] * 30, dtype=object))
    with pytest.raises(DataError, match=r"y holds Python objects; expected an array"):
        load("npz", path=path)
    path.write_text("x_train, y_train")
    with pytest.raises(DataError, match=r"data\.npz: it is no NumPy archive$"):
        load("npz", path=path)


def test_limit_that_drops_a_class_is_blamed(tmp_path):
    x, y = np.zeros((60, 4)), np.arange(60) % 3
    path = written(tmp_path, x_train=x, y_train=y, x_val=x, y_val=y)
    with pytest.raises(
        DataError,
        match=r"train_limit 1 left no training example of class '\d' but 1 of 60 in "
        "all; expected at least one of each of the 3 classes$",
    ):
        load("npz", path=path, train_limit=1)
    kept = load("npz", path=path, train_limit=3).splits["train"].targets_N
    assert kept.sort().values.tolist() == [0, 1, 2]


def test_other_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="no file nowhere"):
        load("npz", path="nowhere")
    path = tmp_path / "a.npy"
    np.save(path, X)
    with pytest.raises(DataError, match=r"a\.npy holds one array; expected a \.npz"):
        load("npz", path=path)
    good = written(tmp_path, x=X, y=Y)
    good.write_bytes(good.read_bytes()[:200])
    with pytest.raises(DataError, match=r"cannot read .*data\.npz"):
        load("npz", path=good)
    good.write_bytes(b"")
    with pytest.raises(DataError, match=r"cannot read .*data\.npz"):
        load("npz", path=good)
