"""Merges that are killed, refused or damaged."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dale.errors import CorruptError, DiskError, LockedError, StoreError, WeightsError
from dale.files import PARTIAL
from dale.merge import merge, shards, stream
from dale.merge.manifest import MANIFEST, verify
from dale.store.lock import writing
from dale.weights import load, save

KILLS = """
import os, random, shutil, signal, sys, time
from pathlib import Path
from dale.merge import stream

here, kills = Path(sys.argv[1]), int(sys.argv[2])
out, chance = here / "out", random.Random(0)

def work():
    models = [here / f"{k}.safetensors" for k in range(3)]
    settings = {"density": 0.5, "shard_bytes": 400_000, "base": models[0], "seed": 4}
    stream(models[1:], out, "dare_ties", **settings)

def content():
    return {path.name: path.read_bytes() for path in out.iterdir()}

def child():
    pid = os.fork()
    if not pid:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
    return pid

begun = time.perf_counter()
os.waitpid(child(), 0)
took, expected, met = time.perf_counter() - begun, content(), 0
shutil.rmtree(out)
while met < kills:
    pid = child()
    time.sleep(chance.uniform(0, took))
    os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    killed = os.WIFSIGNALED(status)
    met += killed
    assert killed or os.WEXITSTATUS(status) == 0
    if out.exists():
        assert content() == expected
        shutil.rmtree(out)
    else:
        assert killed
