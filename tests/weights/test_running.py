"""The running mean agrees with the mean of everything at once."""

import math
from pathlib import Path

import pytest
import torch

from cases.weights import MODULES, bits, built
from dale.errors import InputError, WeightsError
from dale.weights import RunningMean, layout_of_weights, weights_of
from reference.weights import mean as slow_mean


def running(name: str, seeds: range) -> RunningMean:
    mean = RunningMean()
    for seed in seeds:
        mean.update(weights_of(built(name, seed)))
    return mean


@pytest.mark.parametrize("name", MODULES)
def test_agrees_with_the_slow_mean(name: str) -> None:
    members = [weights_of(built(name, seed)) for seed in range(5)]
    result = running(name, range(5)).value()
    assert layout_of_weights(result) == layout_of_weights(members[0])
    for key, value in result.items():
        if value.is_floating_point() and value.isfinite().all():
            exact = slow_mean([member[key] for member in members], [1] * 5)
            expected = exact.to(value.dtype)
            torch.testing.assert_close(value, expected, rtol=1e-2, atol=1e-6)
            if value.dtype != torch.bfloat16:
                torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("count", [1, 2, 3, 49])
def test_equal_models_give_that_model(name: str, count: int) -> None:
    member, mean = weights_of(built(name)), RunningMean()
    for _ in range(count):
        mean.update(member)
    assert bits(mean.value()) == bits(member)
    assert mean.count == count


def test_counters_are_those_of_the_latest() -> None:
    mean = RunningMean()
    for count in (1, 5, 3):
        mean.update({"n": torch.tensor(count), "w": torch.tensor(float(count))})
    assert mean.value() == {"n": torch.tensor(3), "w": torch.tensor(3.0)}


def test_infinite_masks_survive() -> None:
    result = running("masked", range(3)).value()
    assert torch.equal(result["mask"], weights_of(built("masked"))["mask"])


@pytest.mark.parametrize("name", MODULES)
def test_resume_is_bit_identical(name: str, tmp_path: Path) -> None:
    whole = running(name, range(6))
    torch.save(running(name, range(3)).state(), tmp_path / "state.pt")
    resumed = RunningMean.from_state(torch.load(tmp_path / "state.pt"))
    for seed in range(3, 6):
        resumed.update(weights_of(built(name, seed)))
    assert bits(resumed.value()) == bits(whole.value())
    assert layout_of_weights(resumed.value()) == layout_of_weights(whole.value())


def test_values_states_and_copies_are_independent() -> None:
    mean = running("linear", range(2))
    expected = bits(mean.value())
    mean.value()["weight"].zero_()
    mean.state()["mean"]["weight"].zero_()
    mean.copy().update(weights_of(built("linear", 9)))
    assert bits(mean.value()) == expected


def test_live_tensors_are_not_kept() -> None:
    net, mean = built("convolutional"), RunningMean()
    mean.update(net.state_dict())
    expected = bits(mean.value())
    for tensor in net.state_dict().values():
        tensor.zero_()
    assert bits(mean.value()) == expected


def test_parameters_that_need_gradients_are_accepted() -> None:
    net, mean = built("linear"), RunningMean()
    for _ in range(2):
        mean.update(net.state_dict(keep_vars=True))
    assert not any(tensor.requires_grad for tensor in mean.value().values())


def test_bf16_accumulates_in_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    members = [torch.randn(100, generator=generator).bfloat16() for _ in range(64)]
    mean = RunningMean()
    for member in members:
        mean.update({"w": member})
    exact = slow_mean(members, [1] * 64)
    error = (mean.value()["w"].double() - exact).abs().max().item()
    assert error < 0.002
    assert mean.state()["mean"]["w"].dtype == torch.float32


def test_ties_that_come_apart_are_given_up() -> None:
    shared, mean = torch.ones(1), RunningMean()
    mean.update({"a": shared, "b": shared})
    mean.update({"a": torch.tensor([3.0]), "b": torch.tensor([5.0])})
    assert [tensor.item() for tensor in mean.value().values()] == [2.0, 3.0]


def test_no_models() -> None:
    with pytest.raises(InputError, match="mean of 0 models"):
        RunningMean().value()


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({}, "model 2 of a running mean: names missing: 'w'"),
        ({"w": torch.ones(2), "more": torch.ones(2)}, "names unknown: 'more'"),
        ({"w": torch.ones(3)}, r"'w' must have shape \(2,\), has \(3,\)"),
        ({"w": torch.ones(2).long()}, "must be like torch.float32, is torch.int64"),
    ],
)
def test_another_model(second: dict[str, torch.Tensor], message: str) -> None:
    mean = RunningMean()
    mean.update({"w": torch.ones(2)})
    with pytest.raises(WeightsError, match=message):
        mean.update(second)
    assert mean.count == 1


def test_a_state_that_does_not_fit() -> None:
    state = running("linear", range(1)).state()
    state["dtypes"].pop("bias")
    with pytest.raises(WeightsError, match="names of mean and dtypes differ"):
        RunningMean.from_state(state)


def test_not_a_number_stays_visible() -> None:
    mean = RunningMean()
    mean.update({"w": torch.ones(1)})
    mean.update({"w": torch.tensor([math.nan])})
    assert mean.value()["w"].isnan().all()
