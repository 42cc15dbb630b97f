"""The k-th largest, found from histograms, is the one of the sorted list."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dale.merge.select import Cut, bracket, kth_largest, largest, ranked

NUMBERS = st.lists(
    st.one_of(
        st.floats(0, width=32, allow_nan=False),
        st.sampled_from([0.0, 1.0, 1e-45, float("inf")]),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=25)
@given(numbers=NUMBERS, cut=st.integers(0, 30), data=st.data())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sorting_is_the_measure(
    dtype: torch.dtype, numbers: list[float], cut: int, data: st.DataObject
) -> None:
    values = torch.tensor(numbers, dtype=dtype)
    parts = [values[:cut], values[cut:]]
    k = data.draw(st.integers(1, len(numbers)))
    expected = sorted(values.tolist(), reverse=True)[k - 1]
    assert kth_largest(lambda: parts, k, dtype) == expected


@given(
    numbers=st.lists(st.sampled_from([0.0, 1.0, 2.0, 7.5, float("inf"), float("nan")])),
    more=NUMBERS,
    between=st.tuples(*2 * [st.sampled_from([0.0, 1.0, 2.0, 8.0, float("inf")])]),
    data=st.data(),
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_guess_changes_nothing_but_the_time(
    dtype: torch.dtype, numbers: list, more: list, between: tuple, data: st.DataObject
) -> None:
    values = torch.tensor([*numbers, *more], dtype=dtype)
    k = data.draw(st.integers(1, len(values)))
    parts = [values[:2], values[2:]]
    plain = ranked(lambda: parts, k, dtype)
    guessed = ranked(lambda: parts, k, dtype, between)
    sampled = ranked(lambda: parts, k, dtype, bracket(values, k / len(values)))
    assert repr(plain) == repr(guessed) == repr(sampled)


def test_a_bracket_of_a_sample_holds_the_number_and_few_others() -> None:
    values = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0)).abs()
    for share in (0.01, 0.2, 0.9):
        low, high = bracket(values[::16].contiguous(), share)
        number = kth_largest(lambda: [values], int(share * len(values)))
        assert low <= number <= high
        assert ((values >= low) & (values <= high)).double().mean() < 0.025


@given(numbers=NUMBERS, cuts=st.tuples(*2 * [st.integers(0, 30)]), data=st.data())
def test_a_cut_keeps_what_is_chosen(
    numbers: list[float], cuts: tuple[int, int], data: st.DataObject
) -> None:
    values = torch.tensor(numbers)
    k = data.draw(st.integers(1, len(numbers)))
    first, second = sorted(cuts)
    parts = [values[:first], values[first:second], values[second:]]
    cut = Cut(ranked(lambda: parts, k))
    kept = torch.cat([cut(part) for part in parts])
    assert torch.equal(kept, torch.where(largest(values, k), values, 0))


@given(numbers=NUMBERS, k=st.integers(-1, 31))
def test_exactly_k_are_chosen_and_the_first_of_equal_ones(
    numbers: list[float], k: int
) -> None:
    values = torch.tensor(numbers)
    order = values.sort(descending=True, stable=True).indices
    expected = torch.zeros(len(numbers), dtype=torch.bool)
    expected[order[: max(0, k)]] = True
    assert torch.equal(largest(values, k), expected)


def test_numbers_that_share_their_first_digits() -> None:
    values = torch.tensor([1.0, 1.0 + 2**-23, 1.0 + 2**-22, 0.5], dtype=torch.float64)
    values = torch.cat([values, values + 2**-52])
    for k in range(1, 9):
        expected = values.sort(descending=True).values[k - 1].item()
        assert kth_largest(lambda: [values], k, torch.float64) == expected


def test_order_is_that_of_rows_whatever_the_memory() -> None:
    values = torch.ones(2, 3, 2, 2).to(memory_format=torch.channels_last)
    chosen = largest(values, 5)
    assert chosen.reshape(-1).nonzero()[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_nan_counts_as_the_largest() -> None:
    values = torch.tensor([float("inf"), float("nan"), 1.0])
    assert torch.tensor(kth_largest(lambda: [values], 1)).isnan()
    assert kth_largest(lambda: [values], 2) == float("inf")
