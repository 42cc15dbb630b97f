import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from cases.data import write_factory
from dale.data import load
from dale.data.assemble import check_classes
from dale.data.factory import _targets
from dale.data.readers import DatasetReader, read_item
from dale.errors import DataError


class Items:
    """A map-style dataset of given items."""

    def __init__(self, items, targets=None):
        self.items = items
        if targets is not None:
            self.targets = targets

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def test_arrays_with_arguments(tmp_path):
    settings = write_factory(tmp_path)
    data = load("factory", args={"n": 30}, val=3, test=6, **settings)
    assert [len(split) for split in data.splits.values()] == [21, 3, 6]
    assert data.shape == (5,)


def test_datasets_read_the_same_as_their_arrays(tmp_path):
    data = load("factory", **write_factory(tmp_path, "datasets"))
    assert [len(split) for split in data.splits.values()] == [54, 6, 12]
    assert data.shape == (2, 4, 4)
    train = data.splits["train"]
    held = train.reader.dataset.tensors
    assert torch.equal(train.reader.take(torch.tensor([7, 3])), held[0][[7, 3]])
    assert torch.equal(train.targets_N, held[1][train.rows_N])


def test_a_data_is_taken_as_it_is(tmp_path):
    data = load("factory", **write_factory(tmp_path, "data"))
    assert data.name == "digits"


def test_relative_files_and_modules_beside_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "helper_of_dale.py").write_text("COUNT = 30\n")
    code = (
        "import torch\nfrom helper_of_dale import COUNT\n"
        "def make():\n"
        "    return {'train': (torch.rand(COUNT, 2), torch.arange(COUNT) % 2)}\n"
    )
    (tmp_path / "beside_of_dale.py").write_text(code)
    for place in ("beside_of_dale.py", "beside_of_dale"):
        data = load("factory", function=f"{place}:make")
        assert sum(len(split) for split in data.splits.values()) == 30


@pytest.mark.parametrize(
    ("value", "shape", "dtype"),
    [
        (Image.new("L", (4, 6), 7), (1, 6, 4), torch.uint8),
        (Image.new("RGB", (4, 6)), (3, 6, 4), torch.uint8),
        (Image.new("P", (4, 6)), (3, 6, 4), torch.uint8),
        (np.zeros(5), (5,), torch.float32),
        (torch.zeros(2, 3, 4, dtype=torch.float64), (2, 3, 4), torch.float32),
        ([1, 2, 3], (3,), torch.float32),
    ],
)
@pytest.mark.parametrize("target", [1, np.int64(1), torch.tensor(1)])
def test_items(value, shape, dtype, target):
    tensor, found = read_item([(value, target)], 0, "d")
    assert (tuple(tensor.shape), tensor.dtype, found) == (shape, dtype, 1)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ((torch.zeros(4, 4), 0), r"item 0 has shape \(4, 4\); expected \(channels"),
        ((torch.zeros(0), 0), r"item 0 has shape \(0,\)"),
        ((torch.tensor([1.0, np.nan]), 0), "item 0 has NaN or infinite values"),
        ((torch.zeros(2), 0.5), "item 0 has target 0.5; expected a whole number$"),
        (
            (torch.zeros(2), 2.0),
            "target 2.0; expected a whole number: convert with int",
        ),
        ((torch.zeros(2), "cat"), "item 0 has target 'cat'"),
        ((torch.zeros(2), True), "item 0 has target True"),
        ((torch.zeros(2),), "item 0 cannot be read: IndexError"),
        ((torch.zeros(2) + 1j, 0), "item 0 cannot be read: TypeError: complex"),
        (("text", 0), "item 0 cannot be read"),
    ],
)
def test_wrong_items(item, message):
    with pytest.raises(DataError, match=message):
        read_item([item], 0, "d")


def test_wrong_datasets():
    with pytest.raises(DataError, match="d is int; expected a map-style dataset"):
        DatasetReader.of(3, "d")
    with pytest.raises(DataError, match="d is empty"):
        DatasetReader.of([], "d")

    class Random(Items):
        def __getitem__(self, index):
            return torch.rand(3), 0

    with pytest.raises(DataError, match="item 0 differs between two readings"):
        DatasetReader.of(Random([0]), "d")
    uneven = Items([(torch.zeros(2), 0), (torch.zeros(3), 0)])
    reader = DatasetReader.of(uneven, "d")
    with pytest.raises(DataError, match=r"item 1 has shape \(3,\) and type"):
        reader.take(torch.tensor([0, 1]))


