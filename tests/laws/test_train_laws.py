"""Killed at any moment and resumed, a run gives the bytes of one left alone."""

import os
import signal
import traceback

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cases.runs import IDX_RECIPE, RECIPE, idx_folder
from dale.errors import Interrupted
from dale.recipes import Workbench, start
from dale.store import Run
from dale.train import Watcher

COLOUR = """
import torch

def make():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(220, 3, 12, 12, generator=generator)
    targets = torch.arange(220) % 3
    return {"train": (inputs, targets)}
"""

SWA_RECIPE = """
data: {source: factory, function: "FILE:make"}
model: {name: convnet, width: 4}
epochs: 2
batch: 16
strategies: [{name: swa, start: 50%, every: 1}]
"""

STACKED_RECIPE = """
seed: 3
data: {source: digits, val: 200, test: 200}
model: {name: mlp, hidden: [16], norm: batch, dropout: 0.2}
epochs: 4
batch: 256
checkpoint_seconds: 0
collect: [{name: swa, every: 2}]
engine: {stack: always}
strategies: [{name: hybrid, runs: 2, cycles: 2}, single, {name: bagging, members: 2}]
"""


class Untouched(dict):
    """Bytes of whole runs; too long to be printed when an example fails."""

    def __repr__(self):
        return f"Untouched({', '.join(self)})"


@pytest.fixture(scope="module")
def recipes(tmp_path_factory):
    folder = idx_folder(tmp_path_factory.mktemp("idx"))
    idx = IDX_RECIPE.replace("FOLDER", str(folder))
    return {"digits": RECIPE, "idx": idx, "stacked": STACKED_RECIPE}


@pytest.fixture(scope="module")
def untouched(recipes, tmp_path_factory):
    """Runs that were never killed: what is kept of them, and their writes."""
    found = Untouched()
    for name, recipe in recipes.items():
        bench = start(recipe, tmp_path_factory.mktemp("run") / name)
        calls = {"steps": 0}

        def count(calls=calls):
            calls["steps"] += 1
            return False

        bench.train(Watcher(stop=count))
        found[name] = (bench, kept(bench.run.folder), calls["steps"])
    return found


def kept(folder):
    """Members, their list and the log: everything that training promises."""
    names = ["population.json", "log.jsonl", "members/*", "state/*"]
    paths = sorted(path for name in names for path in folder.glob(name))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def differing(folder, expected):
    """Names of files that are not as they would be."""
    found = kept(folder)
    names = sorted({*found, *expected})
    return [name for name in names if found.get(name) != expected.get(name)]


def train_and_die(folder, at_step=None, at_write=None):
    """Train in a process that kills itself; True if it lived to the end."""
    child = os.fork()
    if child == 0:  # pragma: no cover - dies by SIGKILL
        try:
            _die_at_write(at_write)
            steps = iter(range(10**9))

            def stop():
                if next(steps) == at_step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return False

            Workbench(Run(folder)).train(Watcher(stop=stop))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), "training failed"
    return status == 0


def _die_at_write(at_write):
    """Kill the process at the n-th flush of a file: before a rename, or after."""
    real, writes = os.fsync, iter(range(10**9))

    def fsync(handle):
        if next(writes) == at_write:
            os.kill(os.getpid(), signal.SIGKILL)
        real(handle)

    os.fsync = fsync


@settings(max_examples=12)
@given(name=st.sampled_from(["digits", "idx", "stacked"]), data=st.data())
def test_killed_at_random_steps(name, data, recipes, untouched, tmp_path_factory):
    _, expected, steps = untouched[name]
    folder = tmp_path_factory.mktemp("killed") / "run"
    start(recipes[name], folder)
    for _ in range(data.draw(st.integers(1, 3), label="kills")):
        train_and_die(folder, at_step=data.draw(st.integers(0, steps), label="step"))
    assert train_and_die(folder)
    assert differing(folder, expected) == []


@settings(max_examples=20)
@given(
    name=st.sampled_from(["digits", "stacked"]),
    writes=st.lists(st.integers(0, 60), min_size=1, max_size=4),
)
def test_killed_while_writing(name, writes, recipes, untouched, tmp_path_factory):
    _, expected, _ = untouched[name]
    folder = tmp_path_factory.mktemp("killed") / "run"
    start(recipes[name], folder)
    for write in writes:
        train_and_die(folder, at_write=write)
    assert train_and_die(folder)
    assert differing(folder, expected) == []


def test_a_stop_on_request_loses_nothing(recipes, untouched, tmp_path):
    _, expected, _ = untouched["digits"]
    bench = start(recipes["digits"], tmp_path / "run")
    for count in (2, 1, 5, 7):
        steps = iter(range(count))
        with pytest.raises(Interrupted, match=r"stopped .* after step"):
            bench.train(Watcher(stop=lambda steps=steps: next(steps, None) is None))
    bench.train()
    assert differing(tmp_path / "run", expected) == []


def test_training_a_finished_run_again_changes_nothing(untouched):
    bench, expected, _ = untouched["digits"]
    members = bench.train()
    assert [m.label for m in members] == [m.label for m in bench.run.population]
    assert differing(bench.run.folder, expected) == []


def test_how_often_states_are_saved_does_not_matter(recipes, untouched, tmp_path):
    _, expected, _ = untouched["digits"]
    recipe = recipes["digits"].replace(
        "checkpoint_seconds: 0", "checkpoint_seconds: 99"
    )
    bench = start(recipe, tmp_path / "run")
    bench.train()
    found = kept(tmp_path / "run")
    members = [name for name in expected if name.startswith("members")]
    assert members
    for name in [*members, "log.jsonl", "population.json"]:
        assert found[name] == expected[name]


@pytest.mark.parametrize("stop", [3, 11, 14, 17])
def test_an_average_resumed_in_its_tail_is_the_same(stop, tmp_path):
    """Three channels: their convolutions sum in the order of the memory format."""
    (tmp_path / "colour.py").write_text(COLOUR)
    recipe = SWA_RECIPE.replace("FILE", str(tmp_path / "colour.py"))
    whole = start(recipe, tmp_path / "whole").train()
    bench = start(recipe, tmp_path / "stopped")
    steps = iter(range(stop))
    with pytest.raises(Interrupted):
        bench.train(Watcher(stop=lambda: next(steps, None) is None))
    assert [m.digest for m in bench.train()] == [m.digest for m in whole]
