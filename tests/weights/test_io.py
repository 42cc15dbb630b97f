"""Weights survive networks and files, and damaged files are refused."""

import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from cases.weights import DTYPES, MODULES, Tied, bits, built
from dale.errors import CorruptError, DiskError, SchemaError, WeightsError
from dale.weights import (
    LazyWeights,
    digest,
    layout_of,
    layout_of_weights,
    load,
    load_into,
    save,
    weights_of,
)


@pytest.mark.parametrize("name", MODULES)
def test_networks_take_what_they_gave(name: str) -> None:
    one, two = built(name, 1), built(name, 2)
    load_into(two, weights_of(one))
    assert bits(weights_of(two)) == bits(weights_of(one))


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("with_layout", [False, True])
def test_files_give_back_what_they_got(
    name: str, with_layout: bool, tmp_path: Path
) -> None:
    net = built(name)
    weights, header = weights_of(net), {"step": "12", "ünï": "ç\n\x00"}
    layout = layout_of(net) if with_layout else None
    written = save(tmp_path / "net.safetensors", weights, header, layout)
    again, words = load(tmp_path / "net.safetensors")
    assert (bits(again), words) == (bits(weights), header)
    assert written == digest(weights) == digest(again)
    ties = layout_of_weights(weights).ties
    assert layout_of_weights(again).ties == ties
    if with_layout:
        assert list(again) == list(weights)


