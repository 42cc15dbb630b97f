"""Whatever the inputs are, a merge that was killed goes on where it was."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor

from dale.merge import stream
from dale.merge.engine import planned
from dale.merge.heads import Headless, TwiceNamed
from dale.merge.manifest import plan_digest
from dale.merge.tokens import TruncatedWeights, aligned
from dale.weights import Weights, adapted, open_weights, save
from dale.weights.stamp import stamp_of_files, stamp_of_view

TABLE = "embed_tokens.weight"
NAMES = [*(f"layers.{i}.weight" for i in range(4)), TABLE, "norm.weight"]
pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")


def model(seed: int, rows: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        n: torch.randn(rows if n == TABLE else 4, 4, generator=generator) for n in NAMES
    }


def stored(path: Path, seed: int, rows: int = 3) -> Path:
    save(path / "model.safetensors", model(seed, rows), {})
    words = {"type": "WordLevel", "vocab": {f"w{i}": i for i in range(rows)}}
    (path / "tokenizer.json").write_text(json.dumps({"model": words}))
    return path


def adapter(path: Path, seed: int) -> Path:
    parts = model(seed)
    content = {}
    for i in range(4):
        start = f"base_model.model.layers.{i}"
        content[f"{start}.lora_A.weight"] = parts[f"layers.{i}.weight"][:2]
        content[f"{start}.lora_B.weight"] = parts[f"layers.{i}.weight"][:, :2] + 1
    save(path / "adapter_model.safetensors", content, {})
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 1}
    (path / "adapter_config.json").write_text(json.dumps(config))
    return path


def pickled(path: Path, seed: int, zipped: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model(seed), path, _use_new_zipfile_serialization=zipped)
    return path


def shards(path: Path, seed: int) -> Path:
    path.mkdir(parents=True)
    weights, place = model(seed), {}
    for i, names in enumerate((NAMES[:3], NAMES[3:])):
        torch.save({n: weights[n] for n in names}, path / f"{i}.bin")
        place |= dict.fromkeys(names, f"{i}.bin")
    index = path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": place}))
    return path


def distributed(path: Path, seed: int) -> Path:
    dcp.save({"model": model(seed)}, checkpoint_id=path, no_dist=True)
    return path


def make(kind: str, home: Path) -> None:
    """Write the files of two models of a kind."""
    for k, name in enumerate("ab"):
        path = home / kind / name
        if kind == "lora":
            stored(home / kind / "base", 9)
            adapter(path, k)
        elif kind in {"pt", "old"}:
            pickled(path.with_suffix(".pt"), k, kind == "pt")
        elif kind == "bin":
            shards(path, k)
        elif kind == "dcp":
            distributed(path, k)
        else:
            stored(path, k, 3 + 2 * k)


def opened(kind: str, home: Path) -> list[Weights]:
    """The two models, as they are merged."""
    paths = [home / kind / name for name in "ab"]
    if kind == "lora":
        return [adapted(home / kind / "base", path) for path in paths]
    if kind in {"pt", "old"}:
        return [open_weights(path.with_suffix(".pt")) for path in paths]
    found: list[Weights] = [open_weights(path) for path in paths]
    if kind == "aligned":
        return aligned(paths, found).weights_K
    if kind in {"headless", "twice"}:
        found = [TruncatedWeights(each, 3, [TABLE]) for each in found]
    if kind == "truncated":
        return [TruncatedWeights(each, 2, [TABLE]) for each in found]
    if kind == "headless":
        return [Headless(each, "norm.weight") for each in found]
    if kind == "twice":
        return [TwiceNamed(each, TABLE, "lm_head.weight") for each in found]
    return found


KINDS = ("lora", "dcp", "pt", "old", "bin", "aligned", "truncated", "headless", "twice")
KILLS = """
import json, os, shutil, signal, sys
from pathlib import Path

sys.path[:0] = sys.argv[2].split(os.pathsep)
from dale.merge import shards
from dale.merge.engine import planned
from dale.merge.stream import write_jobs
from test_resume_kinds import KINDS, opened

here = Path(sys.argv[1])
put, puts = shards.Shard.put, []

