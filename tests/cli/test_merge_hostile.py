"""Damaged models, impossible configurations and places: one line, nothing done."""

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
import torch
from safetensors.torch import save_file

from dale.files import PARTIAL
from dale.merge import shards
from dale.merge.place import place_problem, unfinished_at
from dale.store.lock import writing
from dale.weights import load, save

TEXT = "merge_method: linear\nparameters: {weight: 1}\n"
TEXT += "models: [{model: a}, {model: b}]\n"
B = Path("b/model.safetensors")
INDEX = "b/model.safetensors.index.json"


def network(name: str, value: float, **changes: torch.Tensor) -> None:
    weights = {f"layers.{i}.w": torch.full((2, 2), value) for i in range(2)}
    weights["embed_tokens.weight"] = torch.full((4, 2), value)
    save(f"{name}/model.safetensors", weights | changes, {})


@pytest.fixture(autouse=True)
def models():
    network("a", 1.0)
    network("b", 3.0)
    Path("c.yml").write_text(TEXT)


def everything() -> dict[str, bytes]:
    found = (path for path in Path().rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in found}


def refused(dale, words: str, out: str = "out", *, partial: bool = False) -> None:
    """Both the plan and the merge say so in one line, and nothing is changed."""
    before = everything()
    for more in (["--plan"], []):
        said = dale("merge", "c.yml", out, *more)
        told = [x for x in said.err.splitlines() if not x.startswith("note: ")]
        assert said.code in {1, 2}, more
        assert len(told) == 1, told
        assert words in told[0]
        assert told[0].startswith("dale: c.yml: ")
        assert everything() == before
        left = [path for path in Path().iterdir() if path.name.endswith(PARTIAL)]
        assert bool(left) == partial


def written(header: object, data: bytes = b"") -> Callable[[], None]:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return lambda: B.write_bytes(struct.pack("<Q", len(text)) + text + data) and None


def entry(dtype: str, shape: list[int], *offsets: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [*offsets]}


def cut(size: int) -> Callable[[], None]:
    return lambda: os.truncate(B, size)


def sharded(change: Callable[[dict[str, str]], object]) -> Callable[[], None]:
    """Two shards and their index, changed."""

    def do() -> None:
        weights, _ = load("b")
        B.unlink()
        names = [*weights]
        place = {}
        for i, part in enumerate((names[:1], names[1:])):
            save_file({n: weights[n] for n in part}, f"b/{i}.safetensors")
            place |= dict.fromkeys(part, f"{i}.safetensors")
        change(place)
        Path(INDEX).write_text(json.dumps({"weight_map": place}))

    return do


def of_type(dtype: torch.dtype, *names: str) -> Callable[[], None]:
    def do() -> None:
        for name in names:
            weights, _ = load(name)
            save(f"{name}/model.safetensors", {n: t.to(dtype) for n, t in
                                               weights.items()}, {})  # fmt: skip

    return do


