"""Splits whose examples are corrupted."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dale.data import CORRUPTIONS, corrupted, corruption, from_arrays, load
from dale.errors import DataError


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def images(count=600, high=255):
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(high + 1, (count, 1, 8, 8), generator=generator)
    arrays = {"train": (values.to(torch.uint8), torch.arange(count) % 3)}
    return from_arrays(arrays, val=10, test=550)


@pytest.mark.parametrize("name", CORRUPTIONS)
@given(order=st.permutations(range(40)))
def test_an_example_looks_the_same_whoever_asks(name, order, digits):
    split = corrupted(digits, name, 4)
    rows = 9 * torch.tensor(order[:7])
    whole = split.batch(torch.arange(len(split)))
    assert torch.equal(split.batch(rows), whole[rows])
    assert torch.equal(split.subset(rows).batch(torch.arange(7)), whole[rows])
    assert torch.equal(split.subset(rows).targets_N, split.targets_N[rows])


def test_across_blocks_and_with_repeats():
    split = corrupted(images(), "gaussian_noise", 5)
    whole = split.batch(torch.arange(550))
    rows = torch.tensor([549, 0, 256, 255, 256, 511, 512])
    assert torch.equal(split.batch(rows), whole[rows])
    assert split.batch(rows[:0]).shape == (0, 1, 8, 8)


def test_it_is_the_corruption_of_the_raw_values():
    data = images()
    split, rows = corrupted(data, "contrast", 3), torch.tensor([4, 2])
    expected = data.splits["test"].batch(
        rows, corruption("contrast", 3), torch.Generator()
    )
    assert torch.equal(split.batch(rows), expected)


def test_digits_know_their_white(digits):
    assert digits.white == 16.0
    rows = torch.arange(50)
    moved = corrupted(digits, "gaussian_noise", 1).batch(rows) - digits.splits[
        "test"
    ].batch(rows)
    scale, _ = digits.splits["test"].scaling.affine
    # 4 % of 16, less what is clipped and with what is rounded
    assert 0.2 < float((moved / scale).std()) < 0.8


@given(
    first=st.tuples(
        st.sampled_from(["blur", "rotation"]), st.integers(1, 5), st.integers(0, 2)
    ),
    second=st.tuples(
        st.sampled_from(["blur", "rotation"]), st.integers(1, 5), st.integers(0, 2)
    ),
)
def test_digests_tell_apart(first, second, digits):
    splits = [corrupted(digits, n, s, seed=seed) for n, s, seed in (first, second)]
    assert (splits[0].digest() == splits[1].digest()) == (first == second)
    assert splits[0].digest() != digits.splits["test"].digest()
    assert splits[0].subset(torch.arange(3)).digest() != splits[0].digest()


def test_what_is_refused(digits):
    with pytest.raises(
        DataError, match="unknown corruption 'blurr'; did you mean 'blur'"
    ):
        corrupted(digits, "blurr", 1)
    with pytest.raises(DataError, match="severity is 6"):
        corrupted(digits, "blur", 6)
    with pytest.raises(DataError, match="unknown split 'tst'"):
        corrupted(digits, "blur", 1, split="tst")
    split = corrupted(digits, "blur", 1)
    with pytest.raises(DataError, match="not augmented"):
        split.batch(torch.arange(2), lambda raw, generator: raw, torch.Generator())
    with pytest.raises(DataError, match="1-D tensor of"):
        split.batch(torch.zeros(2, 2).long())
    flat = from_arrays(
        {"train": (torch.rand(20, 3), torch.arange(20) % 2)}, val=4, test=4
    )
    with pytest.raises(DataError, match="need images"):
        corrupted(flat, "blur", 1)
