"""Weights that do not fit are refused with the names."""

import pytest
import torch
from torch import Tensor

from dale.errors import WeightsError
from dale.weights.match import check_match, check_ties, identity, listing, ties_of


def named(*names: str) -> dict[str, Tensor]:
    return {name: torch.zeros(2) for name in names}


@pytest.mark.parametrize(
    ("actual", "message"),
    [
        (named("a"), "^model 2: names missing: 'b'$"),
        (named("a", "b", "z"), "^model 2: names unknown: 'z'$"),
        (named("a", "z"), "^model 2: names missing: 'b'; names unknown: 'z'$"),
        (
            {"a": torch.zeros(2), "b": torch.zeros(3, 1)},
            r"^model 2: 'b' must have shape \(2,\), has \(3, 1\)$",
        ),
    ],
)
def test_what_differs_is_named(actual: dict[str, Tensor], message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        check_match(named("a", "b"), actual, "model 2")


def test_long_lists_are_cut() -> None:
    many = named(*"abcdefgh")
    with pytest.raises(WeightsError, match=r"'e' and 3 more$"):
        check_match(many, {}, "model 2")
    with pytest.raises(WeightsError, match=r"has \(3,\); and 3 more shapes$"):
        check_match(many, {name: torch.zeros(3) for name in many}, "model 2")


def test_order_does_not_matter() -> None:
    check_match(named("a", "b"), named("b", "a"), "model 2")


def test_ties_are_found_through_separate_views() -> None:
    tensor = torch.ones(3)
    assert ties_of({"a": tensor, "b": tensor.detach(), "c": tensor[:2]}) == {"b": "a"}


def test_identity_tells_views_apart() -> None:
    square = torch.ones(2, 2)
    assert identity(square) == identity(square.detach())
    assert identity(square) != identity(square.T)
    assert identity(square) != identity(square.view(torch.int32))
    assert identity(torch.ones(0)) != identity(torch.ones(0))
    complex_ = torch.ones(2, dtype=torch.complex64)
    assert identity(complex_) != identity(complex_.conj())


def test_equal_values_under_tied_names_pass() -> None:
    one = torch.ones(2)
    check_ties({"a": one, "b": one}, {"a": one, "b": one.clone()}, "model 2")


def test_listing_of_nothing() -> None:
    assert listing([]) == ""