DAMAGED: dict[str, tuple[Callable[[], object], str]] = {
    "truncated": (cut(700), "b/model.safetensors: not a whole safetensors file"),
    "truncated header": (cut(40), "b/model.safetensors: not a whole"),
    "seven bytes": (cut(7), "b/model.safetensors: not a whole"),
    "empty": (cut(0), "b/model.safetensors: the file is empty"),
    "another kind": (lambda: B.write_bytes(b"<html>" * 99), "not a whole safetensors"),
    "enormous header": (lambda: B.write_bytes(b"\xff" * 99), "not a whole safetensors"),
    "header of another kind": (written([1, 2]), "not a whole safetensors"),
    "header lies on shapes": (
        written({"x": entry("F32", [9], 0, 8)}, bytes(8)),
        "invalid shape, data type, or offset",
    ),
    "header lies on places": (
        written(
            {"x": entry("F32", [2], 0, 8), "y": entry("F32", [2], 4, 12)}, b"." * 12
        ),
        "invalid offset for tensor",
    ),
    "header lies on sizes": (
        written({"x": entry("F32", [2**40, 2**40], 0, 8)}, bytes(8)),
        "overflow",
    ),
    "type of the future": (
        written({"x": entry("F4", [4], 0, 2)}, bytes(2)),
        "b/model.safetensors: 'x' has type F4",
    ),
    "no tensors": (written({}), "b: names missing: 'embed_tokens.weight'"),
    "no weights": (B.unlink, "b: expected a file of weights, found none"),
    "shard missing": (
        sharded(lambda _: Path("b/1.safetensors").unlink()),
        "b/1.safetensors: no such file",
    ),
    "shard truncated": (
        sharded(lambda _: os.truncate("b/1.safetensors", 99)),
        "b/1.safetensors: not a whole",
    ),
    "shard empty": (
        sharded(lambda _: os.truncate("b/1.safetensors", 0)),
        "b/1.safetensors: the file is empty",
    ),
    "index names a ghost": (
        sharded(lambda place: place.update(ghost="0.safetensors")),
        "names not in the shard that the index says: 'ghost in 0.safetensors'",
    ),
    "index lacks a name": (
        sharded(lambda place: place.pop("layers.0.w")),
        "names not in the index: 'layers.0.w'",
    ),
    "index names the other shard": (
        sharded(lambda place: place.update({"layers.0.w": "0.safetensors"})),
        "'layers.0.w in 0.safetensors'",
    ),
    "index leads elsewhere": (
        sharded(lambda place: place.update(x="../a/model.safetensors")),
        "shards must lie beside it",
    ),
    "shape": (
        lambda: network("b", 3.0, **{"layers.1.w": torch.ones(3)}),
        "b: shape (3,), but (2, 2) in a: 'layers.1.w'",
    ),
    "vocabulary": (
        lambda: network("b", 3.0, **{"embed_tokens.weight": torch.ones(6, 2)}),
        "vocabularies differ, 4 rows in a and 6 in b; set tokenizer_source",
    ),
    "missing tensor": (
        lambda: network("a", 1.0, extra=torch.ones(2)),
        "b: names missing: 'extra'",
    ),
    "eight bits and more": (
        of_type(torch.float8_e4m3fn, "b"),
        "float32 and float8_e4m3fn have no common type; set dtype, such as float32",
    ),
    "integers in one": (
        of_type(torch.int32, "b"),
        "floating-point in one model and not in all",
    ),
    "config": (
        lambda: Path("b/config.json").write_text("{"),
        "b/config.json: not JSON",
    ),
    "pickle that runs code": (
        lambda: (torch.save({"w": print}, "b/x.bin"), B.unlink()),
        "b/x.bin: holds more than tensors, which dale never unpickles",
    ),
    "pickle cut off": (
        lambda: (Path("b/x.bin").write_bytes(b"PK\x03\x04" + bytes(90)), B.unlink()),
        "b/x.bin: not a whole PyTorch file: PytorchStreamReader failed",
    ),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGED.values(), ids=DAMAGED)
def test_models_that_cannot_be_read_or_do_not_fit(damage, words, dale):
    damage()
    refused(dale, words)


def test_types_that_can_be_merged(dale):
    of_type(torch.float8_e4m3fn, "b")()
    Path("c.yml").write_text(TEXT + "dtype: float32\n")
    assert dale("merge", "c.yml", "one").code == 0
    assert load("one")[0]["layers.0.w"].tolist() == [[2.0, 2.0]] * 2
    Path("c.yml").write_text(TEXT)
    for dtype in (torch.float8_e4m3fn, torch.bool, torch.int8, torch.complex64):
        of_type(dtype, "a", "b")()
        name = str(dtype)
        assert dale("merge", "c.yml", name).code == 0
        assert load(name)[0]["layers.0.w"].dtype == dtype


