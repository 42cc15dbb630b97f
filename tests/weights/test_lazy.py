"""Weights on the disk equal weights in memory."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from cases.weights import MODULES, bits, built
from dale.errors import CorruptError, WeightsError
from dale.weights import LazyWeights, digest, layout_of, load, mean, save, weights_of


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """A folder of two foreign shards and their index."""
    one = {"a": torch.arange(3.0), "n": torch.tensor(4)}
    two = {"b": torch.ones(2, 2).bfloat16()}
    write_shards(tmp_path, {"x1.safetensors": one, "x2.safetensors": two})
    return tmp_path


def write_shards(folder: Path, files: Mapping[str, dict[str, Tensor]]) -> None:
    for file, weights in files.items():
        save_file(weights, folder / file, {"format": "pt"})
    names = {name: file for file, weights in files.items() for name in weights}
    edit_index(folder, {"metadata": {"total_size": 28}, "weight_map": names})


def edit_index(folder: Path, index: object) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("with_layout", [False, True])
def test_lazy_equals_eager(name: str, with_layout: bool, tmp_path: Path) -> None:
    net, path = built(name), tmp_path / "net.safetensors"
    save(path, weights_of(net), {"a": "b"}, layout_of(net) if with_layout else None)
    lazy, (eager, header) = LazyWeights(path), load(path)
    assert list(lazy) == list(eager)
    assert bits(dict(lazy)) == bits(eager)
    assert (lazy.header, len(lazy)) == (header, len(eager))
    assert digest(lazy) == digest(eager)
    assert lazy.ties == layout_of(net).ties
    lazy.verify()
    if with_layout:
        assert lazy.layout == layout_of(net)


def test_roles_without_a_stored_layout(tmp_path: Path) -> None:
    save(tmp_path / "net.safetensors", weights_of(built("convolutional")), {})
    layout, expected = LazyWeights(tmp_path).layout, layout_of(built("convolutional"))
    assert layout.entries == expected.entries
    assert list(layout) == sorted(expected)


def test_shards_are_one_mapping(shards: Path) -> None:
    lazy = LazyWeights(shards)
    assert list(lazy) == ["a", "b", "n"]
    assert lazy["b"].dtype == torch.bfloat16
    assert lazy.layout["n"].role == "counter"
    assert lazy.header == {"format": "pt", "total_size": "28"}
    assert bits(load(shards)[0]) == bits(dict(lazy))
    index = shards / "model.safetensors.index.json"
    assert list(LazyWeights(index)) == list(lazy)


def test_shards_of_dale_are_verified(tmp_path: Path) -> None:
    parts = {
        "x1.safetensors": {"a": torch.ones(2)},
        "x2.safetensors": {"b": torch.ones(2)},
    }
    write_shards(tmp_path, parts)
    for file, weights in parts.items():
        save(tmp_path / file, weights, {})
    assert load(tmp_path)[0].keys() == {"a", "b"}
    whole = bytearray((tmp_path / "x2.safetensors").read_bytes())
    whole[-1] ^= 1
    (tmp_path / "x2.safetensors").write_bytes(whole)
    with pytest.raises(CorruptError, match=r"x2.safetensors: the content was altered"):
        LazyWeights(tmp_path).verify()


def test_ties_across_names_survive_arithmetic(tmp_path: Path) -> None:
    save(tmp_path / "net.safetensors", weights_of(built("tied")), {})
    lazy = LazyWeights(tmp_path)
    result = mean([lazy, lazy])
    assert result["head.weight"] is result["embed.weight"]


def test_a_folder_with_one_file(tmp_path: Path) -> None:
    save(tmp_path / "adapter.safetensors", {"w": torch.ones(1)}, {})
    assert list(LazyWeights(tmp_path)) == ["w"]


def test_a_folder_with_several_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save(tmp_path / f"{name}.safetensors", {"w": torch.ones(1)}, {})
    with pytest.raises(
        WeightsError, match=r"found 'one.safetensors', 'two.safetensors'"
    ):
        LazyWeights(tmp_path)
    save(tmp_path / "model.safetensors", {"m": torch.ones(1)}, {})
    assert list(LazyWeights(tmp_path)) == ["m"]


def test_writing_to_a_tensor_does_not_reach_the_file(shards: Path) -> None:
    lazy = LazyWeights(shards)
    lazy["a"].fill_(9.0)
    assert LazyWeights(shards)["a"].tolist() == [0.0, 1.0, 2.0]


def test_unknown_names(shards: Path) -> None:
    lazy = LazyWeights(shards)
    assert "z" not in lazy
    assert "a" in lazy
    with pytest.raises(KeyError):
        lazy["z"]


def test_a_closed_file(shards: Path) -> None:
    with LazyWeights(shards) as lazy:
        kept = lazy["a"]
    assert kept.tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(WeightsError, match=r"was closed; 'a' cannot be read"):
        lazy["a"]
    with pytest.raises(WeightsError, match="was closed"):
        _ = lazy.layout


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        ("[]", CorruptError, "not an index"),
        ({"metadata": {}}, CorruptError, "not an index .*weight_map"),
        (
            {"weight_map": {"a": "x1.safetensors"}},
            CorruptError,
            "not in the index: 'n'",
        ),
        (
            {"weight_map": {"a": "gone.safetensors"}},
            WeightsError,
            "gone.*: no such file",
        ),
        ({"weight_map": {"a": "../x.safetensors"}}, WeightsError, "must lie beside it"),
        (
            {"weight_map": {"a": "x1.safetensors", "z": "x2.safetensors"}},
            CorruptError,
            "'z in x2.safetensors'",
        ),
    ],
)
def test_an_index_that_does_not_fit(
    index: object, error: type[Exception], message: str, shards: Path
) -> None:
    edit_index(shards, index)
    with pytest.raises(error, match=message):
        LazyWeights(shards)


def test_an_index_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"index.json: no such file"):
        LazyWeights(tmp_path / "model.safetensors.index.json")


def test_a_truncated_shard(shards: Path) -> None:
    whole = (shards / "x2.safetensors").read_bytes()
    (shards / "x2.safetensors").write_bytes(whole[:-1])
    with pytest.raises(CorruptError, match=r"x2.safetensors: not a whole"):
        LazyWeights(shards)
