import pytest

from dale.errors import InputError
from dale.schedules._numbers import finite, mix, positive, whole


@pytest.mark.parametrize("value", ["3", 3.0, None, True, [3]])
def test_whole_refuses_what_is_no_integer(value):
    with pytest.raises(InputError, match="cycles must be a whole number"):
        whole("cycles", value, least=1)


@pytest.mark.parametrize("value", ["3", None, True, 1j, float("inf")])
def test_finite_refuses_what_is_no_finite_number(value):
    with pytest.raises(InputError, match="peak must be a finite number"):
        finite("peak", value)


def test_positive_names_its_limit():
    assert positive("factor", 1, most=1) == 1.0
    with pytest.raises(InputError, match="factor must be above 0 and at most 1, got 2"):
        positive("factor", 2, most=1)


@pytest.mark.parametrize(("first", "last"), [(0.3, 0.9), (0.9, 0.3), (-0.7, 0.1)])
def test_mix_is_exact_at_both_ends(first, last):
    assert (mix(first, last, 0.0), mix(first, last, 1.0)) == (first, last)
    assert mix(first, last, 0.25) == pytest.approx(first + (last - first) / 4)
