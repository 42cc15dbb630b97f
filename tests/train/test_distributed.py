"""Several processes, and several microbatches, against one of each."""

import os
import signal
import socket
import subprocess
import sys
import traceback

import pytest
import torch
from accelerate.state import AcceleratorState

from dale.errors import DaleError, Elsewhere, InputError, Interrupted, NotFiniteError
from dale.recipes import Workbench, start
from dale.store import Run
from dale.train import Watcher
from dale.train.batches import shares
from dale.train.team import Team, first_to_speak, peer_lost

RECIPE = """
seed: 3
data: {source: digits, val: 300, test: 1200}
model: {name: mlp, hidden: [16], norm: none}
epochs: 3
batch: 70
checkpoint_seconds: 0
engine: {device: cpu}
strategies: [{name: snapshot, cycles: 3, peak: 0.2}, {name: swa, start: 50%, every: 2}]
"""
DROPOUT = RECIPE.replace("norm: none", "norm: none, dropout: 0.3")


def engine(text, more):
    return text.replace("{device: cpu}", f"{{device: cpu, {more}}}")


def alone(text, folder):
    start(text, folder).train()
    return folder


def together(work, size=2):
    """Run `work(rank)` in processes that know one another; what each says."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said, children = [], []
    for rank in range(size):
        reads, writes = os.pipe()
        child = os.fork()
        if child == 0:  # pragma: no cover - another process
            os.close(reads)
            names = "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"
            values = map(str, (rank, rank, size, size))
            os.environ |= dict(zip(names, values, strict=True))
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            AcceleratorState._reset_state(reset_partial_state=True)
            code = 1
            try:
                work(rank)
                code = 0
            except DaleError as error:
                line = f"{type(error).__name__}: {error}"
                os.write(writes, line.encode())
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        os.close(writes)
        children.append((child, reads))
    for child, reads in children:
        with os.fdopen(reads) as pipe:
            said.append(pipe.read())
        os.waitpid(child, 0)
    return said


def test_two_processes_give_what_two_microbatches_give(tmp_path):
    """Dropout and unequal parts included: the draws belong to the part."""
    alone(engine(DROPOUT, "accumulate: 2"), tmp_path / "one")
    said = together(lambda rank: start(DROPOUT, tmp_path / "two").train())
    assert said == ["", ""]
    check_same(tmp_path / "one", tmp_path / "two")
    assert [r["processes"] for r in Run(tmp_path / "two").log()] == [2] * 6


@pytest.mark.parametrize("more", ["accumulate: 3", "accumulate: 2, clip: 0.5"])
def test_microbatches_give_the_updates_of_the_batch(more, tmp_path):
    clip = more.partition(", ")[2]
    alone(engine(RECIPE, clip) if clip else RECIPE, tmp_path / "one")
    alone(engine(RECIPE, more), tmp_path / "parts")
    check_same(tmp_path / "one", tmp_path / "parts")


@pytest.mark.parametrize("more", ["clip: 0.5", "clip: 0.5, shard: true"])
def test_two_processes_give_what_one_gives(more, tmp_path):
    alone(engine(RECIPE, "clip: 0.5"), tmp_path / "one")
    text = engine(RECIPE, more)
    assert together(lambda rank: start(text, tmp_path / "two").train()) == ["", ""]
    check_same(tmp_path / "one", tmp_path / "two")


def test_steps_of_snapshots_do_not_move_with_the_number_of_parts(tmp_path):
    text = engine(RECIPE, "accumulate: 2")
    assert together(lambda rank: start(text, tmp_path / "run").train()) == ["", ""]
    run = Run(tmp_path / "run")
    bench = Workbench(run)
    planned = [t.member_steps() for t in bench.recipe.trajectories(bench.data.examples)]
    assert [m.step for m in run.population] == [s for steps in planned for s in steps]
    assert {line["processes"] for line in run.log()} == {2}


def check_same(one, other):
    """Equal members and log lines, but for the order in which sums came out."""
    one, other = Run(one), Run(other)
    assert [m.label for m in one.population] == [m.label for m in other.population]
    assert [m.step for m in one.population] == [m.step for m in other.population]
    for left, right in zip(one.population, other.population, strict=True):
        expected = one.population.weights(left)
        found = other.population.weights(right)
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5)
    for left, right in zip(one.log(), other.log(), strict=True):
        right.pop("processes", None)
        for name, value in left.items():
            if not isinstance(value, str):
                value = pytest.approx(value, rel=1e-3, abs=1e-5)
            assert right[name] == value, name


CONSISTENT = """
seed: 3
data: {source: digits, val: 300, test: 1200, labelled: 60}
model: {name: mlp, hidden: [16], norm: none}
epochs: 4
batch: 70
augment: {crop: 1}
checkpoint_seconds: 0
engine: {device: cpu}
strategies: [{name: temporal, ramp: 50%}, {name: pi, ramp: 50%}]
"""


def test_examples_without_a_label_in_two_processes(tmp_path):
    """Targets are those of one process, and so are they after a resume in another."""
    alone(CONSISTENT, tmp_path / "one")
    folder = tmp_path / "two"

    def stopped(rank):
        steps = iter(range(2))
        stop = rank == 1 and (lambda: next(steps, None) is None)
        start(CONSISTENT, folder).train(Watcher(stop=stop or (lambda: False)))

    said = together(stopped)
    assert said[0] == said[1]
    assert said[0].startswith("Interrupted: stopped temporal after step ")
    assert int(said[0].split(" after step ")[1].split()[0]) >= 10  # there are targets
    assert Workbench(Run(folder)).train()
    check_same(tmp_path / "one", folder)
    assert "train_agreement" in Run(folder).log()[-1]


@pytest.mark.parametrize("shard", ["", "shard: true"])
def test_a_run_may_go_on_in_another_number_of_processes(shard, tmp_path):
    alone(RECIPE, tmp_path / "one")
    text = engine(RECIPE, shard) if shard else RECIPE
    folder = tmp_path / "changing"

    def stopped(rank):
        # asked of one process only, when they first meet again; all stop
        steps = iter(range(1))
        stop = rank == 1 and (lambda: next(steps, None) is None)
        start(text, folder).train(Watcher(stop=stop or (lambda: False)))

    said = together(stopped)
    assert said[0] == said[1]
    assert said[0].startswith("Interrupted: stopped snapshot after step ")
    step = int(said[0].split(" after step ")[1].split()[0])
    assert Workbench(Run(folder)).train()
    check_same(tmp_path / "one", folder)
    sizes = [r.get("processes") for r in Run(folder).log() if r["step"] > step]
    assert sizes[0] == 1


def test_resumed_in_as_many_processes_gives_the_same_bytes(tmp_path):
    together(lambda rank: start(DROPOUT, tmp_path / "whole").train())

    def killed(rank):
        steps = iter(range(2))

        def stop():
            if next(steps, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return False

        start(DROPOUT, tmp_path / "killed").train(Watcher(stop=stop if rank else bool))

    said = together(killed)
    assert said[0] == "Elsewhere: another process ended"
    again = together(lambda rank: start(DROPOUT, tmp_path / "killed").train())
    assert again == ["", ""]
    assert kept(tmp_path / "killed") == kept(tmp_path / "whole")


def kept(folder):
    names = ["population.json", "log.jsonl", "members/*"]
    paths = sorted(path for name in names for path in folder.glob(name))
    assert len(paths) > 3
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("which", ["precision", "accumulation"])
@pytest.mark.parametrize("after", [1, 8])
def test_stopped_and_resumed_in_microbatches_gives_the_same_bytes(
    which, after, tmp_path
):
    more = "accumulate: 3" + (", precision: bf16" if which == "precision" else "")
    text = engine(DROPOUT, more)
    alone(text, tmp_path / "whole")
    bench, steps = start(text, tmp_path / "stopped"), iter(range(after))
    with pytest.raises(Interrupted):
        bench.train(Watcher(stop=lambda: next(steps, None) is None))
    Workbench(bench.run).train()
    assert kept(tmp_path / "stopped") == kept(tmp_path / "whole")


def test_a_loss_that_is_no_number_in_one_process_stops_all(tmp_path, monkeypatch):
    def diverging(rank):
        if rank == 1:
            real = torch.nn.functional.cross_entropy

            def poisoned(*arguments, **facts):
                return real(*arguments, **facts) * float("nan")

            monkeypatch.setattr("dale.train.seams.cross_entropy", poisoned)
        start(RECIPE, tmp_path / "run").train()

    said = together(diverging)
    assert said[0] == said[1]
    assert said[0].startswith("NotFiniteError: snapshot: the loss became nan at step 0")


def test_what_the_first_process_cannot_do_stops_all(tmp_path):
    alone(RECIPE, tmp_path / "run")
    other = RECIPE.replace("seed: 3", "seed: 4")
    said = together(lambda rank: start(other, tmp_path / "run"))
    assert "holds a run of another recipe" in said[0]
    assert said[1] == "Elsewhere: the first process failed"


def test_a_batch_is_not_cut_into_more_parts_than_examples(tmp_path):
    with pytest.raises(InputError, match="a batch of 59 examples cannot be cut into"):
        alone(engine(RECIPE, "accumulate: 60"), tmp_path / "run")


def test_what_needs_gpus_is_refused(tmp_path):
    with pytest.raises(InputError, match="sync_batchnorm needs GPUs"):
        start(engine(RECIPE, "sync_batchnorm: true"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_shares_are_nearly_equal_and_leave_nothing_out():
    for count, parts in [(7, 3), (12, 4), (5, 5)]:
        cut = shares(count, parts)
        assert [i for a, b in cut for i in range(a, b)] == list(range(count))
        sizes = [b - a for a, b in cut]
        assert max(sizes) - min(sizes) <= 1


def test_one_process_is_a_team_of_one():
    values = torch.ones(2)
    assert torch.equal(Team().sum(values), values)
    assert Team().most(1, 2.5) == [1, 2.5]
    assert first_to_speak()
    with pytest.raises(InputError, match="no"):
        Team().lead(lambda: (_ for _ in ()).throw(InputError("no")))
    assert not peer_lost(ValueError("gloo"))
    assert issubclass(Elsewhere, DaleError)
    assert issubclass(NotFiniteError, DaleError)


def test_the_command_line_under_torchrun(tmp_path):
    """One table and one message, whatever the number of processes."""
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    torchrun += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", "-m", "dale"]
    command = [*torchrun, "train", "recipe.yaml", "run"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("4 members") == 1
    assert found.stderr.count("next: dale evaluate run") == 1
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode != 0
    assert again.stderr.count("dale: run is a run already") == 1
