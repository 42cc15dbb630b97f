"""Any checkpoint is one mapping, and damage to it is one clear line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cases.weights import MODULES, Tied, bits, built
from dale.errors import CorruptError, DaleError, InputError, WeightsError
from dale.weights import load, open_weights, save, weights_of

W = torch.tensor([1.0, 2.0])


def as_safetensors(path: Path, weights: dict[str, Any]) -> Path:
    save(path / "net.safetensors", weights, {})
    return path / "net.safetensors"


def as_pytorch(path: Path, weights: dict[str, Any]) -> Path:
    torch.save(weights, path / "net.pt")
    return path / "net.pt"


def as_old_pytorch(path: Path, weights: dict[str, Any]) -> Path:
    torch.save(weights, path / "net.bin", _use_new_zipfile_serialization=False)
    return path / "net.bin"


def as_folder(path: Path, weights: dict[str, Any]) -> Path:
    torch.save(weights, path / "pytorch_model.bin")
    return path


def as_shards(path: Path, weights: dict[str, Any]) -> Path:
    """One tensor a shard, with names as a parallel, compiled network gives them."""
    places = {}
    for i, (name, tensor) in enumerate(weights.items()):
        places[f"module._orig_mod.{name}"] = f"pytorch_model-{i}.bin"
        torch.save(
            {f"module._orig_mod.{name}": tensor}, path / f"pytorch_model-{i}.bin"
        )
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return path


WAYS = [as_safetensors, as_pytorch, as_old_pytorch, as_folder, as_shards]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [name for name in MODULES if name != "stateless"])
def test_every_way_of_storing_is_one_mapping(
    name: str, way: Callable[..., Path], tmp_path: Path
) -> None:
    weights = weights_of(built(name))
    opened = open_weights(way(tmp_path, weights))
    assert opened.keys() == weights.keys()
    assert bits({n: opened[n] for n in weights}) == bits(weights)
    assert len(opened.layout) == len(opened) == len(weights)
    for n, tensor in weights.items():
        assert opened.layout[n].shape == tuple(tensor.shape)
        assert opened.layout[n].dtype == tensor.dtype
    assert bits(load(opened.path)[0]) == bits(dict(opened))


def test_ties_are_kept_where_the_format_keeps_them(tmp_path: Path) -> None:
    state = Tied().state_dict()
    for way in (as_pytorch, as_folder):
        opened = open_weights(way(tmp_path, state))
        assert opened.ties == opened.layout.ties == {"head.weight": "embed.weight"}


def test_mapped_tensors_stay_in_the_file_and_are_never_written_to(
    tmp_path: Path,
) -> None:
    torch.save({"w": torch.zeros(1000)}, tmp_path / "net.pt")
    opened = open_weights(tmp_path / "net.pt")
    opened["w"].fill_(1.0)
    assert not open_weights(tmp_path / "net.pt")["w"].any()
    kept = opened["w"]
    opened.close()
    assert kept.sum() == 1000
    assert len(opened) == 0


WRAPPED: dict[str, tuple[Any, str | None]] = {
    "state_dict": ({"state_dict": {"w": W}, "epoch": 3}, None),
    "model_state_dict": ({"model_state_dict": {"w": W}, "loss": 0.1}, None),
    "model": ({"model": {"w": W}, "optimizer": {"state": {}}}, None),
    "module": ({"module": {"w": W}, "dp_world_size": 2}, None),
    "ema alone": ({"ema": {"w": W}, "step": 3}, None),
    "state_dict_ema alone": ({"state_dict_ema": {"module.w": W}, "step": 3}, None),
    "model before ema": ({"model": {"w": W}, "ema": {"w": -W}}, None),
    "ema by key": ({"model": {"w": -W}, "ema": {"w": W}}, "ema"),
    "nested by key": ({"nets": {"g": {"w": W}, "d": {"w": -W}}}, "nets.g"),
    "parallel": ({"module.w": W}, None),
    "compiled": ({"_orig_mod.w": W}, None),
    "parallel of compiled": ({"module._orig_mod.w": W}, None),
    "compiled of parallel": ({"_orig_mod.module.w": W}, None),
    "all at once": ({"state_dict": {"module.module._orig_mod.w": W}}, None),
}


@pytest.mark.parametrize("case", WRAPPED)
def test_wrapped_state_dicts(case: str, tmp_path: Path) -> None:
    content, key = WRAPPED[case]
    torch.save(content, tmp_path / "net.ckpt")
    opened = open_weights(tmp_path / "net.ckpt", key)
    assert list(opened) == ["w"]
    assert torch.equal(opened["w"], W)


UNCLEAR: dict[str, tuple[Any, str]] = {
    "two nets": ({"model": {"w": W}, "net": {"w": W}}, "'model', 'net'"),
    "two averages": ({"ema": {"w": W}, "swa": {"w": W}}, "'ema', 'swa'"),
    "names of one's own": ({"teacher": {"w": W}, "student": {"w": W}}, "'teacher'"),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_unclear_files_name_the_choices_and_the_key(case: str, tmp_path: Path) -> None:
    content, found = UNCLEAR[case]
    torch.save(content, tmp_path / "net.pt")
    with pytest.raises(WeightsError, match=f"name it with key; found .*{found}"):
        open_weights(tmp_path / "net.pt")


def test_folders_prefer_safetensors_and_say_what_they_hold(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="expected a file of weights, found none"):
        open_weights(tmp_path)
    (tmp_path / "notes.txt").write_text("no weights")
    with pytest.raises(WeightsError, match=r"found 'notes.txt'"):
        open_weights(tmp_path)
    torch.save({"old": W}, tmp_path / "pytorch_model.bin")
    assert list(open_weights(tmp_path)) == ["old"]
    save(tmp_path / "model.safetensors", {"new": W}, {})
    assert list(open_weights(tmp_path)) == ["new"]


def test_folders_with_several_files(tmp_path: Path) -> None:
    for name in ("one.pt", "two.pt"):
        torch.save({"w": W}, tmp_path / name)
    with pytest.raises(WeightsError, match=r"found 'one.pt', 'two.pt'"):
        open_weights(tmp_path)


def test_adapters_are_no_models(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    save(tmp_path / "adapter_model.safetensors", {"w": W}, {})
    with pytest.raises(WeightsError, match="give the base with it"):
        open_weights(tmp_path)


def test_keys_are_for_files_with_entries(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="safetensors have no entries"):
        open_weights(as_safetensors(tmp_path, {"w": W}), key="ema")


def shards(tmp_path: Path) -> Path:
    return as_shards(tmp_path, {"a": W, "b": -W})


def promise(path: Path, name: str, file: str) -> Path:
    index = shards(path) / "pytorch_model.bin.index.json"
    content = json.loads(index.read_text())
    content["weight_map"][name] = file
    index.write_text(json.dumps(content))
    return path


def promised(path: Path) -> Path:
    return promise(path, "module._orig_mod.c", "pytorch_model-1.bin")


def elsewhere(path: Path) -> Path:
    return promise(path, "module.c", "../x.bin")


def hidden(path: Path) -> Path:
    shard = shards(path) / "pytorch_model-1.bin"
    torch.save(torch.load(shard) | {"module.c": W}, shard)
    return path


def absent(path: Path) -> Path:
    (shards(path) / "pytorch_model-1.bin").unlink()
    return path


def cut(path: Path) -> Path:
    shard = shards(path) / "pytorch_model-1.bin"
    shard.write_bytes(shard.read_bytes()[:-200])
    return path


def twice(path: Path) -> Path:
    torch.save({"a": W, "b": W}, shards(path) / "pytorch_model-1.bin")
    return path


def with_code(path: Path) -> Path:
    torch.save(nn.Linear(1, 1), path / "net.pt")
    return path / "net.pt"


DAMAGE: dict[str, tuple[Callable[[Path], Path], type[DaleError], str]] = {
    "a shard missing": (absent, WeightsError, r"shards missing: 'pytorch_model-1.bin'"),
    "a shard cut": (cut, CorruptError, r"pytorch_model-1.bin: not a"),
    "a name twice": (twice, CorruptError, "names of another shard: 'a'"),
    "a name promised": (promised, CorruptError, "names in no shard: 'c'"),
    "a name not promised": (hidden, CorruptError, "names not in the index: 'c'"),
    "elsewhere": (elsewhere, WeightsError, "must lie beside it"),
    "code": (with_code, WeightsError, "never unpickles"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_one_line(case: str, tmp_path: Path) -> None:
    make, error, message = DAMAGE[case]
    path = make(tmp_path)
    with pytest.raises(error, match=message) as caught:
        open_weights(path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)
