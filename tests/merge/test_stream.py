"""What is streamed to files is what is merged in memory, bit for bit."""

import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from cases.merge import IDS, ROWS, ancestor, count, shaken
from cases.weights import MODULES, bits, built
from dale.errors import DiskError, InputError, WeightsError
from dale.merge import METHODS, merge, stream
from dale.weights import LazyWeights, layout_of_weights, load, save, weights_of

STREAMED = [
    pytest.param(*pair, id=name)
    for pair, name in zip(ROWS, IDS, strict=True)
    if METHODS[pair[0]].streams
]


def family(name: str, method: str) -> tuple[list[dict[str, Tensor]], dict[str, Any]]:
    base = weights_of(built(name))
    models = [shaken(base, 1 + k) for k in range(count(method))]
    return models, ancestor(method, base)


@pytest.mark.parametrize(("method", "settings"), STREAMED)
def test_streamed_is_merged_bit_for_bit(
    method: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    for name in ("convolutional", "tied", "masked"):
        models, base = family(name, method)
        expected = merge(models, method, seed=5, **base, **settings)
        paths = [tmp_path / f"{name}-{k}.safetensors" for k in range(len(models) + 1)]
        for path, model in zip(paths, [*models, *base.values()], strict=False):
            save(path, model, {})
        given = {"base": paths[len(models)]} if base else {}
        out = tmp_path / name
        options = {"seed": 5, "shard_bytes": 60, **given, **settings}
        stream(paths[: len(models)], out, method, **options)
        found = load(out)[0]
        assert bits({n: found[n] for n in expected}) == bits(expected)
        assert layout_of_weights(found).ties == layout_of_weights(expected).ties
        LazyWeights(out).verify()


@pytest.mark.parametrize("name", MODULES)
def test_one_file_is_the_file_that_save_writes(name: str, tmp_path: Path) -> None:
    models = [weights_of(built(name, seed)) for seed in range(2)]
    mixed = any("running" in name for name in models[0])
    words = {"by": "hand"} | ({"statistics": "from moments"} if mixed else {})
    save(tmp_path / "saved.safetensors", merge(models), words)
    (path,) = stream(models, tmp_path / "out.safetensors", header={"by": "hand"})
    assert path.read_bytes() == (tmp_path / "saved.safetensors").read_bytes()


def test_shards_hold_what_fits_and_names_that_belong_together(tmp_path: Path) -> None:
    models = [weights_of(built("tied", seed)) for seed in range(2)]
    many = [
        {f"{layer}.{n}": t for layer in range(4) for n, t in m.items()} for m in models
    ]
    many = [
        {n: t.clone() for n, t in model.items() if "head" not in n} for model in many
    ]
    paths = stream(many, tmp_path / "out", shard_bytes=130)
    assert [path.name for path in paths] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    assert [len(LazyWeights(path)) for path in paths] == [2, 2]
    assert bits(load(tmp_path / "out")[0]) == bits(merge(many))


class Made(Mapping[str, Tensor]):
    """Tensors that are made when asked for, and counted while they live."""

    ties: ClassVar[dict[str, str]] = {}
    alive: ClassVar[weakref.WeakSet] = weakref.WeakSet()
    most: ClassVar[int] = 0

    def __init__(self, size: int) -> None:
        self.size = size

    def __getitem__(self, name: str) -> Tensor:
        tensor = torch.full((7,), float(name))
        Made.alive.add(tensor)
        Made.most = max(Made.most, len(Made.alive))
        return tensor

    def __iter__(self) -> Iterator[str]:
        return map(str, range(self.size))

    def __len__(self) -> int:
        return self.size


@pytest.mark.parametrize("method", ["linear", "ties", "ties_global", "karcher"])
def test_memory_does_not_grow_with_the_number_of_tensors(
    method: str, tmp_path: Path
) -> None:
    peaks = []
    for size in (3, 12):
        Made.most = 0
        models = [Made(size) for _ in range(3)]
        base = ancestor(method, Made(size))
        stream(models, tmp_path / str(size), method, shard_bytes=120, **base)
        peaks.append(Made.most)
    assert peaks[0] == peaks[1] <= 8


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_merge_that_fails_leaves_nothing(tmp_path: Path) -> None:
    models = [{"a": torch.ones(9), "b": torch.ones(2)} for _ in range(2)]
    models[1]["b"] = torch.ones(2, dtype=torch.int64)
    for out in ("folder", "file.safetensors"):
        with pytest.raises(WeightsError, match="'b': floating-point in one model and"):
            stream(models, tmp_path / out, shard_bytes=8)
    assert leftovers(tmp_path) == []


def test_what_is_there_is_kept_or_replaced_whole(tmp_path: Path) -> None:
    pair = [{"w": torch.zeros(2)}, {"w": torch.ones(2)}]
    (tmp_path / "empty").mkdir()
    stream(pair, tmp_path / "empty")
    with pytest.raises(InputError, match="must be a new or an empty folder"):
        stream(pair, tmp_path / "empty")
    save(tmp_path / "a.safetensors", pair[1], {})
    stream([tmp_path / "a.safetensors", pair[0]], tmp_path / "a.safetensors")
    assert load(tmp_path / "a.safetensors")[0]["w"].tolist() == [0.5, 0.5]
    assert leftovers(tmp_path) == ["a.safetensors", "empty"]


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="file is not a folder"):
        stream([{"w": torch.ones(1)}], tmp_path / "file" / "out")


def test_methods_that_do_not_stream(tmp_path: Path) -> None:
    pair = [{"w": torch.zeros(2)}, {"w": torch.ones(2)}]
    with pytest.raises(InputError, match="greedy_soup needs whole models in memory"):
        stream(pair, tmp_path / "out", "greedy_soup", score=len)
    with pytest.raises(InputError, match="shard_bytes must be 1 or more, got 0"):
        stream(pair, tmp_path / "out", shard_bytes=0)
    assert leftovers(tmp_path) == []
