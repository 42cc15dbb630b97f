"""Averages agree with float64 loops and are exact where they must be."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from cases.weights import MODULES, bits, built
from dale.errors import InputError, WeightsError
from dale.merge import average, merge, uniform, weighted
from dale.weights import LazyWeights, layout_of_weights, save, weights_of
from reference.merge import average as slow_average

Models = list[dict[str, Tensor]]


def models(name: str = "convolutional", count: int = 3) -> Models:
    return [weights_of(built(name, seed)) for seed in range(count)]


@pytest.mark.parametrize("coefficients", [(1, 1, 1), (0.2, 0.5, 0.3), (5, 0, -1)])
@pytest.mark.parametrize("name", ["convolutional", "tied", "double"])
def test_float64_is_the_measure(name: str, coefficients: tuple[float, ...]) -> None:
    weights_K = models(name)
    expected = slow_average(weights_K, coefficients)
    actual = average(weights_K, coefficients)
    for key, value in expected.items():
        torch.testing.assert_close(actual[key], value, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("last", [1, 2, 3])
def test_suffixes(last: int) -> None:
    weights_K = models()
    result = average(weights_K, last=last)
    expected = average(weights_K[-last:])
    for key in result:
        counter = not result[key].is_floating_point()
        source = weights_K[0] if counter else expected
        assert torch.equal(result[key], source[key])


@pytest.mark.parametrize("last", [0, 4, -1])
def test_impossible_suffixes(last: int) -> None:
    with pytest.raises(InputError, match=f"from 1 to 3 models, got {last}"):
        average(models(), last=last)


def test_coefficients_and_a_suffix() -> None:
    with pytest.raises(InputError, match="coefficients or last, not both"):
        average(models(), (1, 1, 1), last=2)


def test_sums_are_not_divided() -> None:
    x_K = [torch.tensor(1.0), torch.tensor(2.0)]
    assert weighted(x_K, coefficients=(1, 3), normalize=False) == 7.0
    assert weighted(x_K, coefficients=(1, -1), normalize=False) == -1.0


def test_kernels_do_not_write_to_what_they_are_given() -> None:
    x_K = [torch.ones(2), torch.zeros(2)]
    uniform(x_K)
    weighted(x_K, coefficients=(0, 1)).add_(0)
    assert [x.tolist() for x in x_K] == [[1.0, 1.0], [0.0, 0.0]]


@pytest.mark.parametrize("name", MODULES)
def test_models_on_the_disk_give_the_same_bits(name: str, tmp_path: Path) -> None:
    weights_K = models(name)
    paths = [tmp_path / f"{k}.safetensors" for k in range(3)]
    for path, weights in zip(paths, weights_K, strict=True):
        save(path, weights, {})
    streamed = average([LazyWeights(path) for path in paths], (1, 2, 3))
    assert bits(streamed) == bits(
        {n: average(weights_K, (1, 2, 3))[n] for n in streamed}
    )
    assert layout_of_weights(streamed).ties == layout_of_weights(weights_K[0]).ties
    assert bits(merge(paths)) == bits(merge([LazyWeights(path) for path in paths]))


def test_no_models() -> None:
    with pytest.raises(InputError, match="1 or more models are needed, got 0"):
        average([])


def test_models_of_two_kinds() -> None:
    with pytest.raises(WeightsError, match="weights 2: names missing"):
        average([models("tied")[0], models("linear")[0]])
