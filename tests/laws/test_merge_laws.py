"""Laws of merging, for every row of the table."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cases.merge import SETTINGS
from cases.weights import MODULES, bits, built
from dale.merge import METHODS, merge, uniform_soup
from dale.weights import layout_of_weights, mean, weights_of

ROWS = [
    pytest.param(name, settings, id=f"{name}-{i}")
    for name, several in SETTINGS.items()
    for i, settings in enumerate(several)
]
Weights = dict[str, Tensor]


def three(name: str) -> list[Weights]:
    return [weights_of(built(name, seed)) for seed in range(3)]


@pytest.mark.parametrize(("method", "settings"), ROWS)
@pytest.mark.parametrize("name", MODULES)
def test_equal_models_give_that_model_bit_for_bit(
    name: str, method: str, settings: dict[str, Any]
) -> None:
    if METHODS[method].idempotent:
        model = weights_of(built(name))
        assert bits(merge([model] * 3, method, **settings)) == bits(model)


@pytest.mark.parametrize(("method", "settings"), ROWS)
@pytest.mark.parametrize("name", MODULES)
def test_inputs_types_ties_and_counters(
    name: str, method: str, settings: dict[str, Any]
) -> None:
    models = three(name)
    before = [bits(model) for model in models]
    result = merge(models, method, **settings)
    assert layout_of_weights(result) == layout_of_weights(models[0])
    for key, tensor in result.items():
        if not (tensor.is_floating_point() or tensor.is_complex()):
            assert any(torch.equal(tensor, model[key]) for model in models)
        tensor.zero_()
    assert [bits(model) for model in models] == before


@pytest.mark.parametrize("method", [n for n, row in METHODS.items() if row.symmetric])
@pytest.mark.parametrize("name", ["convolutional", "tied", "double", "complex"])
def test_order_does_not_matter(name: str, method: str) -> None:
    models, settings = three(name), SETTINGS[method][0]
    one = merge(models, method, **settings)
    two = merge([models[2], models[0], models[1]], method, **settings)
    for key, value in one.items():
        torch.testing.assert_close(value, two[key], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("chosen", [0, 1, 2])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("name", MODULES)
def test_all_weight_on_one_gives_that_one(
    name: str, normalize: bool, chosen: int
) -> None:
    models = three(name)
    coefficients = [float(k == chosen) for k in range(3)]
    result = merge(models, "weighted", coefficients=coefficients, normalize=normalize)
    carried = {
        n: t for n, t in models[0].items() if t.dtype in {torch.int64, torch.bool}
    }
    assert bits(result) == bits(models[chosen] | carried)


FINITE = st.floats(-1e3, 1e3, width=32)
ROWS_OF = st.lists(st.lists(FINITE, min_size=4, max_size=4), min_size=1, max_size=6)


@given(rows=ROWS_OF, dtype=st.sampled_from([torch.float32, torch.bfloat16]))
def test_a_mean_lies_between_its_members(
    rows: list[list[float]], dtype: torch.dtype
) -> None:
    members = torch.tensor(rows).to(dtype)
    value = merge([{"w": row} for row in members])["w"]
    slack = members.float().abs().amax(0) * 1e-6
    assert (value >= (members.float().amin(0) - slack).to(dtype)).all()
    assert (value <= (members.float().amax(0) + slack).to(dtype)).all()


@given(rows=ROWS_OF)
def test_streams_and_lists_give_the_same_mean(rows: list[list[float]]) -> None:
    members = [{"w": torch.tensor(row)} for row in rows]
    one, two = uniform_soup(members)["w"], mean(members)["w"]
    scale = torch.tensor(rows).abs().max().item()
    torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-6 * scale)


@given(
    value=st.floats(-(2.0**99), 2.0**99, width=32),
    count=st.integers(1, 50),
    coefficients=st.lists(st.floats(0.0625, 8, width=32), min_size=50, max_size=50),
)
def test_equal_numbers_give_that_number_for_any_coefficients(
    value: float, count: int, coefficients: list[float]
) -> None:
    models = [{"w": torch.tensor(value)}] * count
    merged = merge(models, "weighted", coefficients=coefficients[:count])
    assert merged["w"].item() == merge(models)["w"].item() == value
