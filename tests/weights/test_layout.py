"""Layouts say what a network's tensors are without reading them."""

import pytest
import torch
from torch import nn

from cases.weights import MODULES, Tied, built
from dale.errors import CorruptError, WeightsError
from dale.weights import Entry, Layout, layout_of, layout_of_weights, weights_of


@pytest.mark.parametrize("name", MODULES)
def test_json_round_trip(name: str) -> None:
    layout = layout_of(built(name))
    again = Layout.from_json(layout.to_json())
    assert again == layout
    assert list(again) == list(built(name).state_dict())


@pytest.mark.parametrize("name", MODULES)
def test_shapes_and_types_are_those_of_the_state(name: str) -> None:
    net = built(name)
    for key, tensor in net.state_dict().items():
        entry = layout_of(net)[key]
        assert (entry.shape, entry.dtype) == (tuple(tensor.shape), tensor.dtype)


def test_roles() -> None:
    layout = layout_of(built("masked"))
    assert layout.names("parameter") == ["weight", "bias", "narrow"]
    assert layout.names("statistic") == ["mask"]
    assert layout.names("counter") == ["table", "flag"]


@pytest.mark.parametrize("name", ["convolutional", "tied", "shared_norm"])
def test_without_the_network_the_layout_is_the_same(name: str) -> None:
    net = built(name)
    assert layout_of_weights(weights_of(net)) == layout_of(net)


def test_ties_are_counted_once() -> None:
    layout = layout_of(Tied())
    assert layout.ties == {"head.weight": "embed.weight"}
    assert layout["embed.weight"].tie == layout["head.weight"].tie == "embed.weight"
    assert layout.numel() == 15


def test_meta_device() -> None:
    with torch.device("meta"):
        net = Tied()
    assert layout_of(net) == layout_of(Tied())


def test_equal_but_separate_tensors_are_not_tied() -> None:
    separate = {"a": torch.ones(2), "b": torch.ones(2), "c": torch.ones(0)}
    assert layout_of_weights(separate).ties == {}


def test_parts_of_one_tensor_are_not_tied() -> None:
    whole = torch.ones(2, 2)
    parts = {"all": whole, "row": whole[0], "turned": whole.T}
    assert layout_of_weights(parts).ties == {}


def test_counts_by_role() -> None:
    layout = layout_of(nn.BatchNorm1d(4))
    assert (layout.numel(), layout.numel("statistic")) == (17, 8)


class Extra(nn.Linear):
    def get_extra_state(self) -> object:
        return {"version": 1}

    def set_extra_state(self, state: object) -> None:
        del state


def test_state_that_is_not_a_tensor() -> None:
    with pytest.raises(WeightsError, match="not a tensor: '_extra_state'"):
        layout_of(Extra(1, 1))


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_state_without_a_shape() -> None:
    with pytest.raises(WeightsError, match="without a shape: 'weight', 'bias'"):
        weights_of(nn.LazyLinear(2))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"w": 3}',
        '{"w": {"shape": [1], "dtype": "nn", "role": "counter", "tie": null}}',
        '{"w": {"shape": [1], "dtype": "float32", "role": "king", "tie": null}}',
        '{"w": {"shape": "ab", "dtype": "float32", "role": "counter", "tie": null}}',
    ],
)
def test_text_that_is_no_layout(text: str) -> None:
    with pytest.raises(CorruptError, match="layout"):
        Layout.from_json(text)


def test_an_entry_is_frozen() -> None:
    entry = Entry((1,), torch.float32, "parameter")
    with pytest.raises(AttributeError):
        entry.shape = (2,)