def work(kind, die):
    def dying(pieces):
        for piece in pieces:
            if len(puts) == die:
                # half of a tensor is there
                yield piece[: len(piece) // 2]
                os.kill(os.getpid(), signal.SIGKILL)
            yield piece

    def counted(self, handle, job, pieces):
        puts.append(job.name)
        return put(self, handle, job, dying(pieces))

    shards.Shard.put = counted
    plan = planned(opened(kind, here), "linear", None, {"weight": (1, 2)})
    write_jobs(plan.jobs, here / kind / "out", threads=1)

def child(kind, die=0):
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            work(kind, die)
            os.write(write, json.dumps(len(puts)).encode())
            os._exit(0)
        except BaseException as error:
            print(kind, repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    os.close(write)
    assert os.WIFSIGNALED(status) == bool(die), (kind, die, status)
    return os.read(read, 99).decode()

def content(out):
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}

found = {}
for kind in KINDS:
    out = here / kind / "out"
    whole = child(kind)
    expected = content(out)
    shutil.rmtree(out)
    child(kind, 3)
    child(kind, 2)
    found[kind] = [int(whole), int(child(kind)), content(out) == expected]
    assert sorted(p.name for p in out.parent.iterdir() if p.name[0] == ".") == []
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int]]:
    home = tmp_path_factory.mktemp("killed")
    for kind in KINDS:
        make(kind, home)
    paths = os.pathsep.join((str(Path(__file__).parent), *filter(None, sys.path)))
    done = subprocess.run(
        [sys.executable, "-c", KILLS, str(home), paths],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", KINDS)
def test_killed_twice_and_resumed(kind: str, killed: dict[str, list[int]]) -> None:
    whole, last, same = killed[kind]
    assert whole == len(NAMES) - (kind == "headless")
    # two tensors of the first process are kept, and one of the second
    assert last == whole - 3
    assert same


def digest(models: list[Weights]) -> str | None:
    jobs = planned(models, "uniform", None, {}).jobs
    return plan_digest(jobs, 0, 100, {}, {})


@pytest.mark.parametrize("kind", KINDS)
def test_another_content_is_another_plan(kind: str, tmp_path: Path) -> None:
    make(kind, tmp_path)
    first = digest(opened(kind, tmp_path))
    assert first is not None
    assert digest(opened(kind, tmp_path)) == first
    files = [p for p in sorted((tmp_path / kind).rglob("*")) if p.is_file()]
    for path in files:
        if path.name in {"tokenizer.json", "pytorch_model.bin.index.json"}:
            continue
        path.touch()
        changed = digest(opened(kind, tmp_path))
        assert changed != first, path
        first = changed


@pytest.mark.parametrize("change", ["rows", "names", "model", "head"])
def test_another_view_is_another_plan(change: str, tmp_path: Path) -> None:
    paths = [stored(tmp_path / name, k, 3 + k) for k, name in enumerate("ab")]
    one, two = (open_weights(path) for path in paths)
    pairs: dict[str, list[Weights]] = {
        "rows": [TruncatedWeights(one, n, [TABLE]) for n in (2, 3)],
        "names": [TruncatedWeights(one, 3, n) for n in ([TABLE], ["norm.weight"])],
        "model": aligned(paths, [one, two], pad_to_multiple_of=8).weights_K,
        "head": [Headless(one, name) for name in NAMES[:2]],
    }
    first, second = pairs[change]
    assert first.stamp != second.stamp  # type: ignore[attr-defined]


def test_models_in_memory_have_no_stamp(tmp_path: Path) -> None:
    path = adapter(tmp_path / "lora", 1)
    assert stamp_of_view("headless", [model(0)]) is None
    assert adapted(model(0), path).stamp is None
    assert digest([adapted(model(0), path)]) is None
    stream([adapted(model(0), path)], tmp_path / "out")
    assert not (tmp_path / ".out.partial").exists()


def test_an_entry_of_a_file_is_part_of_the_stamp(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save({"student": model(0), "teacher": model(1)}, path)
    both = [open_weights(path, key) for key in ("student", "teacher")]
    assert both[0].stamp != both[1].stamp


def test_both_ends_of_large_files_count(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(5 << 20))
    os.utime(path, ns=(0, 0))
    first = stamp_of_files([path])
    for place in (0, (5 << 20) - 1):
        with path.open("r+b") as file:
            file.seek(place)
            file.write(b"!")
        os.utime(path, ns=(0, 0))
        assert stamp_of_files([path]) != first
        first = stamp_of_files([path])
