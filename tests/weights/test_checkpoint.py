"""PyTorch files are read without running what they hold."""

import copy
import pickle
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from cases.weights import MODULES, Tied, bits, built
from dale.errors import CorruptError, WeightsError
from dale.weights import load, read_checkpoint, weights_of

W = torch.tensor([1.0, 2.0])


def saved(path: Path, content: object, **settings: object) -> Path:
    torch.save(content, path, **settings)
    return path


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt"])
def test_state_dicts(name: str, suffix: str, tmp_path: Path) -> None:
    net = built(name)
    weights, header = load(saved(tmp_path / f"net{suffix}", net.state_dict()))
    assert bits(weights) == bits(weights_of(net))
    assert header == {}


@pytest.mark.parametrize(
    "content",
    [
        {"w": W},
        {"state_dict": {"w": W}, "epoch": 3},
        {"model": {"w": W}, "model_ema": {"w": -W}, "optimizer": {"state": {}}},
        {"epoch": 1, "state_dict": {"model": {"w": W}, "args": None}},
        {"module.w": W},
        {"module.module.w": W},
        {"_orig_mod.w": W},
        {"model_state_dict": {"module._orig_mod.w": W}},
        {"w": nn.Parameter(W.clone())},
    ],
)
def test_wrappers_are_opened(content: object, tmp_path: Path) -> None:
    weights, _ = read_checkpoint(saved(tmp_path / "net.pt", content))
    assert weights.keys() == {"w"}
    assert torch.equal(weights["w"], W)
    assert not weights["w"].requires_grad


def test_prefixes_of_some_names_alone_are_kept(tmp_path: Path) -> None:
    content = {"module.w": W, "head.w": W, "block._orig_mod.w": W}
    weights, _ = read_checkpoint(saved(tmp_path / "net.pt", content))
    assert list(weights) == ["module.w", "head.w", "block.w"]


def test_averaged_models(tmp_path: Path) -> None:
    net = nn.Linear(2, 1)
    average = AveragedModel(net)
    average.update_parameters(net)
    average.update_parameters(net)
    path = saved(tmp_path / "swa.pt", average.state_dict())
    weights, header = read_checkpoint(path)
    assert bits(weights) == bits(weights_of(net))
    assert header == {"n_averaged": "2"}


def test_ties_survive(tmp_path: Path) -> None:
    weights, _ = load(saved(tmp_path / "net.pt", Tied().state_dict()))
    assert weights["head.weight"].data_ptr() == weights["embed.weight"].data_ptr()


def test_a_key_chooses(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pt", {"model": {"w": W}, "ema": {"of": {"w": -W}}})
    assert torch.equal(load(path, key="ema.of")[0]["w"], -W)
    with pytest.raises(WeightsError, match=r"no entry 'oh' of 'ema.oh'; found 'of'"):
        load(path, key="ema.oh")
    with pytest.raises(WeightsError, match=r"'ema.of.w' is a Tensor"):
        load(path, key="ema.of.w")
    with pytest.raises(WeightsError, match=r"no entry 'deep'"):
        load(path, key="ema.of.w.deep")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {"w": W}, "net": {"w": W}}, "cannot tell .* found 'model', 'net'"),
        ({"weird": {"w": W}, "epoch": 3}, "name it with key; found 'weird'"),
        ({"w": W, "epoch": 3}, "found 'w', 'epoch'"),
        ([W], "expected named tensors, found list"),
        (W, "expected named tensors, found Tensor"),
        ({"_orig_mod.w": W, "w": W}, "two names are equal"),
    ],
)
def test_content_that_is_not_clear(
    content: object, message: str, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=message):
        load(saved(tmp_path / "net.pt", content))


def test_entries_that_are_not_tensors(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pt", {"odd": {"w": W, "epoch": 3}})
    with pytest.raises(WeightsError, match="not tensors: 'epoch'"):
        load(path, key="odd")


@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_never_run(zipped: bool, tmp_path: Path) -> None:
    settings = {"_use_new_zipfile_serialization": zipped}
    path = saved(tmp_path / "net.pt", copy.deepcopy(nn.Linear(1, 1)), **settings)
    with pytest.raises(WeightsError, match=r"net.pt: holds more than tensors"):
        load(path)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("name", "message"),
    [("script", "more than tensors"), ("words", "file$"), ("protocol", "more than")],
)
def test_other_files_are_one_line_and_no_warning(
    name: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "net.pt"
    if name == "script":
        with warnings.catch_warnings(action="ignore"):
            torch.jit.script(nn.Linear(1, 1)).save(str(path))
    else:
        content = {"words": b"hello", "protocol": pickle.dumps(nn.Linear(1, 1), 4)}
        path.write_bytes(content[name])
    with pytest.raises((WeightsError, CorruptError), match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.999])
def test_truncated_files(zipped: bool, share: float, tmp_path: Path) -> None:
    settings = {"_use_new_zipfile_serialization": zipped}
    path = saved(tmp_path / "net.pt", {"w": torch.ones(2000)}, **settings)
    whole = path.read_bytes()
    path.write_bytes(whole[: max(1, int(share * len(whole)))])
    with pytest.raises(CorruptError, match=r"net.pt: not a"):
        load(path)
