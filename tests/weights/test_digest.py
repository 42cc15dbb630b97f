"""Digests depend on content alone."""

import hashlib
import json

import numpy as np
import pytest
import torch
from torch import Tensor

from cases.weights import DTYPES
from dale.errors import WeightsError
from dale.weights import digest, digest_arrays


def twin(weights: dict[str, Tensor]) -> str:
    """The documented digest, through NumPy's own bytes."""
    rows = []
    for name, tensor in weights.items():
        array = tensor.contiguous().numpy()
        inner = hashlib.sha256(array.tobytes()).hexdigest()
        rows.append(json.dumps([name, array.dtype.name, list(array.shape), inner]))
    return hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()


def test_agrees_with_the_definition() -> None:
    weights = {
        "b": torch.randn(3, 4).T,
        "a": torch.arange(5),
        "c": torch.tensor(2.0),
        "é": torch.zeros(0, 2),
        "flag": torch.tensor([True, False]),
    }
    assert digest(weights) == twin(weights)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type(dtype: torch.dtype) -> None:
    tensor = torch.tensor([0, 1, 1]).to(dtype)
    other = torch.tensor([0, 1, 0]).to(dtype)
    assert digest({"w": tensor}) == digest({"w": tensor.clone()})
    assert digest({"w": tensor}) != digest({"w": other})


def test_order_and_memory_play_no_part() -> None:
    matrix = torch.randn(3, 4)
    turned = matrix.T.contiguous().T
    assert digest({"a": matrix, "b": matrix}) == digest({"b": turned, "a": turned})
    stretched = torch.ones(1).expand(4)
    assert digest({"a": stretched}) == digest({"a": torch.ones(4)})
    complex_ = torch.tensor([1 + 2j])
    assert digest({"a": complex_.conj()}) == digest({"a": torch.tensor([1 - 2j])})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"a": torch.zeros(2)}, {"b": torch.zeros(2)}),
        ({"a": torch.zeros(2)}, {"a": torch.zeros(1, 2)}),
        ({"a": torch.zeros(2)}, {"a": torch.zeros(2, dtype=torch.int32)}),
        ({"a": torch.zeros(1)}, {"a": -torch.zeros(1)}),
        ({"a": torch.zeros(0, 2)}, {"a": torch.zeros(2, 0)}),
        ({"a": torch.zeros(1)}, {"a": torch.zeros(1), "b": torch.zeros(1)}),
        (
            {"a": torch.ones(1), "b": -torch.ones(1)},
            {"a": -torch.ones(1), "b": torch.ones(1)},
        ),
        ({}, {"a": torch.zeros(0)}),
    ],
)
def test_content_differs(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert digest(first) != digest(second)


def test_stays_the_same_between_versions() -> None:
    weights = {"w": torch.tensor([1.0, -2.5]), "n": torch.tensor(3)}
    assert digest(weights) == twin(weights) == GOLDEN


GOLDEN = "2f3f4a49e376d1d289acd7f29a44e1d69a8ffaece749d78022fc3f778a211d10"


def test_arrays_in_order() -> None:
    one, two = torch.zeros(2), torch.ones(2)
    assert digest_arrays(one, two) != digest_arrays(two, one)
    assert digest_arrays(*[one] * 12) != digest_arrays(*[one] * 11)
    assert digest_arrays(one) == digest_arrays(torch.from_numpy(np.zeros(2, "float32")))


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.ones(2, device="meta"), "'w': a tensor with data is needed"),
        (torch.ones(2).to_sparse(), "'w': a dense tensor is needed"),
    ],
)
def test_tensors_without_bytes(tensor: Tensor, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        digest({"w": tensor})
