"""Task vectors keep what training added, in any type."""

import pytest
import torch
from torch import Tensor

from cases.merge import shaken
from cases.weights import MODULES, bits, built
from dale.errors import WeightsError
from dale.merge import analogy, apply_vector, extrapolate, merge, negate, task_vector
from dale.weights import add, layout_of_weights, scale, weights_of

Weights = dict[str, Tensor]


def pair(name: str) -> tuple[Weights, Weights]:
    base = weights_of(built(name))
    return shaken(base, 1), base


@pytest.mark.parametrize("name", sorted(MODULES.keys() - {"masked"}))
def test_there_and_back(name: str) -> None:
    tuned, base = pair(name)
    vector = task_vector(tuned, base)
    back = apply_vector(base, vector)
    for key, tensor in back.items():
        torch.testing.assert_close(tensor, tuned[key], rtol=1e-6, atol=1e-6)
    assert layout_of_weights(back) == layout_of_weights(base)
    assert bits(apply_vector(base, vector, 0.0)) == bits(base)


def test_half_precision_comes_back_bit_for_bit() -> None:
    tuned, base = pair("linear")
    tuned, base = ({n: t.bfloat16() for n, t in w.items()} for w in (tuned, base))
    vector = task_vector(tuned, base)
    assert {tensor.dtype for tensor in vector.values()} == {torch.float32}
    assert bits(apply_vector(base, vector)) == bits(tuned)


def test_counters_are_the_base_s() -> None:
    tuned, base = pair("convolutional")
    tuned["1.num_batches_tracked"] += 7
    merged = apply_vector(base, task_vector(tuned, base))
    assert torch.equal(merged["1.num_batches_tracked"], base["1.num_batches_tracked"])


def test_learning_and_unlearning() -> None:
    tuned, base = pair("linear")
    vector = task_vector(tuned, base)
    unlearned = apply_vector(base, negate(vector))
    beyond = extrapolate(tuned, base, 2.0)
    for key, tensor in unlearned.items():
        torch.testing.assert_close(tensor, 2 * base[key] - tuned[key])
        torch.testing.assert_close(tensor, beyond[key])


def test_sums_of_vectors_are_task_arithmetic() -> None:
    base = weights_of(built("convolutional"))
    tuned = [shaken(base, seed) for seed in range(2)]
    vectors = [task_vector(model, base) for model in tuned]
    joined = apply_vector(base, scale(add(*vectors), 0.5))
    expected = merge(tuned, "task_arithmetic", base=base, lambda_=0.5)
    for key, tensor in joined.items():
        # statistics are of a mixture, whatever is done to parameters
        if "running" not in key:
            torch.testing.assert_close(tensor, expected[key])


def test_analogies() -> None:
    known, learned, target = (weights_of(built("linear", seed)) for seed in range(3))
    found = analogy(known, learned, target)
    for key, tensor in found.items():
        torch.testing.assert_close(tensor, target[key] + learned[key] - known[key])


def test_models_of_two_kinds() -> None:
    with pytest.raises(WeightsError, match="names missing"):
        task_vector(weights_of(built("tied")), weights_of(built("linear")))
