"""What `verify` sees, and that doing as a message says mends the run."""

import os
import re
import shutil
from pathlib import Path

import pytest

from cases.bad_input import one_line
from cases.damage import (
    LOG,
    MEMBER,
    RECIPE_FILE,
    RECORD,
    STATE,
    alter_log,
    cut,
    damage,
    edit,
    empty,
    flip,
    last_line_gone,
)
from cases.runs import RECIPE
from dale import files

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


def test_digests_of_inputs_are_written_anew(trained, dale, contents):
    whole = contents(trained)
    path = damage("inputs.json", flip, trained)
    assert "delete it and run: dale train --resume run" in dale("predict", "run").err
    path.unlink()
    assert dale("train", "--resume", "run", "--quiet").code == 0
    found = {p.removeprefix("run/"): c for p, c in contents("run").items()}
    assert found == {str(Path(p).relative_to(trained)): c for p, c in whole.items()}


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
