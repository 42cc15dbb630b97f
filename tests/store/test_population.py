import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dale import files
from dale.errors import (
    CorruptError,
    DiskError,
    InputError,
    LockedError,
    SchemaError,
)
from dale.store import Population, Run, writing

WEIGHTS = {"w": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)}


@pytest.fixture
def population(tmp_path):
    return Population.create(tmp_path)


def add(population, label="a", shift=0.0, **facts):
    weights = {"w": WEIGHTS["w"] + shift, "n": WEIGHTS["n"]}
    return population.append(
        weights, label=label, how="snapshot", group="snapshot", **facts
    )


def test_members_come_back_in_order_with_their_facts(population, tmp_path):
    first = add(population, "a", step=3, cycle=1, seed=0, scores={"val_error": 0.5})
    second = add(population, "b", 1.0, parents=("a",), details={"weights": [1.0]})
    again = Population(tmp_path)
    assert list(again) == [first, second]
    assert torch.equal(again.weights(second)["w"], WEIGHTS["w"] + 1)


def test_appending_again_changes_no_byte(population, tmp_path):
    add(population)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    add(population)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_label_names_one_set_of_weights(population):
    add(population)
    with pytest.raises(InputError, match="'a' exists with other weights"):
        add(population, "a", 1.0)


def test_equal_weights_under_two_labels_share_a_file(population, tmp_path):
    first, second = add(population, "a"), add(population, "b")
    assert first.id == second.id
    assert len(list((tmp_path / "members").iterdir())) == 1


def test_find_by_label_and_digest(population):
    member = add(population, "snapshot-c01-s3")
    assert population.find("snapshot-c01-s3") == member
    assert population.find(member.digest[:8]) == member
    with pytest.raises(InputError, match="did you mean 'snapshot-c01-s3'"):
        population.find("snapshot-c01-s4")


@given(offset=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused(offset, bit, tmp_path_factory):
    population = Population.create(tmp_path_factory.mktemp("run"))
    member = add(population)
    path = population.path(member)
    content = bytearray(path.read_bytes())
    content[int(offset * len(content))] ^= 1 << bit
    path.write_bytes(content)
    try:
        weights = population.weights(member)
    except (CorruptError, SchemaError) as error:
        message = str(error)
    else:
        # only padding of the file's header may differ without touching a tensor
        assert torch.equal(weights["w"], WEIGHTS["w"])
        return
    assert path.name in message


@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(share, tmp_path_factory):
    population = Population.create(tmp_path_factory.mktemp("run"))
    member = add(population)
    path = population.path(member)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CorruptError, match=path.name):
        population.weights(member)


def test_a_missing_member_file_is_named(population):
    member = add(population)
    population.path(member).unlink()
    with pytest.raises(CorruptError, match="is missing: it holds member 'a'"):
        population.weights(member)


def test_a_damaged_file_is_replaced_when_the_member_is_appended_again(tmp_path):
    folder = tmp_path
    member = add(Population.create(folder))
    path = Population(folder).path(member)
    path.write_bytes(path.read_bytes()[:-1])
    (folder / "population.json").unlink()
    add(Population.create(folder))
    assert torch.equal(Population(folder).weights(member)["w"], WEIGHTS["w"])


@pytest.mark.parametrize("how", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_lost_file_of_a_listed_member_is_written_again(how, population):
    member = add(population)
    content = population.path(member).read_bytes()
    how(population.path(member))
    assert add(population) == member
    assert population.path(member).read_bytes() == content
    assert list(population) == [member]


def test_a_required_file_must_be_there(population):
    member = add(population)
    population.require(member)
    population.path(member).unlink()
    with pytest.raises(CorruptError, match=r"is missing: it holds member 'a'"):
        population.require(member)


def test_a_full_disk_loses_nothing(population, tmp_path, monkeypatch):
    add(population)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(DiskError, match="No space left on device"):
        add(population, "b", 1.0)
    monkeypatch.undo()
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert [m.label for m in Population(tmp_path)] == ["a"]


def _hold(folder, ready):
    with writing(folder):
        ready.set()
        signal.pause()


def test_two_processes_cannot_write_one_run(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    other = context.Process(target=_hold, args=(tmp_path, ready))
    other.start()
    try:
        assert ready.wait(60)
        with pytest.raises(LockedError, match=f"process \\(number {other.pid}\\)"):
            with writing(tmp_path):
                pass
    finally:
        os.kill(other.pid, signal.SIGKILL)
        other.join()
    with writing(tmp_path):  # a killed process leaves no lock behind
        pass


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not a run folder: it has no recipe"):
        Run(tmp_path)
    with pytest.raises(InputError, match="exists and is not a run"):
        Run.create(tmp_path, "a: 1")
    with pytest.raises(InputError, match="is not a folder"):
        Run(tmp_path / "missing")


def test_a_run_of_another_recipe_is_refused(tmp_path):
    Run.create(tmp_path / "run", "a: 1")
    assert Run.create(tmp_path / "run", "a: 1").recipe == "a: 1"
    with pytest.raises(InputError, match="another recipe"):
        Run.create(tmp_path / "run", "a: 2")


def test_a_lost_population_is_not_replaced_by_an_empty_one(tmp_path):
    run = Run.create(tmp_path / "run", "a: 1")
    add(run.population)
    (tmp_path / "run" / "population.json").unlink()
    with pytest.raises(CorruptError, match=r"population\.json is missing"):
        Run(tmp_path / "run")