@pytest.mark.parametrize("dtype", DTYPES)
def test_other_readers_understand_the_file(dtype: torch.dtype, tmp_path: Path) -> None:
    weights = {
        "matrix": torch.tensor([[0, 1, 1], [1, 0, 1]]).to(dtype),
        "scalar": torch.tensor(1).to(dtype),
        "none": torch.zeros(0, 4).to(dtype),
        "byte": torch.tensor([7], dtype=torch.uint8),
    }
    save(tmp_path / "net.safetensors", weights, {"made": "here"})
    with safe_open(tmp_path / "net.safetensors", "pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}
        assert file.metadata()["made"] == "here"
    assert bits(found) == bits({name: weights[name] for name in found})
    assert found.keys() == weights.keys()


def test_memory_layout_does_not_matter(tmp_path: Path) -> None:
    matrix = torch.arange(12.0).reshape(3, 4)
    weights = {
        "turned": matrix.T,
        "rows": matrix[::2],
        "stretched": torch.ones(1).expand(5),
        "first": matrix[0],
        "second": matrix[1],
        "conjugate": torch.tensor([1 + 2j]).conj(),
        "negative": torch.tensor([1 + 2j]).conj().imag,
    }
    save(tmp_path / "net.safetensors", weights, {})
    again, _ = load(tmp_path / "net.safetensors")
    assert all(torch.equal(again[name], tensor) for name, tensor in weights.items())


def test_tied_tensors_are_stored_once_and_shared_again(tmp_path: Path) -> None:
    big = torch.zeros(1000)
    save(tmp_path / "tied.safetensors", {"a": big, "b": big}, {})
    save(tmp_path / "free.safetensors", {"a": big, "b": big.clone()}, {})
    sizes = [os.path.getsize(tmp_path / f"{n}.safetensors") for n in ("tied", "free")]
    assert sizes[1] - sizes[0] > 3900
    again, _ = load(tmp_path / "tied.safetensors")
    assert again["a"] is again["b"]


def test_the_layout_says_what_is_tied(tmp_path: Path) -> None:
    net = Tied()
    apart = {name: tensor.clone() for name, tensor in weights_of(net).items()}
    save(tmp_path / "net.safetensors", apart, {}, layout_of(net))
    again, _ = load(tmp_path / "net.safetensors")
    assert again["head.weight"] is again["embed.weight"]
    apart["head.weight"] += 1
    with pytest.raises(WeightsError, match="tied names have different values"):
        save(tmp_path / "net.safetensors", apart, {}, layout_of(net))


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    weights = weights_of(built("convolutional"))
    turned = dict(reversed(weights.items()))
    header = {str(i): "x" for i in range(9)}
    save(tmp_path / "one.safetensors", weights, header)
    save(tmp_path / "two.safetensors", turned, dict(reversed(header.items())))
    one, two = ((tmp_path / f"{n}.safetensors").read_bytes() for n in ("one", "two"))
    assert one == two


def test_loaded_tensors_do_not_depend_on_the_file(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save(path, {"w": torch.ones(1000)}, {})
    weights, _ = load(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(b"\0" * size)
    assert weights["w"].sum() == 1000


def test_loading_copies_nothing_when_something_does_not_fit() -> None:
    net = nn.Linear(2, 2)
    before = bits(weights_of(net))
    with pytest.raises(WeightsError, match="weights for Linear: names missing: 'bias'"):
        load_into(net, {"weight": torch.zeros(2, 2)})
    with pytest.raises(WeightsError, match=r"'bias' must have shape \(2,\)"):
        load_into(net, {"weight": torch.zeros(2, 2), "bias": torch.zeros(3)})
    assert bits(weights_of(net)) == before


def test_tied_networks_refuse_two_values() -> None:
    weights = {"embed.weight": torch.zeros(5, 3), "head.weight": torch.ones(5, 3)}
    with pytest.raises(WeightsError, match=r"different values: 'head.weight'"):
        load_into(Tied(), weights)


def test_loading_keeps_types_and_needs_no_gradient() -> None:
    net = nn.Linear(1, 1, bias=False)
    load_into(net, {"weight": torch.tensor([[2.0]], dtype=torch.float64)})
    assert net.weight.dtype == torch.float32
    assert net.weight.requires_grad
    assert net.weight.grad_fn is None


def test_a_snapshot_does_not_follow_the_network() -> None:
    net = nn.BatchNorm1d(2)
    snapshot = weights_of(net)
    net(torch.randn(4, 2))
    assert snapshot["num_batches_tracked"] == 0
    assert not snapshot["weight"].requires_grad


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "folder"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_unreadable_paths(kind: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"net{suffix}"
    error, reason = {
        "missing": (WeightsError, "no such file"),
        "empty": (CorruptError, "the file is empty"),
        "text": (CorruptError, "not a"),
        "folder": (WeightsError, "found none"),
    }[kind]
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_text("" if kind == "empty" else "a letter to the editor")
    with pytest.raises(error, match=rf"net\{suffix}: .*{reason}"):
        load(path)


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.3, 0.9, 0.999])
def test_truncated_files(share: float, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save(path, {"w": torch.ones(3000)}, {"step": "3"})
    whole = path.read_bytes()
    path.write_bytes(whole[: max(1, int(share * len(whole)))])
    with pytest.raises(CorruptError, match=r"net.safetensors: not a whole safetensors"):
        load(path)


def test_altered_content(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save(path, {"w": torch.ones(3)}, {"step": "3"})
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    with pytest.raises(CorruptError, match="the content was altered"):
        load(path)
    assert load(path, verify=False)[0]["w"][2] != 1


def test_altered_words(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save(path, {"w": torch.ones(3)}, {"step": "3"})
    path.write_bytes(path.read_bytes().replace(b'"step":"3"', b'"step":"4"'))
    with pytest.raises(CorruptError, match="the metadata was altered"):
        load(path, verify=False)


def test_newer_schema(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save(path, {"w": torch.ones(3)}, {})
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"dale.schema":"1"', b'"dale.schema":"2"'))
    with pytest.raises(SchemaError, match="schema 2, but this version"):
        load(path)


@pytest.mark.parametrize(
    ("weights", "header", "message"),
    [
        ({"w": torch.ones(1).to_sparse()}, {}, "'w': a dense tensor"),
        ({"w": torch.ones(1, device="meta")}, {}, "'w': a tensor with data"),
        ({"w": torch.ones(1).to(torch.complex128)}, {}, "'w': safetensors has no type"),
        ({"__metadata__": torch.ones(1)}, {}, "cannot be called '__metadata__'"),
        ({"\ud800": torch.ones(1)}, {}, "not Unicode"),
        ({}, {"step": 3}, "header names and values must be text: 'step'"),
        ({}, {3: "step"}, "header names and values must be text"),
        ({}, {"dale.seal": "x"}, "must not begin with 'dale.'"),
    ],
)
def test_what_cannot_be_stored(
    weights: dict[str, Tensor], header: dict[str, str], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(WeightsError, match=message):
        save(path, weights, header)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]


def test_a_layout_of_another_network(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="weights for the layout: names missing"):
        save(tmp_path / "x.safetensors", {}, {}, layout_of(nn.Linear(1, 1)))


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DiskError, match="could not write"):
        save(tmp_path / "file" / "net.safetensors", {"w": torch.ones(1)}, {})


def test_no_tensors_at_all(tmp_path: Path) -> None:
    save(tmp_path / "none.safetensors", {}, {"why": "stateless"})
    assert load(tmp_path / "none.safetensors") == ({}, {"why": "stateless"})


def test_weights_on_the_disk_can_be_saved_again(tmp_path: Path) -> None:
    first, second = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    save(first, weights_of(built("tied")), {"step": "1"})
    lazy = LazyWeights(first)
    save(second, lazy, lazy.header)
    assert first.read_bytes() == second.read_bytes()