def test_own_list_of_targets_is_used_where_it_agrees():
    class Slow(Items):
        read = 0

        def __getitem__(self, index):
            self.read += 1
            return super().__getitem__(index)

    items = [(torch.zeros(2), i % 3) for i in range(50)]
    dataset = Slow(items, [i % 3 for i in range(50)])
    assert torch.as_tensor(_targets(dataset, "d")).tolist() == [
        i % 3 for i in range(50)
    ]
    assert dataset.read == 3


def test_own_list_of_targets_is_not_trusted_where_items_differ():
    items = [(torch.zeros(2), 1) for _ in range(5)]
    assert _targets(Items(items, [0] * 5), "d").tolist() == [1] * 5
    assert _targets(Items(items, [1] * 4), "d").tolist() == [1] * 5


def test_digest_follows_the_items():
    def digest(x):
        return DatasetReader.of(TensorDataset(x, torch.zeros(3).long()), "d").contents(
            torch.arange(3)
        )

    pieces = [b"".join(map(bytes, digest(torch.eye(3) * k))) for k in (1, 1, 2)]
    assert pieces[0] == pieces[1] != pieces[2]


@pytest.mark.parametrize(
    ("function", "args", "message"),
    [
        ("mine", None, "'mine' names no function; expected 'module:function'"),
        ("{}/none.py:f", None, r"cannot import .*none\.py'.*no such file"),
        ("no_such_module_here:f", None, "cannot import 'no_such_module_here': Module"),
        ("{}/mine.py:arays", None, r"has no function 'arays'; did you mean 'arrays'\?"),
        (
            "{}/mine.py:arrays",
            {"m": 1},
            r"mine\.py:arrays takes other settings: got an",
        ),
        ("{}/mine.py:fails", None, r"mine\.py:fails failed: RuntimeError: no disk$"),
        ("{}/mine.py:nothing", None, r"mine\.py:nothing returned int; expected a Data"),
    ],
)
def test_wrong_functions(tmp_path, function, args, message):
    write_factory(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        load("factory", function=function.format(tmp_path), args=args)
    assert "\n" not in str(caught.value)


def test_wrong_mappings(tmp_path):
    (tmp_path / "a.py").write_text("def make(value):\n    return value\n")

    def made(value):
        load("factory", function=f"{tmp_path}/a.py:make", args={"value": value})

    x, y = torch.rand(9, 2), torch.arange(9) % 3
    with pytest.raises(DataError, match=r"has no training split; it has \['test'\]"):
        made({"test": (x, y)})
    with pytest.raises(DataError, match="splits named dev; expected train, val, test"):
        made({"train": (x, y), "dev": (x, y)})
    with pytest.raises(DataError, match=r"a\.py:make: train targets has shape \(8,\)"):
        made({"train": (x, y[:-1])})
    with pytest.raises(DataError, match=r"a\.py:make: train is int; expected a map"):
        made({"train": 3})
    with pytest.raises(DataError, match=r"\(all are .* convert with \.long\(\)\)$"):
        made({"train": (x, y.float())})
    gap = r"a\.py:make: class 0 has no training example, where targets go from 1 to 3"
    with pytest.raises(DataError, match=gap):
        made({"train": (x, y + 1)})
    with pytest.raises(DataError, match=gap):
        made({"train": TensorDataset(x, y + 1), "test": TensorDataset(x, y + 1)})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([0, 2], "class 1 has no training example, where targets go from 0 to 2"),
        ([0, 1], "class 2 has no training example, where targets go from 0 to 1"),
    ],
)
def test_a_data_that_lacks_a_class_is_refused(tmp_path, rows, message):
    code = f"""
from dataclasses import replace
import torch
from dale.data import from_arrays

def make():
    x, y = torch.rand(30, 2), torch.arange(30) % 3
    data = from_arrays({{"train": (x, y), "val": (x, y), "test": (x, y)}})
    train = data.splits["train"].subset(torch.tensor({rows}))
    return replace(data, splits={{**data.splits, "train": train}})
"""
    (tmp_path / "a.py").write_text(code)
    with pytest.raises(DataError, match=message):
        load("factory", function=f"{tmp_path}/a.py:make")


def test_a_data_with_a_class_too_many_is_refused():
    with pytest.raises(DataError, match="d: train has class 2; expected 0 to 1"):
        check_classes("d", torch.tensor([0, 1, 2]), 2)
