"""Arithmetic agrees with loops in float64, and leaves its inputs alone."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cases.weights import MODULES, bits, built
from dale.errors import InputError, WeightsError
from dale.weights import (
    add,
    copied,
    distance,
    dot,
    layout_of_weights,
    lerp,
    map_floats,
    map_tensors,
    mean,
    norm,
    scale,
    sub,
    weighted_sum,
    weights_of,
)
from dale.weights.algebra import shared_names
from reference.weights import mean as slow_mean

Pair = dict[str, Tensor]
BINARY: dict[str, Callable[[Pair, Pair], Pair]] = {
    "add": add,
    "sub": sub,
    "lerp": lambda x, y: lerp(x, y, 0.3),
    "mean": lambda x, y: mean([x, y]),
    "weighted_sum": lambda x, y: weighted_sum([x, y], [0.5, -2.0]),
}
DOUBLE = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "lerp": lambda x, y: 0.7 * x + 0.3 * y,
    "mean": lambda x, y: (x + y) / 2,
    "weighted_sum": lambda x, y: 0.5 * x - 2 * y,
}


def pair(name: str = "masked") -> tuple[Pair, Pair]:
    return weights_of(built(name, 1)), weights_of(built(name, 2))


@pytest.mark.parametrize("name", BINARY)
def test_float64_is_the_measure(name: str) -> None:
    first, second = pair("convolutional")
    result = BINARY[name](first, second)
    for key, value in result.items():
        if value.is_floating_point():
            exact = DOUBLE[name](first[key].double(), second[key].double())
            torch.testing.assert_close(value.double(), exact, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("operation", BINARY)
@pytest.mark.parametrize("name", MODULES)
def test_types_ties_counters_and_inputs(operation: str, name: str) -> None:
    first, second = pair(name)
    before = bits(first), bits(second)
    result = BINARY[operation](first, second)
    assert (bits(first), bits(second)) == before
    assert layout_of_weights(result) == layout_of_weights(first)
    for key, value in result.items():
        assert value.untyped_storage().data_ptr() not in {
            weights[key].untyped_storage().data_ptr()
            for weights in (first, second)
            if value.numel()
        }
        if not (value.is_floating_point() or value.is_complex()):
            assert torch.equal(value, first[key])


def test_scale_and_complex() -> None:
    weights = pair("complex")[0]
    torch.testing.assert_close(scale(weights, -2)["weight"], -2 * weights["weight"])


@pytest.mark.parametrize("name", MODULES)
def test_lerp_is_exact_at_its_ends(name: str) -> None:
    first, second = pair(name)
    carried = {n: t for n, t in first.items() if not t.is_floating_point()}
    if name == "complex":
        carried = {}
    assert bits(lerp(first, second, 0.0)) == bits(first)
    assert bits(lerp(first, second, 1.0)) == bits(second | carried)


def test_infinite_masks_survive() -> None:
    first, second = pair("masked")
    for result in (mean([first, second]), lerp(first, second, 0.5)):
        assert torch.equal(result["mask"], first["mask"])
    finite = {**first, "mask": torch.zeros(2, 2)}
    assert mean([first, finite])["mask"][0, 1] == -math.inf
    assert mean([finite, first])["mask"][0, 1] == -math.inf


def test_a_model_with_coefficient_zero_is_not_read() -> None:
    broken = {"w": torch.tensor([math.nan])}
    assert mean([{"w": torch.ones(1)}, broken], [1, 0])["w"].item() == 1.0


def test_bf16_means_are_those_of_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    members = [torch.randn(1000, generator=generator).bfloat16() for _ in range(64)]
    exact = slow_mean(members, [1] * 64)
    (value,) = mean([{"w": member} for member in members]).values()
    assert value.dtype == torch.bfloat16
    assert torch.equal(value, exact.float().bfloat16())


@pytest.mark.parametrize("function", [mean, lambda w: weighted_sum(w, [])])
def test_no_models(function: Callable[[list[Pair]], Pair]) -> None:
    with pytest.raises(InputError, match="0 models"):
        function([])


def test_numbers_of_a_pair() -> None:
    first = {"a": torch.tensor([3.0, 0.0]), "b": torch.tensor([4]), "c": torch.zeros(0)}
    second = {
        "a": torch.tensor([0.0, 4.0]),
        "b": torch.tensor([9]),
        "c": torch.zeros(0),
    }
    assert (dot(first, second), norm(first), distance(first, second)) == (0.0, 3.0, 5.0)


def test_tied_tensors_count_once() -> None:
    first, second = pair("tied")
    matrices = first["embed.weight"].double(), second["embed.weight"].double()
    assert distance(first, second) == pytest.approx((matrices[0] - matrices[1]).norm())
    assert dot(first, second) == pytest.approx((matrices[0] * matrices[1]).sum())


def test_complex_numbers_have_real_lengths() -> None:
    assert norm({"w": torch.tensor([3j, 4 + 0j])}) == 5.0


def test_ties_of_one_argument_alone_are_not_kept() -> None:
    shared = torch.ones(1)
    tied, free = (
        {"a": shared, "b": shared},
        {"a": torch.ones(1), "b": 2 * torch.ones(1)},
    )
    assert add(tied, free) == {"a": torch.tensor([2.0]), "b": torch.tensor([3.0])}
    assert layout_of_weights(add(tied, free)).ties == {}


def test_one_kernel_call_for_each_tied_group() -> None:
    calls = []
    map_tensors(lambda x: calls.append(1) or x, pair("tied")[0])
    assert len(calls) == 1


def test_copies_share_nothing_with_their_source() -> None:
    first = pair("tied")[0]
    copy = copied(first)
    copy["embed.weight"].zero_()
    assert copy["head.weight"].abs().sum() == 0
    assert first["embed.weight"].abs().sum() > 0


def test_float8_is_averaged() -> None:
    members = [{"w": torch.full((2,), v).to(torch.float8_e5m2)} for v in (1.0, 2.0)]
    assert mean(members)["w"].float().tolist() == [1.5, 1.5]


def test_names_differ() -> None:
    with pytest.raises(WeightsError, match="weights 2: names missing: 'w'"):
        add({"w": torch.ones(1)}, {"v": torch.ones(1)})


def test_kinds_differ() -> None:
    with pytest.raises(WeightsError, match=r"'w': floating-point in one .*torch.int64"):
        map_floats(lambda x, y: x, {"w": torch.ones(1)}, {"w": torch.ones(1).long()})


def test_names_share_a_tensor_only_where_all_weights_say_so() -> None:
    tied, one = weights_of(built("tied")), torch.ones(5, 3)
    assert shared_names([tied]) == [("embed.weight", "head.weight")]
    loose = {"embed.weight": one, "head.weight": one.clone()}
    assert shared_names([tied, loose]) == [("embed.weight",), ("head.weight",)]
    with pytest.raises(WeightsError, match="weights 2: names missing"):
        shared_names([tied, {}])