def test_complex_tensors_are_refused_from_headers(dale):
    of_type(torch.complex64, "a", "b")()
    ties = TEXT.replace("linear", "ties") + "base_model: a\n"
    Path("c.yml").write_text(ties.replace("{model: a}, ", ""))
    refused(dale, "ties cannot merge complex tensors")


def of(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new)


LAUGHS = "x: &a0 [1, 1, 1]\n" + "".join(
    f"x{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30)
)
PATH = "merge_method: slerp\nbase_model: a\nmodels: [{model: b}]\n"
PATH += "parameters: {t: T}\n"
PAIR = "merge_method: nuslerp\nmodels: [{model: a}, {model: b}]\n"
SLICE = "merge_method: passthrough\n"
SLICE += "slices: [{sources: [{model: a, layer_range: RANGE}]}]\n"
WRONG: dict[str, tuple[str | bytes, str]] = {
    "syntax": ("merge_method: [linear\n", "line 2 is not YAML: expected ',' or ']'"),
    "tabs": ("merge_method:\tlinear\n\tmodels: 3", "line 1 is not YAML"),
    "code": (TEXT + "x: !!python/name:os.system\n", "line 4 is not YAML"),
    "not text": (TEXT.encode("utf-16"), "cannot be read as text"),
    "nothing": ("# only a comment", "holds nothing; expected a mapping of keys"),
    "depth": ("models: " + "[" * 600, "lists or mappings in each other too deep"),
    "cycle": ("merge_method: linear\nmodels: &a [*a]\n", "models[0]: expected a map"),
    "cycle of values": (of("1}", "&a [*a]}"), "got a list in a list"),
    "cycle of cases": (of("1}", "&a [{value: *a}]}"), "parameters.weight: expected a"),
    "digits": (of("1}", "9" * 400 + "}"), "weight: must be finite, got 99999999"),
    "more digits": (of("1}", "9" * 5000 + "}"), "not YAML: Exceeds the limit"),
    "exponent": (of("1}", "1e400}"), "weight must be finite, got '1e400'"),
    "NaN": (of("1}", ".nan}"), "weight: must be finite, got nan"),
    "NaN on the way": (of("1}", "[1, .nan]}"), "weight: must be finite, got nan"),
    "NaN between layers": (of("1}", "[1, .nan, 1]}"), "weight: must be finite, got"),
    "NaN of a word": (of("1}", "'nan'}"), "weight must be finite, got 'nan'"),
    "beyond float32": (of("1}", "1.0e+39}"), "must lie within ±3.4e38, got 1e+39"),
    "word beyond float32": (of("1}", "1e39}"), "must lie within ±3.4e38, got '1e39'"),
    "sum beyond float32": (
        "merge_method: task_arithmetic\nbase_model: a\n"
        "models: [{model: b}, {model: b}]\nparameters: {weight: 3.0e+38}\n",
        "task_arithmetic makes inf of numbers about 1 with these settings",
    ),
    "truth": (of("1}", "true}"), "weight must be a number, got true"),
    "truth of a path": (PATH.replace("T", "yes"), "t must be a number, got true"),
    "truth of layers": (SLICE.replace("RANGE", "[false, 1]"), "number; got false"),
    "truth of a share": (
        SLICE.replace("RANGE}]", "[0, 1]}], residual_weight: true"),
        "slices[0].residual_weight: expected a number; got true",
    ),
    "no layers": (SLICE.replace("RANGE", "[1, 1]"), "length, 1 or more; got [1, 1]"),
    "no template": (
        TEXT + "chat_template: 'x {% if'\n",
        "chat_template: line 1 is not Jinja: unexpected 'end of template'",
    ),
    "cancelling": (PAIR + "parameters: {weight: 0}\n", "must not sum to 0: (0.0, 0.0)"),
    "NaN of a method": (
        "merge_method: task_arithmetic\nbase_model: a\nmodels: [{model: b}]\n"
        "parameters: {weight: 1, lambda: .nan}\n",
        "lambda: must be finite, got nan",
    ),
    "NaN of a path": (PATH.replace("T", ".nan"), "t: must be finite, got nan"),
    "infinite count": (
        "merge_method: karcher\nmodels: [{model: a}, {model: b}]\n"
        "parameters: {max_iter: .inf}\n",
        "max_iter: must be finite, got inf",
    ),
    "date": (of("1}", "2024-01-01}"), "parameters.weight: expected a number"),
    "no models": ("merge_method: linear\nmodels: []\n", "exactly one of models"),
    "model null": (of("model: b", "model: "), "expected path, path@revision or path+l"),
    "model number": (of("model: b", "model: 5"), "models[1].model: expected path"),
    "model long": (of("model: b", f"model: {'x' * 5000}"), "no such file or folder"),
    "type of a list": (TEXT + "dtype: [float32]\n", "dtype: unknown type ['float32']"),
    "key number": (TEXT + "5: 1\n", "keys should be strings; got 5"),
    "key twice": (TEXT + "models: []\n", "line 4 is not YAML: the key 'models' stands"),
    "method": (of("linear", "lineer"), "unknown merge_method 'lineer'"),
    "layers beyond": (SLICE.replace("RANGE", f"[0, {10**15}]"), "of a, which has 2"),
    "layers by name": (SLICE.replace("RANGE", "[0, b]"), "expected a whole number"),
    "three layers": (SLICE.replace("RANGE", "[0, 1, 2]"), "_range: expected 2 items"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
def test_configurations_that_cannot_be(text, words, dale):
    content = text if isinstance(text, bytes) else text.encode()
    Path("c.yml").write_bytes(content)
    refused(dale, words)


def test_a_broken_template_of_a_model_is_noted_and_another_one_helps(dale):
    Path("a/chat_template.jinja").write_text("{{ x }}\n{% if")
    said = dale("merge", "c.yml", "--plan")
    assert said.code == 0
    assert said.err == (
        "note: chat template of a, carried as it is: line 2 is not Jinja: unexpected "
        "'end of template'\n"
    )
    Path("c.yml").write_text(TEXT + "chat_template: chatml\n")
    assert dale("merge", "c.yml", "--plan").err == ""
    Path("a/tokenizer_config.json").write_text("[" * 10**5)
    refused(dale, "tokenizer_config.json: not JSON")


def test_going_beyond_the_models_is_noted(dale):
    for t, words in (("1.5", "t is 1.5 at its"), ("[1, -2]", "t is -2 at"), ("1", "")):
        Path("c.yml").write_text(PATH.replace("T", t))
        said = dale("merge", "c.yml", "--plan")
        assert said.code == 0
        assert words in said.err
        assert ("slerp goes beyond the models" in said.err) == bool(words)


def test_an_explosion_of_aliases_is_told_at_once(dale):
    Path("c.yml").write_text(LAUGHS + "merge_method: linear\nmodels: *a29\n")
    said = dale("merge", "c.yml", "--plan")
    assert said.code == 1
    assert "unknown key 'x'" in said.err
    assert max(map(len, said.err.splitlines())) < 400


def test_a_model_that_stands_twice_is_noted(dale):
    Path("c.yml").write_text(of("model: b", "model: ./a"))
    said = dale("merge", "c.yml", "out")
    assert said.code == 0
    assert "note: models: a stands 2 times" in said.err


def test_names_give_no_orders_to_the_terminal(dale):
    name = "b\x1b]0;owned\x07\u202e"
    network(name, 3.0, **{name: torch.ones(1)})
    models = [{"model": "a"}, {"model": name}]
    Path("c.yml").write_text(json.dumps(
        {"merge_method": "linear", "parameters": {"weight": 1}, "models": models}
    ))  # fmt: skip
    for more in (["--plan"], []):
        said = dale("merge", "c.yml", "out", *more)
        assert said.code == 1
        assert "dale: c.yml: a: names missing: 'b\\x1b]0;owned\\x07\\u202e'" in said.err
        assert "\x1b" not in said.err + said.out
    Path(name, "model.safetensors").write_bytes(b"")
    said = dale("merge", "c.yml", "out")
    line = "b\\x1b]0;owned\\x07\\u202e/model.safetensors: the file is empty\n"
    assert said.err == f"dale: c.yml: {line}"


def test_names_that_are_no_text_are_told(dale):
    B.rename(os.fsdecode(b"b/\xff.safetensors"))
    os.truncate(os.fsdecode(b"b/\xff.safetensors"), 0)
    refused(dale, "b/\\udcff.safetensors: the file is empty")


def link(to: str) -> Callable[[], None]:
    return lambda: os.symlink(to, "out")


PLACES: dict[str, tuple[str, Callable[[], object], str]] = {
    "file": ("out", Path("out").touch, "out must be a new or an empty folder"),
    "not empty": ("a", dict, "a must be a new or an empty folder"),
    "inside an input": ("a/x/out", dict, "a/x/out lies inside a, which is read"),
    "below a file": ("c.yml/out", dict, "c.yml is not a folder"),
    "link to nothing": ("out", link("nowhere"), "out is a link; name the folder"),
    "link to itself": ("out", link("out"), "out is a link"),
    "link to a folder": ("out", link("a"), "out is a link"),
    "long name": ("x" * 250, dict, "the name is too long"),
    "longer name": ("x" * 300, dict, "too long"),
    "single file": ("o.safetensors", dict, "a folder is needed for config"),
    "no room": ("/proc/out", dict, "/proc/out: "),
}


@pytest.mark.parametrize(("out", "make", "words"), PLACES.values(), ids=PLACES)
def test_places_that_cannot_be_written_to(out, make, words, dale):
    if out.startswith("/proc") and not Path("/proc/self").exists():
        pytest.skip("no folder that takes nothing")
    make()
    refused(dale, words, out)


def test_the_folder_that_one_is_in(dale, monkeypatch):
    Path("here").mkdir()
    monkeypatch.chdir("here")
    said = dale("merge", "../c.yml", ".")
    assert said.err.endswith(". is the folder that you are in; name another one\n")


def test_a_mounted_disk(dale, monkeypatch):
    Path("disk").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "disk")
    refused(dale, "disk is where a disk is mounted; name a folder in it", "disk")


def test_room_that_an_unfinished_merge_takes_up_is_counted(dale, monkeypatch):
    network("a", 1.0, embed_large=torch.ones(500_000))
    network("b", 3.0, embed_large=torch.ones(500_000))
    real = shutil.disk_usage(".")
    with monkeypatch.context() as patch:
        stop(patch, 3, interrupt)
        dale("merge", "c.yml", "out")
    partial = Path(".out.partial/files/model.safetensors")
    assert partial.stat().st_blocks * 512 > 1_900_000
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real._replace(free=500_000))
    refused(dale, "new: 2,000,", "new", partial=True)
    assert dale("merge", "c.yml", "out").code == 0


