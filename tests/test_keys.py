import pytest
from hypothesis import given
from hypothesis import strategies as st

from dale.keys import key

PURPOSE = st.lists(st.text(max_size=4) | st.integers(-5, 10**9), max_size=3)


@given(seed=st.integers(), purpose=PURPOSE)
def test_a_key_is_a_seed_that_torch_takes(seed, purpose):
    assert 0 <= key(seed, *purpose) < 2**63
    assert key(seed, *purpose) == key(seed, *purpose)


@given(
    one=st.tuples(st.integers(), PURPOSE.map(tuple)),
    two=st.tuples(st.integers(), PURPOSE.map(tuple)),
)
def test_other_purposes_have_other_keys(one, two):
    assert (key(one[0], *one[1]) == key(two[0], *two[1])) == (one == two)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((1, "a", 1), (1, "a1")),
        ((1, "a", "1"), (1, "a", 1)),
        ((1, "a", "b"), (1, "ab")),
        ((1, "a\x1f'b'"), (1, "a", "b")),
        ((11, "a"), (1, "1a")),
    ],
)
def test_purposes_do_not_run_together(left, right):
    assert key(*left) != key(*right)


def test_keys_are_the_same_on_every_machine():
    """Changing these numbers would change every run there is."""
    assert key(0, "order", 3) == 1_373_463_357_990_774_664
    assert key(3, "init") == 2_731_768_527_583_375_209
