"""The k-th largest, found from histograms, is the one of the sorted list."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dale.merge.select import kth_largest, largest

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