def test_something_else_where_the_work_would_be_done(dale):
    Path("elsewhere/files").mkdir(parents=True)
    Path("elsewhere/files/precious").touch()
    os.symlink("elsewhere", ".out.partial")
    said = dale("merge", "c.yml", "out")
    assert said.err == "dale: c.yml: out: .out.partial is in the way\n"
    assert Path("elsewhere/files/precious").exists()


def test_a_folder_without_write_permission(dale, monkeypatch):
    Path("locked").mkdir()
    real = os.access
    monkeypatch.setattr(
        os,
        "access",
        lambda path, mode: Path(path).name != "locked" and real(path, mode),
    )
    refused(dale, "locked/out: locked cannot be written to", "locked/out")


def test_what_lies_in_the_partial_folder_by_chance_is_not_taken_over(dale):
    Path(".out.partial/files").mkdir(parents=True)
    Path(".out.partial/files/stranger.bin").touch()
    assert dale("merge", "c.yml", "out").code == 0
    assert not Path("out/stranger.bin").exists()


def stop(monkeypatch, after: int, then: Callable[[], object]):
    """Do something once so many tensors are written."""
    put, seen = shards.Shard.put, []

    def counted(self, *given):
        seen.append(1)
        if len(seen) == after:
            then()
        return put(self, *given)

    monkeypatch.setattr(shards.Shard, "put", counted)


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("change", ["another content", "another shape", "gone"])
def test_inputs_that_change_between_stop_and_resume(change, dale, monkeypatch):
    with monkeypatch.context() as patch:
        stop(patch, 2, interrupt)
        said = dale("merge", "c.yml", "out")
    assert (said.code, Path("out").exists()) == (130, False)
    assert said.err == "dale: stopped; nothing was lost\n"
    for name in ("out", ".out.partial"):
        told = dale("verify", name)
        assert (told.code, len(told.err.splitlines())) == (1, 1)
        assert told.err.startswith(f"dale: {name} is not finished: what is done lies")
    if change == "another content":
        network("b", 5.0)
        said = dale("merge", "c.yml", "out")
        assert said.code == 0
        assert "an unfinished merge of something else was thrown away" in said.err
        assert {t.mean().item() for t in load("out")[0].values()} == {3.0}
        return
    if change == "gone":
        B.unlink()
    else:
        network("b", 5.0, **{"layers.0.w": torch.ones(7)})
    said = dale("merge", "c.yml", "out")
    assert (said.code, len(said.err.splitlines())) == (1, 1)
    assert not Path("out").exists()


