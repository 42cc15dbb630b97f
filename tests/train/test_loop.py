"""The loop against the plainest one: the same updates, bit for bit."""

import pytest
import torch

from cases.runs import files_of, with_lines
from dale.errors import Interrupted
from dale.recipes import Workbench, start
from dale.train import OPTIMIZERS, Watcher, build_augment, build_model
from dale.train.specs import settings
from dale.weights import reestimate
from reference.train import train_plainly

MLP = "model: {name: mlp, hidden: [16], norm: batch, dropout: 0.3}"
CONVNET = "model: {name: convnet, width: 4, dropout: 0.2}"
PLAIN = "model: {name: mlp, hidden: [16], norm: none}"
STRATEGY = {
    "single": "{name: single, warmup: 2}",
    "nocycle": "{name: nocycle, members: 2, schedule: {name: cosine, peak: 0.2}}",
    "snapshot": "{name: snapshot, cycles: 3, peak: 0.2, floor: 0.01}",
    "swa": "{name: swa, start: 50%, every: 2}",
    "cyclic swa": "{name: swa, start: 50%, every: 4, floor: 0.001}",
    "fge": "{name: fge, start: 50%, cycle: 1 epoch}",
    "hybrid": "{name: hybrid, runs: 2, cycles: 2}",
    "bagging": "{name: bagging, members: 2}",
    "short_cycles": "{name: short_cycles, members: 2}",
    "independent": "{name: independent, members: 2}",
}
CASES = {
    **{name: (MLP, spec, "") for name, spec in STRATEGY.items()},
    "augmented": (CONVNET, STRATEGY["snapshot"], "augment: {crop: 1, flip: true}"),
    "clipped": (MLP, STRATEGY["single"], "engine: {clip: 0.05}"),
    "smoothed": (MLP, STRATEGY["single"], "label_smoothing: 0.2"),
    "bfloat16": (CONVNET, STRATEGY["swa"], "engine: {precision: bf16}"),
    "without statistics": (PLAIN, STRATEGY["swa"], ""),
    "sgd": (PLAIN, STRATEGY["single"], "optimizer: {name: sgd, nesterov: false}"),
    "adam": (PLAIN, STRATEGY["single"], "optimizer: {name: adam, betas: [0.8, 0.9]}"),
    "adamw": (PLAIN, STRATEGY["snapshot"], "optimizer: adamw"),
    "one batch an epoch": (MLP, STRATEGY["snapshot"], "batch: 5000\nepochs: 6"),
    "uneven batches": (MLP, STRATEGY["single"], "batch: 70"),
}


def recipe(model, strategy, more):
    return f"{with_lines(more)}\n{model}\nstrategies:\n  - {strategy}\n"


def plain_members(bench, trajectory):
    """What the plainest loop gives for a trajectory, by number of updates."""
    parsed, data = bench.recipe, bench.data
    model = build_model(parsed, data, trajectory.seed)
    make = OPTIMIZERS[parsed.optimizer.name].function
    schedule, tail = trajectory.schedule, {}
    (collector,) = trajectory.collectors()
    if collector.averaged:
        steps = range(1, schedule.steps + 1)
        tail = {step for step in steps if collector.wants(step)}
    wanted = {*tail, *trajectory.member_steps()}
    kept, losses = train_plainly(
        model,
        make(model.parameters(), **settings(parsed.optimizer, "name")),
        data.splits["train"],
        [schedule(step) for step in range(schedule.steps)],
        seed=trajectory.seed,
        batch=parsed.batch,
        augment=build_augment(parsed),
        clip=parsed.engine.clip,
        smoothing=parsed.label_smoothing,
        autocast=parsed.engine.precision == "bf16",
        wanted=wanted,
        bootstrap=trajectory.bootstrap,
    )
    return kept, losses, sorted(tail)


def same(left, right):
    return list(left) == list(right) and all(
        left[k].dtype == right[k].dtype and torch.equal(left[k], right[k]) for k in left
    )


