"""Folders of torch.distributed.checkpoint are read without a process group."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import multiprocessing as mp

from cases.weights import MODULES, bits, built
from dale.errors import CorruptError, WeightsError
from dale.weights import DistributedWeights, load, open_weights, weights_of

W = torch.tensor([1.0, 2.0])
# what save says where there is one process
pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")


def saved(path: Path, content: dict[str, Any]) -> Path:
    dcp.save(content, checkpoint_id=path, no_dist=True)
    return path


@pytest.mark.parametrize("name", [name for name in MODULES if name != "stateless"])
def test_a_folder_is_what_was_saved(name: str, tmp_path: Path) -> None:
    weights = weights_of(built(name))
    opened = open_weights(saved(tmp_path / "dcp", {"model": weights, "epoch": 3}))
    assert isinstance(opened, DistributedWeights)
    assert opened.keys() == weights.keys()
    assert bits({n: opened[n] for n in weights}) == bits(weights)
    assert {n: e.shape for n, e in opened.layout.items()} == {
        n: tuple(t.shape) for n, t in weights.items()
    }
    assert bits(load(tmp_path / "dcp")[0]) == bits(dict(opened))


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"w": W}, None),
        ({"module._orig_mod.w": W}, None),
        ({"state_dict": {"module.w": W}, "optimizer": {"lr": 0.1}}, None),
        ({"app": {"model": {"w": W}, "ema": {"w": -W}}}, "app.model"),
    ],
)
def test_wrappers_are_opened(content: dict, key: str | None, tmp_path: Path) -> None:
    opened = open_weights(saved(tmp_path, content), key)
    assert list(opened) == ["w"]
    assert torch.equal(opened["w"], W)


def test_unclear_folders_name_the_choices(tmp_path: Path) -> None:
    saved(tmp_path, {"teacher": {"w": W}, "student": {"w": W}})
    with pytest.raises(WeightsError, match="name it with key; found 'teacher'"):
        open_weights(tmp_path)


def _write(rank: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": "0"}
    store = dist.FileStore(f"{folder}-store", 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    mesh = init_device_mesh("cpu", (2,))
    whole = torch.arange(35.0).view(7, 5)
    sharded = {
        "rows": distribute_tensor(whole, mesh, [Shard(0)]),
        "columns": distribute_tensor(whole.clone(), mesh, [Shard(1)]),
        "same": whole.clone(),
    }
    dcp.save({"model": sharded}, checkpoint_id=folder)
    dist.destroy_process_group()


def test_parts_of_several_processes_are_put_together(tmp_path: Path) -> None:
    folder = tmp_path / "dcp"
    mp.start_processes(_write, (str(folder),), nprocs=2, start_method="fork")
    opened = open_weights(folder)
    assert len(list(folder.glob("*.distcp"))) == 2
    for name in ("rows", "columns", "same"):
        assert torch.equal(opened[name], torch.arange(35.0).view(7, 5))


def test_a_table_that_would_run_code_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, {"w": W})

    class Harm:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "harm"),)

    (tmp_path / ".metadata").write_bytes(pickle.dumps(Harm()))
    with pytest.raises(WeightsError, match=r"names posix.mkdir, which dale never runs"):
        open_weights(tmp_path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_tables(share: float, tmp_path: Path) -> None:
    table = saved(tmp_path, {"w": W}) / ".metadata"
    table.write_bytes(table.read_bytes()[: int(share * table.stat().st_size)])
    with pytest.raises(CorruptError, match=r".metadata: not a whole table") as caught:
        open_weights(tmp_path)
    assert "\n" not in str(caught.value)


def test_files_cut_or_gone(tmp_path: Path) -> None:
    (file,) = saved(tmp_path, {"w": W}).glob("*.distcp")
    opened = open_weights(tmp_path)
    file.write_bytes(file.read_bytes()[:-300])
    with pytest.raises(CorruptError, match="'w' is not whole"):
        opened["w"]
    with pytest.raises(CorruptError, match=r"files cut short: '__0_0.distcp'"):
        open_weights(tmp_path)
    file.unlink()
    with pytest.raises(CorruptError, match=r"files missing: '__0_0.distcp'"):
        open_weights(tmp_path)