def test_inputs_that_change_while_they_are_read(dale, monkeypatch):
    stop(monkeypatch, 2, lambda: network("b", 5.0))
    said = dale("merge", "c.yml", "out")
    assert said.code == 2
    assert "changed while it was merged" in said.err
    assert len(said.err.splitlines()) == 1
    assert sorted(path.name for path in Path().iterdir()) == ["a", "b", "c.yml"]


def test_two_at_once_to_one_place(dale):
    Path(".out.partial").mkdir()
    with writing(Path(".out.partial")):
        said = dale("merge", "c.yml", "out")
    assert said.code == 1
    assert "is being written by another process" in said.err
    assert not Path("out").exists()


TWO = """
import os, sys
from dale.errors import LockedError
from dale.merge import run_config

def child():
    pid = os.fork()
    if not pid:
        try:
            run_config("c.yml", "out")
            os._exit(0)
        except (LockedError, ValueError) as error:
            os.write(1, f"{error}\\n".encode())  # whole, among others
            os._exit(3)
    return pid

pids = [child() for _ in range(4)]
print(sorted(os.waitpid(pid, 0)[1] >> 8 for pid in pids))
"""


def test_several_processes_at_once_to_one_place():
    for name, value in (("a", 1.0), ("b", 3.0)):
        save(f"{name}/model.safetensors", {"w": torch.full((10**6,), value)}, {})
    order = [sys.executable, "-c", TWO]
    done = subprocess.run(order, capture_output=True, text=True, check=False)
    *said, codes = done.stdout.splitlines()
    assert done.stderr == ""
    assert codes == "[0, 3, 3, 3]"
    expected = ("is being written by another", "must be a new or an empty folder")
    assert not [line for line in said if not any(words in line for words in expected)]
    assert load("out")[0]["w"].unique().tolist() == [2.0]
    assert not Path(".out.partial").exists()


def test_an_unfinished_result_that_comes_and_goes_is_in_nobodys_way():
    partial, over = unfinished_at(Path("out")), Event()

    def another():
        while not over.is_set():
            partial.mkdir()
            for number in range(5):
                (partial / f"{number}").touch()
            shutil.rmtree(partial)

    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(another)
        said = {place_problem(Path("out"), needed=1) for _ in range(500)}
        over.set()
        busy.result()
    assert said == {None}