@pytest.mark.parametrize("name", CASES)
def test_the_plainest_loop_gives_the_same_bits(name, tmp_path):
    bench = start(recipe(*CASES[name]), tmp_path / "run")
    members = bench.train()
    population, seen = bench.run.population, 0
    for trajectory in bench.recipe.trajectories(len(bench.data.splits["train"])):
        kept, losses, tail = plain_members(bench, trajectory)
        mine = [m for m in members if m.details["trajectory"] == trajectory.name]
        assert [m.step for m in mine] == trajectory.member_steps()
        for member in mine:
            weights, seen = population.weights(member), seen + 1
            if tail:
                check_mean(weights, [kept[step] for step in tail])
            else:
                assert same(weights, kept[member.step])
        check_log(bench, trajectory, losses)
    assert seen == len(members) > 0


def check_mean(weights, models):
    """A mean over the tail; statistics, which are measured anew, are left out."""
    for name, tensor in weights.items():
        if not tensor.is_floating_point() or "running" in name:
            continue
        stacked = torch.stack([model[name].double() for model in models])
        torch.testing.assert_close(
            tensor.double(), stacked.mean(0), rtol=1e-5, atol=1e-7
        )


def check_log(bench, trajectory, losses):
    """One line an epoch, with the mean of the losses over the examples."""
    count, batch = len(bench.data.splits["train"]), bench.recipe.batch
    per_epoch = -(-count // batch)
    log = [r for r in bench.run.log() if r["trajectory"] == trajectory.name]
    ends = [*range(per_epoch, trajectory.steps, per_epoch), trajectory.steps]
    assert [r["step"] for r in log] == ends
    assert [r["epoch"] for r in log] == list(range(1, len(ends) + 1))
    for record, end in zip(log, ends, strict=True):
        begin = (end - 1) // per_epoch * per_epoch
        bounds = [count * i // per_epoch for i in range(per_epoch + 1)]
        sizes = [bounds[s % per_epoch + 1] - bounds[s % per_epoch] for s in range(end)]
        sizes, part = sizes[begin:], losses[begin:end]
        mean = sum(a * b for a, b in zip(sizes, part, strict=True)) / sum(sizes)
        assert record["train_loss"] == pytest.approx(mean, rel=1e-9)
        assert record["rate"] == trajectory.schedule(end - 1)
        assert 0 <= record["train_error"] <= 1
        assert 0 <= record["val_error"] <= 1
        assert record["val_nll"] > 0


def test_statistics_of_an_average_are_those_of_the_training_examples(tmp_path):
    bench = start(recipe(*CASES["swa"]), tmp_path / "run")
    (member,) = bench.train()
    weights = bench.run.population.weights(member)
    split = bench.data.splits["train"]
    batches = [split.batch(torch.arange(len(split)))]
    (expected,) = reestimate(bench.model, [weights], batches)
    for name in weights:
        torch.testing.assert_close(weights[name], expected[name], rtol=2e-3, atol=2e-3)


PARTS = "engine: {precision: bf16, accumulate: 3, clip: 0.5}"
RESUMED = {
    **{name: CASES[name] for name in ("bfloat16", "augmented", "adamw", "clipped")},
    "bfloat16 in microbatches, clipped": (CONVNET, STRATEGY["swa"], PARTS),
}


@pytest.mark.parametrize("name", RESUMED)
@pytest.mark.parametrize("after", [4, 11])
def test_stopped_and_resumed_gives_the_same_bytes(name, after, tmp_path):
    text = recipe(*RESUMED[name])
    whole = start(text, tmp_path / "whole")
    whole.train()
    bench = start(text, tmp_path / "stopped")
    steps = iter(range(after))
    with pytest.raises(Interrupted, match=f"after step {after + 1} of"):
        bench.train(Watcher(stop=lambda: next(steps, None) is None))
    Workbench(bench.run).train()
    assert files_of(bench) == files_of(whole)


@pytest.mark.parametrize("which", ["log", "append"])
def test_killed_between_a_state_and_what_follows_it(which, tmp_path, monkeypatch):
    """In bfloat16 too, what is derived again is derived as it would have been."""
    text = recipe(*CASES["bfloat16"])
    whole = start(text, tmp_path / "whole")
    whole.train()
    bench = start(text, tmp_path / "killed")

    def die(*arguments, **facts):
        raise KeyboardInterrupt

    where = "dale.train.keeper.RunKeeper.log"
    if which == "append":
        where = "dale.store.population.Population.append"
    with monkeypatch.context() as patch:
        patch.setattr(where, die)
        with pytest.raises(KeyboardInterrupt):
            bench.train()
    assert (tmp_path / "killed/state/swa.safetensors").exists()
    Workbench(bench.run).train()
    assert files_of(bench) == files_of(whole)


def test_what_is_measured_on_the_way_changes_no_member(tmp_path):
    """Scores and progress draw nothing and leave the mode as it was."""
    text = recipe(*CASES["nocycle"])
    bench = start(text, tmp_path / "run")
    expected = [m.digest for m in bench.train()]
    other = start(text, tmp_path / "other")

    def scores(model, split):
        model.eval()
        torch.rand(3)
        return {"error": 0.5, "nll": 1.0}

    monkey = pytest.MonkeyPatch()
    monkey.setattr("dale.recipes.workbench.scores", scores)
    monkey.setattr("dale.train.pulse._FLUSH_STEPS", 1)
    try:
        watched = []
        found = other.train(Watcher(progress=watched.append))
    finally:
        monkey.undo()
    assert [m.digest for m in found] == expected
    assert [p.step for p in watched] == list(range(1, watched[-1].steps + 1))
    assert watched[-1].cycle == 0


def test_a_strategy_named_twice_gets_a_number(tmp_path):
    spec = f"{{name: single}}\n  - {STRATEGY['swa']}\n  - {{name: single, peak: 0.01}}"
    bench = start(recipe(PLAIN, spec, ""), tmp_path / "run")
    labels = [m.label for m in bench.train()]
    assert labels == ["single-c01-s15", "swa-c01-s15", "single-2-c01-s15"]
    assert {m.group for m in bench.run.population} == {"single", "swa", "single-2"}
    assert list(dict.fromkeys(r["trajectory"] for r in bench.run.log())) == [
        *("single", "swa", "single-2")
    ]


def test_the_callers_random_state_is_left_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    start(recipe(*CASES["single"]), tmp_path / "run").train()
    assert torch.equal(torch.rand(2), expected)


def test_batches_in_which_a_class_is_missing(tmp_path):
    """Targets in order and tiny batches: most batches hold few of the classes."""
    (tmp_path / "few.py").write_text(
        "import torch\n"
        "def data():\n"
        "    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))\n"
        "    return {'train': (x, torch.arange(60) // 6)}\n"
    )
    text = f"""
data: {{source: factory, function: "{tmp_path}/few.py:data", val: 10, test: 10}}
model: {{name: mlp, hidden: [4], norm: batch}}
epochs: 2
batch: 2
strategies: [snapshot]
"""
    bench = start(text, tmp_path / "run")
    assert len(bench.train()) == 5
    assert all(r["train_loss"] > 0 for r in bench.run.log())


FROZEN = """
from torch import nn

class Frozen(nn.Sequential):
    def train(self, mode=True):
        super().train(mode)
        self[2].eval()
        return self

def net(classes):
    parts = nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, classes)
    made = Frozen(nn.Flatten(), *parts)
    made[1].requires_grad_(False)
    return made
"""


def test_frozen_parts_of_a_users_model_stay_as_they_are(tmp_path):
    (tmp_path / "frozen.py").write_text(FROZEN)
    model = f'model: {{name: factory, function: "{tmp_path}/frozen.py:net"}}'
    bench = start(recipe(model, STRATEGY["snapshot"], ""), tmp_path / "run")
    first = build_model(bench.recipe, bench.data, 3).state_dict()
    for member in bench.train():
        weights = bench.run.population.weights(member)
        for name in ("1.weight", "1.bias", "2.running_mean", "2.running_var"):
            assert torch.equal(weights[name], first[name]), name
        assert not torch.equal(weights["3.weight"], first["3.weight"])


def test_the_whole_of_a_recipe_is_used(tmp_path):
    """No setting is read and forgotten: each changes the members."""
    base = recipe(MLP, STRATEGY["single"], "")
    settings_ = ["seed: 4", "epochs: 2", "batch: 50", "label_smoothing: 0.1"]
    settings_ += ["optimizer: {name: sgd, momentum: 0.8}", "engine: {clip: 0.1}"]
    settings_ += ["optimizer: {name: sgd, weight_decay: 0}", "augment: {crop: 1}"]
    found = set()
    for number, line in enumerate(["", *settings_]):
        text = recipe(MLP, STRATEGY["single"], line) if line else base
        (member,) = start(text, tmp_path / f"run{number}").train()
        found.add(member.digest)
    assert len(found) == len(settings_) + 1
