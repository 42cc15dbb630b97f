"""A merge that has ended is on the disk, all of it, before it takes its name."""

import errno
import os
from pathlib import Path

import pytest
import torch

from dale.errors import DiskError
from dale.merge.engine import planned
from dale.merge.stream import write_jobs
from dale.weights import load, save


@pytest.fixture
def jobs(tmp_path: Path):
    paths = [tmp_path / f"{k}.safetensors" for k in range(2)]
    for k, path in enumerate(paths):
        save(path, {f"{i}": torch.full((100,), float(k)) for i in range(4)}, {})
    return planned(paths, "uniform", None, {}).jobs


@pytest.mark.parametrize("name", ["out", "out.safetensors"])
def test_everything_is_flushed_before_the_name_is_taken(
    name: str, jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, object]] = []
    fsync, replace, pwrite = os.fsync, os.replace, os.pwrite

    def flushed(handle: int) -> None:
        seen.append(("flush", os.fstat(handle).st_ino))
        fsync(handle)

    def written(handle: int, data: bytes, place: int) -> int:
        seen.append(("write", os.fstat(handle).st_ino))
        return pwrite(handle, data, place)

    def renamed(old: Path, new: Path) -> None:
        seen.append(("rename", Path(new)))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "pwrite", written)
    monkeypatch.setattr(os, "replace", renamed)
    more = {"config.json": b"{}", "1_Pooling/deep/config.json": b"{}"}
    single = name != "out"
    out = tmp_path / name
    write_jobs(jobs, out, shard_bytes=900, files=None if single else more, sync=True)
    end = seen.index(("rename", out))
    paths = [out] if single else [out, *out.rglob("*")]
    assert len(paths) == (1 if single else 9)
    for path in paths:
        inode = path.stat().st_ino
        mine = [i for i, (what, it) in enumerate(seen[:end]) if it == inode]
        assert seen[mine[-1]][0] == "flush", path
    assert ("flush", tmp_path.stat().st_ino) in seen[end:]


def test_a_disk_that_refuses_to_flush_keeps_what_is_done(
    jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DiskError, match=r"No space left .*what is done is kept"):
            write_jobs(jobs, out, sync=True)
    assert not out.exists()
    said: list[str] = []
    write_jobs(jobs, out, tell=said.append)
    assert said == ["4 of 4 tensors were there already"]
    assert load(out)[0]["3"][0].item() == 0.5