os.waitpid(child(), 0)
assert content() == expected
print(f"{met} kills, the same bytes; left: {sorted(p.name for p in here.iterdir())}")
"""


def model(seed: int, tensors: int = 10, size: int = 20_000) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {f"{i}": torch.randn(size, generator=generator) for i in range(tensors)}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{k}.safetensors" for k in range(3)]
    for k, path in enumerate(paths):
        save(path, model(k, 6), {})
    return paths


def stop_after(count: int, monkeypatch: pytest.MonkeyPatch, error: BaseException):
    """Let so many tensors be written, and raise then."""
    put, done = shards.Shard.put, []

    def failing(self: Any, *given: Any) -> str:
        if len(done) == count:
            raise error
        done.append(1)
        return put(self, *given)

    monkeypatch.setattr(shards.Shard, "put", failing)
    return done


def partial(out: Path) -> Path:
    return out.parent / f".{out.name}{PARTIAL}"


def test_killed_at_fifty_random_moments(files: list[Path], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLS, str(tmp_path), "50"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("50 kills, the same bytes")
    assert partial(tmp_path / "out").name not in done.stdout


@pytest.mark.parametrize("name", ["out", "out.safetensors"])
def test_a_full_disk_keeps_what_is_done(
    name: str, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream(files, tmp_path / f"expected-{name}", "karcher")
    out = tmp_path / name
    with monkeypatch.context() as patch:
        stop_after(4, patch, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        with pytest.raises(DiskError, match=r"No space left .*what is done is kept"):
            stream(files, out, "karcher")
    assert not out.exists()
    assert not list(tmp_path.rglob("config.json"))
    with monkeypatch.context() as patch:
        done = stop_after(99, patch, AssertionError())
        stream(files, out, "karcher")
    assert len(done) == 2
    assert not partial(out).exists()
    one, two = load(tmp_path / f"expected-{name}")[0], load(out)[0]
    assert all(torch.equal(one[n], two[n]) for n in one)


def left_half_way(
    files: list[Path], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(3, patch, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            stream(files, out, "linear", weight=(1, 2, 3))
    assert partial(out).exists()


@pytest.mark.parametrize("change", ["settings", "seed", "input", "journal"])
def test_what_was_begun_for_something_else_is_not_used(
    change: str, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, settings = tmp_path / "out", {"weight": (1, 2, 3), "seed": 0}
    left_half_way(files, out, monkeypatch)
    if change == "settings":
        settings["weight"] = (1, 2, 4)
    elif change == "seed":
        settings["seed"] = 1
    elif change == "input":
        save(files[0], model(9, 6), {})
    else:
        journal = partial(out) / "journal.jsonl"
        journal.write_text(journal.read_text().replace("plan", "plam"))
    with monkeypatch.context() as patch:
        done = stop_after(99, patch, AssertionError())
        stream(files, out, "linear", **settings)
    assert len(done) == 6
    expected = merge(files, "linear", **settings)
    found = load(out)[0]
    assert all(torch.equal(found[n], expected[n]) for n in expected)


def test_bytes_that_a_power_cut_has_eaten_are_made_again(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    left_half_way(files, out, monkeypatch)
    path = partial(out) / "files" / "model.safetensors"
    os.truncate(path, 100_000)
    os.truncate(path, 480_000)
    with monkeypatch.context() as patch:
        done = stop_after(99, patch, AssertionError())
        stream(files, out, "linear", weight=(1, 2, 3))
    assert 3 < len(done) < 6
    expected = merge(files, "linear", weight=(1, 2, 3))
    found = load(out)[0]
    assert all(torch.equal(found[n], expected[n]) for n in expected)


def test_two_at_once(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    partial(out).mkdir()
    with (
        writing(partial(out)),
        pytest.raises(LockedError, match="written by another process"),
    ):
        stream(files, out)


def test_models_in_memory_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(2, monkeypatch, OSError(errno.ENOSPC, "full"))
    with pytest.raises(DiskError, match=r"full$"):
        stream([model(0), model(1)], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_do_not_matter(threads: int, tmp_path: Path) -> None:
    from dale.merge.engine import planned
    from dale.merge.stream import write_jobs

    models, settings = [model(0), model(1)], {"density": 0.3}
    jobs = planned(models, "dare_ties", model(2), settings).jobs
    seen: list[tuple[int, int]] = []

    def watch(done: int, whole: int) -> None:
        seen.append((done, whole))

    write_jobs(jobs, tmp_path / "out", seed=2, threads=threads, watch=watch)
    found = load(tmp_path / "out")[0]
    expected = merge(models, "dare_ties", base=model(2), seed=2, **settings)
    assert all(torch.equal(found[n], expected[n]) for n in expected)
    assert seen == [(80_000 * i, 800_000) for i in range(1, 11)]


def test_a_merged_folder_is_verified(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    paths = stream(files, out, shard_bytes=200_000)
    assert verify(out) == []
    said = json.loads((out / MANIFEST).read_text())
    assert said["tensors"]["0"]["method"] == "uniform"
    assert [*said["inputs"]["input 1"]] == [str(files[1])]
    content = bytearray(paths[1].read_bytes())
    content[-1] ^= 1
    paths[1].write_bytes(content)
    (line,) = verify(out)
    assert f"{paths[1]}: '3' was altered" in line
    paths[1].write_bytes(content[:-1])
    (line,) = verify(out)
    assert str(paths[1]) in line
    paths[1].unlink()
    assert verify(out) == [f"{paths[1]} is missing"]
    paths[0].write_bytes(paths[0].read_bytes()[:-1])
    assert [line.split(" is ")[0].split(":")[0] for line in verify(out)] == [
        str(path) for path in paths[:2]
    ]


def test_files_that_a_reader_may_take_for_tensors_are_told(
    files: list[Path], tmp_path: Path
) -> None:
    stream(files, tmp_path / "one")
    stream(files, tmp_path / "many", shard_bytes=200_000)
    assert verify(tmp_path / "many") == []
    for out in (tmp_path / "one", tmp_path / "many"):
        strays = ["adapter_model.safetensors", "pytorch_model.bin"]
        if out.name == "one":  # of a result in one file there is no index
            strays.append("model.safetensors.index.json")
            index = {"weight_map": {str(i): "model.safetensors" for i in range(6)}}
            (out / strays[-1]).write_text(json.dumps(index))
        save(out / strays[0], {"0": torch.ones(1)}, {})
        for name in (strays[1], "notes.txt", "soundness.json"):
            (out / name).touch()
        assert sorted(verify(out)) == sorted(
            f"{out / name} is unknown: the merge did not write it" for name in strays
        )


def test_manifests_that_are_damaged_or_not_there(
    files: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match=r"dale_merge\.json is missing"):
        verify(tmp_path)
    stream(files, tmp_path / "out")
    path = tmp_path / "out" / MANIFEST
    path.write_text(path.read_text().replace('"uniform"', '"unifarm"', 1))
    with pytest.raises(CorruptError, match="was altered"):
        verify(tmp_path / "out")


def test_a_merge_that_cannot_succeed_says_so_again(
    files: list[Path], tmp_path: Path
) -> None:
    odd = model(5, 6) | {"5": torch.ones(20_000, dtype=torch.int64)}
    save(files[1], odd, {})
    for _ in range(2):
        with pytest.raises(WeightsError, match="'5': floating-point in one model"):
            stream(files, tmp_path / "out")
    assert not (tmp_path / "out").exists()
