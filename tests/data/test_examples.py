import pytest
import torch

import reference.data as slow
from dale.data import augmentation, from_arrays
from dale.data.data import Data
from dale.data.examples import Examples, Scaling
from dale.data.readers import ArrayReader
from dale.errors import DataError

G = torch.Generator().manual_seed(0)
BYTES = torch.randint(0, 256, (50, 3, 5, 4), dtype=torch.uint8, generator=G)
FLOATS = torch.randn(50, 3, 5, 4, generator=G) * 3 + 1000
VECTORS = torch.randn(50, 7, generator=G)


def split_of(values, rows=None, targets=None):
    rows = torch.arange(len(values)) if rows is None else rows
    targets = torch.zeros(len(rows), dtype=torch.int64) if targets is None else targets
    reader = ArrayReader(values)
    return Examples(reader, rows, targets, Scaling(reader, rows))


@pytest.mark.parametrize("values", [BYTES, FLOATS, VECTORS])
def test_normalisation_equals_the_slow_twin(values):
    rows = torch.tensor([4, 7, 1, 30, 22, 9])
    expected = slow.normalise(values[rows], values[rows])
    # 1000 has a spacing of 6e-5 in float32, which the deviation divides
    tolerance = 1e-3 if values is FLOATS else 1e-5
    batch = split_of(values, rows).batch(torch.arange(6))
    assert torch.allclose(batch.double(), expected, atol=tolerance)


def test_statistics_do_not_cancel_far_from_zero():
    values = torch.tensor([[1e6], [1e6 + 1], [1e6 + 2], [1e6 + 3]])
    scale, _ = split_of(values).scaling.affine
    assert 1 / scale.item() == pytest.approx(1.25**0.5, rel=1e-6)


def test_a_channel_without_spread_is_only_centred():
    values = torch.tensor([[5.0, 1.0], [5.0, 3.0]])
    assert split_of(values).batch(torch.arange(2)).tolist() == [[0, -1], [0, 1]]


def test_lazy_readers_are_measured_on_evenly_spaced_rows():
    values = torch.arange(8192.0).reshape(-1, 1)
    reader = ArrayReader(values, lazy=True)
    scale, shift = Scaling(reader, torch.arange(8192)).affine
    seen = values[::2]
    assert -shift.item() / scale.item() == pytest.approx(seen.mean().item(), rel=1e-5)


def test_augmentation_acts_before_normalisation():
    split, augment = split_of(BYTES), augmentation(crop=2, flip=True)
    made = split.batch(torch.arange(50), augment, torch.Generator().manual_seed(3))
    raw = slow.crop_and_flip(BYTES, 2, 0.5, torch.Generator().manual_seed(3))
    assert torch.allclose(made.double(), slow.normalise(raw, BYTES), atol=1e-5)


def test_an_augmentation_that_returns_its_input_cannot_change_the_data():
    split = split_of(FLOATS)
    before = split.batch(torch.arange(50))
    split.batch(torch.arange(50), lambda raw, generator: raw, torch.Generator())
    assert torch.equal(split.batch(torch.arange(50)), before)


def test_augmentation_needs_a_generator():
    with pytest.raises(DataError, match="augmentation needs a generator"):
        split_of(BYTES).batch(torch.arange(2), augmentation(crop=1))


@pytest.mark.parametrize(
    "indices",
    [torch.tensor(1), torch.zeros(2, 2).long(), torch.zeros(2), torch.ones(2).bool()],
)
def test_indices_are_one_dimensional_int64(indices):
    with pytest.raises(DataError, match=r"expected a 1-D tensor of torch.int64"):
        split_of(BYTES).batch(indices)
    with pytest.raises(DataError, match=r"expected a 1-D tensor of torch.int64"):
        split_of(BYTES).subset(indices)


def digests():
    other = BYTES.clone()
    other[7, 0, 0, 0] ^= 1
    targets = torch.zeros(50, dtype=torch.int64)
    moved = targets.clone()
    moved[3] = 1
    yield "same", split_of(BYTES)
    yield "one bit of the contents", split_of(other)
    yield "one target", split_of(BYTES, targets=moved)
    yield "the order", split_of(BYTES, rows=torch.arange(49, -1, -1))
    yield "the type", split_of(BYTES.float())
    yield "the shape", split_of(BYTES.reshape(50, 3, 4, 5))
    reader = ArrayReader(BYTES)
    scaling = Scaling(reader, torch.arange(25))
    yield "the normalisation", Examples(reader, torch.arange(50), targets, scaling)


def test_everything_that_matters_changes_the_digest():
    found = {name: split.digest() for name, split in digests()}
    assert len(set(found.values())) == len(found)
    assert found["same"] == split_of(BYTES.clone()).digest()


def test_digest_is_the_same_forever():
    values = torch.arange(12, dtype=torch.uint8).reshape(3, 1, 2, 2)
    split = split_of(values, targets=torch.tensor([0, 1, 0]))
    assert split.digest() == GOLDEN


GOLDEN = "2026cd2787cbee1977bc8d80851c87f46920260d5d28523141fbdd6cd276904b"


def test_splits_share_the_arrays_memory():
    data = from_arrays({"train": (BYTES, torch.arange(50) % 2)})
    readers = {id(split.reader) for split in data.splits.values()}
    assert len(readers) == 1
    assert data.splits["train"].reader.values.data_ptr() == BYTES.data_ptr()


def test_data_refuses_wrong_splits_and_names():
    split = split_of(BYTES)
    three = {"train": split, "val": split, "test": split}
    with pytest.raises(DataError, match=r"splits are \['train'\]; expected train, val"):
        Data("d", (3, 5, 4), 2, ("a", "b"), {"train": split})
    with pytest.raises(DataError, match="2 classes with 1 names"):
        Data("d", (3, 5, 4), 2, ("a",), three)
    with pytest.raises(DataError, match="1 classes"):
        Data("d", (3, 5, 4), 1, ("a",), three)
    with pytest.raises(TypeError):
        Data("d", (3, 5, 4), 2, ("a", "b"), three).splits["train"] = split
