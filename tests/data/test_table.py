"""Every row of SOURCES, through the table."""

import inspect

import pytest
import torch

from cases.data import CASES
from dale.data import SOURCES, SPLITS, Data, load
from dale.errors import DataError


@pytest.fixture(params=SOURCES)
def case(request, tmp_path):
    return request.param, CASES[request.param](tmp_path)


def everything(split):
    return split.batch(torch.arange(len(split)))


def test_every_source_has_a_case():
    assert set(CASES) == set(SOURCES)


def test_gives_three_splits_of_float_inputs_and_classes(case):
    source, settings = case
    data = load(source, **settings)
    assert isinstance(data, Data)
    assert tuple(data.splits) == SPLITS
    assert len(data.class_names) == data.classes
    for split in data.splits.values():
        inputs, targets_N = everything(split), split.targets_N
        assert inputs.dtype == torch.float32
        assert inputs.shape == (len(split), *data.shape)
        assert targets_N.dtype == torch.int64
        assert targets_N.shape == (len(split),)
        assert set(targets_N.tolist()) == set(range(data.classes))


def test_training_inputs_have_mean_0_and_deviation_1_per_channel(case):
    source, settings = case
    data = load(source, **settings)
    inputs = everything(data.splits["train"]).double()
    inputs = inputs.transpose(0, 1).flatten(1)
    spread = inputs.std(1, correction=0)
    assert inputs.mean(1).abs().max() < 1e-5
    assert torch.allclose(spread[spread > 0], torch.ones(1).double(), atol=1e-5)


def test_same_settings_give_the_same_bits(case):
    source, settings = case
    one, other = load(source, **settings), load(source, **settings)
    for name in SPLITS:
        assert torch.equal(everything(one.splits[name]), everything(other.splits[name]))
        assert one.splits[name].digest() == other.splits[name].digest()


def test_digests_tell_splits_and_subsets_apart(case):
    source, settings = case
    splits = load(source, **settings).splits
    half = splits["train"].subset(torch.arange(len(splits["train"]) // 2))
    digests = {s.digest() for s in (*splits.values(), half)}
    assert len(digests) == 4
    assert all(len(d) == 64 and int(d, 16) >= 0 for d in digests)


@pytest.mark.parametrize("source", sorted(set(SOURCES) - {"factory"}))
def test_seed_decides_who_is_in_which_split(source, tmp_path):
    settings = CASES[source](tmp_path)
    one, other = load(source, **settings), load(source, seed=1, **settings)
    assert one.splits["train"].digest() != other.splits["train"].digest()


def test_batch_is_a_function_of_positions(case):
    source, settings = case
    split = load(source, **settings).splits["train"]
    indices = torch.tensor([3, 0, 3, 5])
    batch, whole = split.batch(indices), everything(split)
    assert torch.equal(batch, whole[indices])
    subset = split.subset(indices)
    assert torch.equal(everything(subset), batch)
    assert torch.equal(subset.targets_N, split.targets_N[indices])
    assert torch.equal(
        subset.subset(torch.tensor([1])).batch(torch.tensor([0])), whole[:1]
    )


def test_empty_batch_has_the_right_shape(case):
    source, settings = case
    data = load(source, **settings)
    empty = data.splits["val"].batch(torch.tensor([], dtype=torch.int64))
    assert empty.shape == (0, *data.shape)


def test_caller_may_write_into_a_batch(case):
    source, settings = case
    split = load(source, **settings).splits["train"]
    before = everything(split)
    split.batch(torch.arange(4)).zero_()
    assert torch.equal(everything(split), before)


@pytest.mark.parametrize("name", SOURCES)
def test_row_says_whether_it_needs_a_path(name):
    parameters = inspect.signature(SOURCES[name].function).parameters
    needs = "path" in parameters and parameters["path"].default is inspect._empty
    assert SOURCES[name].needs_path == needs
    assert SOURCES[name].summary


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        ("digit", {}, r"unknown data source 'digit'; did you mean 'digits'\?"),
        ("qqq", {}, r"known: digits, factory, idx, images, npz"),
        ("digits", {"sed": 1}, r"digits has no setting 'sed'; did you mean 'seed'\?"),
        ("idx", {}, r"idx needs the setting 'path'"),
        ("digits", {"val": 1.5}, r"the share of val is 1.5; expected a value in \(0"),
        ("digits", {"test": 0}, r"the size of test is 0; expected at least 1"),
        ("digits", {"val": 1797}, r"leave no training example of 1797"),
    ],
)
def test_wrong_settings(source, settings, message):
    with pytest.raises(DataError, match=message):
        load(source, **settings)
