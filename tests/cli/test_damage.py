"""Damaged, locked and unwritable runs: named in one line, and left as they are."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from cases.bad_input import changed, of_source, one_line
from cases.damage import (
    LOG,
    MEMBER,
    POPULATION,
    RECIPE_FILE,
    RECORD,
    STATE,
    alter_log,
    cut,
    damage,
    edit,
    empty,
    flip,
    folder_instead,
    last_line_gone,
    newer,
    newer_weights,
)
from cases.data import write_idx
from cases.runs import RECIPE
from dale import files
from dale.store.lock import writing

DAMAGE = {
    "list cut": (POPULATION, cut, "evaluate run", 1, r"truncated.*NEW$"),
    "list flipped": (POPULATION, flip, "show run", 1, r"altered.*; restore it f"),
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
    "inputs cut": ("inputs.json", cut, "evaluate run", 1, r"truncated.* or delete it"),
    "inputs flipped to train": (
        "inputs.json",
        flip,
        "train --resume run",
        1,
        r"delete it and run: dale train --resume run, which writes it anew",
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
    "recipe emptied": (
        RECIPE_FILE,
        empty,
        "evaluate run",
        2,
        r"was altered since train",
    ),
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
