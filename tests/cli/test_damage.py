"""Damaged, locked and unwritable runs: named in one line, and left as they are."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from cases.bad_input import changed, of_source, one_line
from cases.data import write_idx
from cases.runs import RECIPE
from dale import files
from dale.recipes import Workbench, evaluate
from dale.store import Run
from dale.store.lock import writing


def flip(path):
    content = bytearray(path.read_bytes())
    content[-20] ^= 4
    path.write_bytes(content)


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def newer(path):
    text = path.read_text()
    assert '"schema": 1' in text
    path.write_text(text.replace('"schema": 1', '"schema": 2'))


def folder_instead(path):
    path.unlink()
    path.mkdir()


def edit(path):
    path.write_text(path.read_text().replace("epochs: 3", "epochs: 4"))


def newer_weights(path):
    content = path.read_bytes()
    assert content.count(b'"dale.schema":"1"') == 1
    path.write_bytes(content.replace(b'"dale.schema":"1"', b'"dale.schema":"2"'))


POPULATION, MEMBER = "population.json", "members/*.safetensors"
STATE, RECORD = "state/swa.safetensors", "results/evaluation.json"
LOG, RECIPE_FILE = "log.jsonl", "recipe.yaml"


def alter_log(path):
    """Another loss in the first line, which is still a record."""
    text = path.read_text()
    start = text.index('"train_loss": ') + len('"train_loss": ')
    path.write_text(text[:start] + "9" + text[start + 1 :])


def empty(path):
    path.write_bytes(b"")


def last_line_gone(path):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))


DAMAGE = {
    "list cut": (POPULATION, cut, "evaluate run", 1, r"population\.json is truncated"),
    "list flipped": (POPULATION, flip, "show run", 1, r"run/population\.json"),
    "list newer": (POPULATION, newer, "show run", 1, r"schema 2; .* newer dale wrote"),
    "list newer to train": (POPULATION, newer, "train --resume run", 1, r"newer dale"),
    "list gone": (POPULATION, Path.unlink, "show run", 1, r"missing although members"),
    "list a folder": (
        POPULATION,
        folder_instead,
        "show run",
        1,
        r"cannot be read: I",
    ),
    "member cut": (MEMBER, cut, "predict run", 1, r"run/members/\w{16}\.safetensors"),
    "member flipped": (MEMBER, flip, "predict run", 1, r"was altered: member 'swa-c01"),
    "member gone": (MEMBER, Path.unlink, "predict run", 1, r"is missing: it holds mem"),
    "member newer": (MEMBER, newer_weights, "predict run", 1, r"schema 2.*reads 1 or"),
    "state cut": (
        STATE,
        cut,
        "train --resume run",
        1,
        r"delete this file to train",
    ),
    "state flipped": (STATE, flip, "train --resume run", 1, r"state/swa\.safetensors"),
    "recipe edited": (
        "recipe.yaml",
        edit,
        "train --resume run",
        2,
        r"run was begun with another recipe\.yaml .* restore it, or train into another",
    ),
    "recipe no text": (
        "recipe.yaml",
        lambda path: path.write_bytes(bytes(range(256))),
        "evaluate run",
        1,
        r"run/recipe\.yaml cannot be read",
    ),
    "recipe no recipe": (
        "recipe.yaml",
        lambda path: path.write_text("a: 1"),
        "evaluate run",
        2,
        r"unknown key 'a'; known: .*; run/recipe\.yaml was altered since .* restore it",
    ),
    "recipe cut": (RECIPE_FILE, cut, "evaluate run", 2, r"altered since .*restore it"),
    "recipe emptied": (RECIPE_FILE, empty, "show run", 2, r"was altered since train"),
    "other data": (
        "recipe.yaml",
        lambda path: path.write_text(path.read_text().replace("val: 200", "val: 250")),
        "evaluate run",
        2,
        r"run was begun with another val \(see inputs\.json\)",
    ),
    "results newer": (RECORD, newer, "report run", 1, r"evaluation\.json has schema 2"),
    "results cut": (
        RECORD,
        cut,
        "report run",
        1,
        r"evaluation\.json is truncated.*; delete this file and run: dale evaluate$",
    ),
    "results flipped": (RECORD, flip, "report run", 1, r"delete this file and run: d"),
    "member of a finished run gone": (
        MEMBER,
        Path.unlink,
        "train --resume run",
        1,
        r"\.safetensors is missing: .*; restore it, or delete run/state/swa\.safet",
    ),
    "log altered": (
        LOG,
        alter_log,
        "train --resume run",
        1,
        r"log\.jsonl was altered.*; restore it, or delete run/state/nocycle\.safeten",
    ),
    "log cut": (LOG, last_line_gone, "train --resume run", 1, r"log\.jsonl was cut: "),
    "log gone": (LOG, Path.unlink, "train --resume run", 1, r"log\.jsonl is missing;"),
    "log": (
        "log.jsonl",
        lambda path: path.write_bytes(path.read_bytes().replace(b"{", b"<", 1)),
        "report run",
        1,
        r"log\.jsonl line 1 is not JSON",
    ),
}


@pytest.fixture(scope="session")
def evaluated(trained, tmp_path_factory):
    """The finished run with an evaluation; never to be changed."""
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(trained, folder)
    evaluate(Workbench(Run(folder)))
    return folder


def damage(where, how, source):
    """Copy a run to ``run`` and damage one file: the last that the pattern finds."""
    shutil.copytree(source, "run")
    population = Run("run").population
    found = sorted(Path("run").glob(where))
    path = population.path(population[-1]) if where == MEMBER else found[-1]
    how(path)
    return path


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_runs(name, trained, evaluated, dale, contents):
    where, how, command, code, pattern = DAMAGE[name]
    damage(where, how, evaluated if where == RECORD else trained)
    before = contents("run")
    one_line(dale(*command.split(), *quiet(command)), code, pattern)
    after = contents("run")
    assert {p: after[p] for p in before} == before


def quiet(command):
    return ["--json"] if command.split()[0] in ("predict", "train") else []


SEEN = {
    "log emptied": (LOG, empty, r"log\.jsonl was cut: it has 0 bytes of at least"),
    "log without its end": (LOG, last_line_gone, r"log\.jsonl was cut"),
    "log cut": (LOG, cut, r"log\.jsonl was cut"),
    "log gone": (LOG, Path.unlink, r"log\.jsonl is missing"),
    "log altered": (LOG, alter_log, r"log\.jsonl was altered"),
    "log flipped": (LOG, flip, r"log\.jsonl was altered"),
    "inputs gone": ("inputs.json", Path.unlink, r"run/inputs\.json is missing altho"),
    "inputs flipped": ("inputs.json", flip, r"inputs\.json was altered"),
    "state gone": (STATE, Path.unlink, r"missing although members of swa exist; res"),
    "state flipped": (STATE, flip, r"state/swa\.safetensors"),
    "member gone": (MEMBER, Path.unlink, r"\.safetensors is missing"),
    "recipe edited": (RECIPE_FILE, edit, r"begun with another recipe\.yaml"),
    "results cut": (RECORD, cut, r"evaluation\.json .*run: dale evaluate"),
    "schema cut": ("recipe.schema.json", cut, r"schema\.json is truncated or not JSON"),
    "schema emptied": ("recipe.schema.json", empty, r"with: dale show --schema > run"),
}


@pytest.mark.parametrize("name", SEEN)
def test_damage_that_verify_sees(name, evaluated, dale):
    where, how, pattern = SEEN[name]
    damage(where, how, evaluated)
    said = dale("verify", "run")
    assert said.code == 1
    assert re.search(pattern, said.err), said.err
    assert re.search(r"files read: \d problems?$", said.out.strip())


def test_lines_after_the_last_state_are_no_damage(run, dale):
    with open(run / LOG, "a") as file:
        file.write('{"trajectory": "swa", "epoch": 4}\n')
    assert dale("verify", "run").code == 0


def test_a_schema_of_another_version_is_only_mentioned(run, dale):
    (run / "recipe.schema.json").write_text("{}\n")
    said = dale("verify", "run")
    assert said.code == 0
    assert "not the schema of this dale" in said.err


def test_a_temporary_file_may_be_a_living_writers(run, dale):
    (run / "members" / ".x.safetensors.1.partial").touch()
    said = dale("verify", "run")
    assert said.code == 0
    assert "is being written, or was left by an interrupted write" in said.err


def test_a_run_without_members_needs_neither_inputs_nor_states(dale):
    Path("new").mkdir()
    Path("new/recipe.yaml").write_text(RECIPE)
    assert dale("verify", "new").code == 0


def test_a_broken_recipe_that_training_did_not_begin_with_is_plain(dale):
    Path("new").mkdir()
    Path("new/recipe.yaml").write_text("a: 1")
    said = dale("show", "new")
    assert "altered" not in said.err


@pytest.mark.parametrize("command", ["evaluate", "calibrate", "ensemble"])
def test_damaged_pools_are_forgotten_as_the_message_says(command, evaluated, dale):
    shutil.copytree(evaluated, "run")
    assert dale("ensemble", "run").code == 0
    path = Path("run/results/ensembles.json")
    cut(path)
    pattern = r"ensembles\.json .*; delete this file and pool .* again with: dale ensem"
    one_line(dale(command, "run"), 1, pattern)
    path.unlink()
    assert dale(command, "run").code == 0


@pytest.mark.parametrize(
    ("where", "how"),
    [(LOG, alter_log), (LOG, empty), (LOG, cut), (MEMBER, Path.unlink), (STATE, flip)],
)
def test_what_the_messages_say_makes_the_run_whole(where, how, trained, dale, contents):
    whole = contents(trained)
    damage(where, how, trained)
    for _ in range(4):
        said = dale("train", "--resume", "run", "--quiet")
        if said.code == 0:
            break
        for name in re.findall(r"run/state/\w+\.safetensors", said.err):
            Path(name).unlink()
    assert said.code == 0
    assert dale("verify", "run").code == 0
    found = {p.removeprefix("run/"): c for p, c in contents("run").items()}
    assert found == {str(Path(p).relative_to(trained)): c for p, c in whole.items()}


def test_training_one_again_never_drops_the_log_of_the_next(run, dale, contents):
    (run / "state/snapshot.safetensors").unlink()
    before = contents("run")
    pattern = r"training snapshot again .*; delete also run/state/swa\.safetensors$"
    one_line(dale("train", "--resume", "run", "--quiet"), 1, pattern)
    assert contents("run") == before


def test_a_full_disk_leaves_page_and_numbers_in_agreement(evaluated, dale, monkeypatch):
    shutil.copytree(evaluated, "run")
    assert dale("report", "run").code == 0
    folder = Path("run/report")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert len(before) == 2
    flush, calls = os.fsync, iter(range(10**6))

    def full(handle):
        if next(calls) >= 1:  # the first file fits
            raise OSError(28, "No space left on device")
        flush(handle)

    monkeypatch.setattr(files.os, "fsync", full)
    said = dale("report", "run")
    one_line(said, 1, r"could not write run/report/.*: No space left.*is intact")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("how", [cut, flip])
def test_a_damaged_prediction_is_noticed_and_made_again(how, evaluated, dale, contents):
    whole = contents(evaluated)
    path = damage("predictions/test/*.safetensors", how, evaluated)
    assert dale("verify", "run").code == 1
    ran = json.loads(dale("predict", "run", "--json").out)["ran"]
    assert len(ran) == 1
    assert path.read_bytes() == whole[str(evaluated / path.relative_to("run"))]
    assert dale("verify", "run").code == 0


def test_a_damaged_state_can_be_dropped_as_the_message_says(run, dale, contents):
    whole = contents("run")
    cut(run / "state/swa.safetensors")
    assert dale("train", "--resume", "run").code == 1
    (run / "state/swa.safetensors").unlink()
    assert dale("train", "--resume", "run").code == 0
    after = contents("run")
    for path in whole:
        assert after[path] == whole[path], path


def test_an_edited_recipe_with_the_same_command(run, dale, contents):
    Path("recipe.yaml").write_text(changed("epochs: 3", "epochs: 4"))
    before = contents("run")
    said = dale("train", "recipe.yaml", "run", "--resume")
    one_line(said, 2, r"run holds a run of another recipe; choose another folder")
    assert contents("run") == before


def test_resumed_with_other_data_under_the_same_name(dale, contents):
    Path("data").mkdir()
    write_idx(Path("data"))
    text = of_source("{source: idx, path: data, val: 12}")
    Path("recipe.yaml").write_text(text.replace("batch: 256", "batch: 8"))
    assert dale("train", "recipe.yaml", "new").code == 0
    path = Path("data/train-images-idx3-ubyte")
    content = bytearray(path.read_bytes())
    content[100] ^= 255
    path.write_bytes(content)
    before = contents("new")
    pattern = r"new was begun with another val.* restore it, or train into another"
    one_line(dale("train", "--resume", "new"), 2, pattern)
    one_line(dale("evaluate", "new"), 2, pattern)
    assert contents("new") == before


def test_a_half_written_log_line_is_no_damage(run, dale):
    path = run / "log.jsonl"
    path.write_bytes(path.read_bytes()[:-10])
    assert "8 epochs in the log" in dale("show", "run").out


@pytest.mark.parametrize("where", [1, 3, 9, 20])
def test_a_full_disk_while_training(where, dale, monkeypatch):
    Path("recipe.yaml").write_text(RECIPE)
    flush, calls = os.fsync, iter(range(10**6))

    def full(handle):
        if next(calls) >= where:
            raise OSError(28, "No space left on device")
        flush(handle)

    monkeypatch.setattr(files.os, "fsync", full)
    said = dale("train", "recipe.yaml", "new", "--quiet")
    one_line(said, 1, r"could not write new.*: No space left on device")
    assert not list(Path("new").rglob("*.partial"))


def test_a_full_disk_loses_nothing_and_training_goes_on(run, dale, contents):
    whole = {p: c for p, c in contents("run").items() if "inputs" not in p}
    Path("recipe.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        flush, calls = os.fsync, iter(range(10**6))

        def full(handle):
            if next(calls) >= 14:
                raise OSError(28, "No space left on device")
            flush(handle)

        patch.setattr(files.os, "fsync", full)
        assert dale("train", "recipe.yaml", "new", "--quiet").code == 1
    labels = Path("new/population.json").read_text()
    assert dale("verify", "new").code == 0
    assert dale("train", "recipe.yaml", "new", "--resume", "--quiet").code == 0
    assert Path("new/population.json").read_text() != labels
    for path, content in whole.items():
        assert Path("new", Path(path).relative_to("run")).read_bytes() == content


@pytest.mark.parametrize("command", ["predict run", "evaluate run", "merge run"])
def test_a_folder_that_may_not_be_written(command, run, dale, contents, monkeypatch):
    def refused(*arguments, **settings):
        raise PermissionError(13, "Permission denied")

    # the tests may run as root, whom no permission stops
    monkeypatch.setattr("dale.store.lock.os.open", refused)
    before = contents("run")
    one_line(dale(*command.split()), 1, r"could not write run/\.lock: Permission den")
    assert contents("run") == before


@pytest.mark.parametrize(
    "command", ["train --resume run", "evaluate run", "merge run", "predict run"]
)
def test_two_at_one_run(command, run, dale, contents):
    before = contents("run")
    with writing(run):
        said = dale(*command.split())
    one_line(
        said, 1, rf"run is being written by another process \(number {os.getpid()}"
    )
    assert contents("run") == before


def test_looking_at_a_run_that_is_being_written(run, dale):
    with writing(run):
        assert dale("show", "run").code == 0
        assert dale("verify", "run").code == 0


def test_brackets_and_colons_in_names_are_printed_as_they_are(trained, dale):
    shutil.copytree(trained, "a[/b]:smile:")
    said = dale("show", "a[/b]:smile:", "gone")
    one_line(said, 2, re.escape("a[/b]:smile:: no member named 'gone'"))
    said = dale("report", "a[/b]:smile:")
    assert (said.code, said.err) == (0, "")
    assert "a[/b]:smile:" in said.out
