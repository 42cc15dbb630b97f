"""Members trained at once against the loop, which trains them one after another."""

import pytest
import torch
from torch import nn

from cases.runs import files_of, with_lines
from dale.errors import CorruptError, Interrupted, ModelError, NotFiniteError
from dale.recipes import Workbench, load_data, plan, start, verify
from dale.train import OPTIMIZERS, Watcher, build_model, parse_recipe
from dale.train.building import build_optimizer, optimizer_of
from dale.train.drive import train
from dale.train.engine import Engine
from dale.train.seams import Seams
from dale.train.stacked import Race, Stack, obstacle, parts, race
from dale.train.stacked.choice import Record
from dale.train.stacked.update import StackedUpdater, clip_each

MLP = "model: {name: mlp, hidden: [16], norm: batch}"
PLAIN = "model: {name: mlp, hidden: [16]}"
CONVNET = "model: {name: convnet, width: 4}"
GROUP = "model: {name: convnet, width: 4, depth: 2, norm: group}"
THREE = "[{name: independent, members: 3}]"
CASES = {
    "independent": (MLP, THREE, ""),
    "hybrid": (MLP, "[{name: hybrid, runs: 3, cycles: 2}]", "epochs: 9"),
    "bagging": (PLAIN, "[{name: bagging, members: 2}]", ""),
    "lengths that differ by one": (PLAIN, "[{name: short_cycles, members: 4}]", ""),
    "several strategies": (
        PLAIN,
        "[single, {name: snapshot, cycles: 3}, {name: swa, every: 2}, fge]",
        "",
    ),
    "two parts": (PLAIN, "[single, short_cycles, {name: hybrid, cycles: 2}]", ""),
    "augmented": (CONVNET, THREE, "augment: {crop: 1, flip: true}"),
    "group normalisation": (GROUP, THREE, ""),
    "one batch an epoch": (PLAIN, THREE, "batch: 5000\nepochs: 4"),
    "smoothed": (PLAIN, THREE, "label_smoothing: 0.2"),
    "adam": (PLAIN, THREE, "optimizer: {name: adam, weight_decay: 0.01}"),
    "adamw": (PLAIN, THREE, "optimizer: adamw"),
    "no momentum": (PLAIN, THREE, "optimizer: {name: sgd, momentum: 0}"),
    "plateau": (PLAIN, THREE, "plateau: {patience: 0, threshold: 0.3}"),
    "companions": (PLAIN, THREE, "companions: {momentum: {name: cosine, peak: 0.9}}"),
    "collectors": (
        MLP,
        "[{name: hybrid, runs: 2, cycles: 2}]",
        "collect: [ema, {name: swa, every: 1}, {name: swag, every: 1}, best,"
        " {name: tail, every: 5}, {name: snapshot, every: 5}]\n"
        "guard: {of: ema}\nepochs: 6",
    ),
}


def recipe(model, strategies, more="", engine="{stack: always}"):
    return f"{with_lines(more)}\n{model}\nstrategies: {strategies}\nengine: {engine}\n"


def files(bench):
    return files_of(bench, "state/*", "collected/*")


def trained(text, folder):
    """The run, and the lines that it said."""
    bench, said = start(text, folder), []
    bench.train(Watcher(say=said.append))
    return bench, said


def facts(member):
    same = {"label", "how", "group", "parents", "step", "cycle", "seed"}
    return {name: getattr(member, name) for name in same}


def check_close(bench, twin):
    """The same members, states and log lines, but for rounding."""
    ours, theirs = bench.run.population, twin.run.population
    assert list(map(facts, ours)) == list(map(facts, theirs))
    for mine, other in zip(ours, theirs, strict=True):
        assert list(mine.details) == list(other.details)
        assert dict(mine.scores) == pytest.approx(dict(other.scores), rel=1e-4)
        weights, expected = ours.weights(mine), theirs.weights(other)
        assert list(weights) == list(expected)
        for name, tensor in weights.items():
            torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-5)
    logs = [run.log() for run in (bench.run, twin.run)]
    for line, expected in zip(*logs, strict=True):
        assert list(line) == list(expected)
        assert line == {
            name: value if isinstance(value, str) else pytest.approx(value, rel=1e-4)
            for name, value in expected.items()
        }
    names = [
        sorted(
            path.name for path in run.folder.glob("*/*") if "members" not in str(path)
        )
        for run in (bench.run, twin.run)
    ]
    assert names[0] == names[1]


@pytest.mark.parametrize("name", CASES)
def test_members_are_those_of_the_loop(name, tmp_path):
    bench, said = trained(recipe(*CASES[name]), tmp_path / "stacked")
    twin, nothing = trained(recipe(*CASES[name], "{}"), tmp_path / "loop")
    assert not nothing
    assert said
    assert all("trained at once: engine.stack is always" in line for line in said)
    check_close(bench, twin)


def test_gradients_are_clipped_member_by_member(tmp_path):
    text = recipe(PLAIN, THREE, engine="{stack: always, clip: 0.05}")
    bench, _ = trained(text, tmp_path / "stacked")
    twin, _ = trained(text.replace("always", "never"), tmp_path / "loop")
    free, _ = trained(text.replace("clip: 0.05", "clip: 99"), tmp_path / "free")
    check_close(bench, twin)
    assert [m.digest for m in bench.run.population] != [
        m.digest for m in free.run.population
    ]


def test_bfloat16_is_as_good_as_in_the_loop(tmp_path):
    """Rounding is coarse, so that only the first losses are near."""
    text = recipe(CONVNET, THREE, "epochs: 1", "{stack: always, precision: bf16}")
    bench, _ = trained(text, tmp_path / "stacked")
    twin, _ = trained(text.replace("always", "never"), tmp_path / "loop")
    for line, expected in zip(bench.run.log(), twin.run.log(), strict=True):
        assert line["train_loss"] == pytest.approx(expected["train_loss"], rel=0.03)
        assert line["train_loss"] != expected["train_loss"]


def test_dropout_draws_differ_between_members_and_steps(tmp_path):
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(8, 8, bias=False))
    twin = nn.Sequential(nn.Dropout(0.5), nn.Linear(8, 8, bias=False))
    twin.load_state_dict(model.state_dict())
    stack = Stack([model, twin])
    torch.manual_seed(0)
    first, second = stack(torch.ones(2, 5, 8)), stack(torch.ones(2, 5, 8))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, second)
    torch.manual_seed(0)
    assert torch.equal(first, stack(torch.ones(2, 5, 8)))
    dropped = recipe("model: {name: mlp, hidden: [16], dropout: 0.3}", THREE)
    runs = [trained(dropped, tmp_path / name)[0] for name in ("one", "two")]
    one, two = ([m.digest for m in bench.run.population] for bench in runs)
    assert one == two


@pytest.mark.parametrize(
    ("name", "after"),
    [("hybrid", 0), ("hybrid", 9), ("plateau", 9), ("collectors", 13), ("adamw", 4)],
)
def test_stopped_and_resumed_gives_the_same_bytes(name, after, tmp_path):
    text = recipe(*CASES[name])
    whole, _ = trained(text, tmp_path / "whole")
    bench = start(text, tmp_path / "stopped")
    steps = iter(range(after))
    with pytest.raises(Interrupted, match=f" × .* after step {after + 1} of"):
        bench.train(Watcher(stop=lambda: next(steps, None) is None))
    assert len(bench.run.population) == 0
    assert list(bench.run.folder.glob("state/*.stacked.safetensors"))
    Workbench(bench.run).train()
    assert files(bench) == files(whole)


@pytest.mark.parametrize("which", ["log", "append", "finish"])
@pytest.mark.parametrize("time", [1, 4])
def test_killed_while_members_are_handed_over(which, time, tmp_path, monkeypatch):
    text = recipe(*CASES["hybrid"])
    whole, _ = trained(text, tmp_path / "whole")
    bench, times = start(text, tmp_path / "killed"), iter(range(time))
    where = {
        "log": "dale.store.Log.add",
        "append": "dale.store.Population.append",
        "finish": "dale.train.keeper.RunKeeper.finish",
    }[which]
    holder, method = where.rsplit(".", 1)
    module, owner = holder.rsplit(".", 1)
    real = getattr(getattr(__import__(module, fromlist=[owner]), owner), method)

    def die(*arguments, **given):
        if next(times, None) is None:
            raise KeyboardInterrupt
        return real(*arguments, **given)

    with monkeypatch.context() as patch:
        patch.setattr(where, die)
        if which == "finish" and time == 4:
            bench.train()  # there are three to finish
        else:
            with pytest.raises(KeyboardInterrupt):
                bench.train()
    Workbench(bench.run).train()
    assert files(bench) == files(whole)


OBSTACLES = {
    "one member": ("[{name: independent, members: 1}]", "", "", "one network only"),
    "lbfgs": (THREE, "optimizer: lbfgs", "", "optimizer lbfgs works on one"),
    "minutes": (THREE, "minutes: 5", "", "minutes are limited"),
    "patience": (
        THREE,
        "collect: [ema]\nguard: {patience: 9}",
        "",
        "guard.patience may stop each",
    ),
    "soft threshold": (THREE, "soft_threshold: 0.001", "", "soft_threshold works on"),
    "companions": (
        "[{name: short_cycles, members: 4}]",
        "companions: {momentum: {name: cosine, peak: 0.9}}",
        "",
        "companions follow schedules of different",
    ),
    "accumulate": (THREE, "", ", accumulate: 2", "engine.accumulate cuts"),
    "compile": (THREE, "", ", compile: true", "engine.compile works on"),
    "layout": (THREE, "", ", channels_last: true", "engine.channels_last works"),
}


@pytest.mark.parametrize("name", OBSTACLES)
def test_what_cannot_be_stacked_is_named(name):
    strategies, more, engine, words = OBSTACLES[name]
    text = recipe(PLAIN, strategies, more, "{stack: always" + engine + "}")
    parsed = parse_recipe(text)
    (part,) = parts(parsed.trajectories(300))
    assert words in obstacle(parsed, part)


def test_several_processes_share_batches_and_stack_nothing():
    parsed = parse_recipe(recipe(PLAIN, THREE))
    (part,) = parts(parsed.trajectories(300))
    assert obstacle(parsed, part) == ""
    assert "processes" in obstacle(parsed, part, 2)


def test_what_cannot_be_stacked_is_trained_one_after_another(tmp_path):
    text = recipe(PLAIN, THREE, "soft_threshold: 0.001")
    bench, said = trained(text, tmp_path / "run")
    twin, _ = trained(text.replace("always", "never"), tmp_path / "loop")
    assert said == [
        "independent: 3 networks trained one after another: soft_threshold works on "
        "one network"
    ]
    left, right = files(bench), files(twin)
    for name in ("population.json", "log.jsonl"):
        assert left[name] == right[name]
    again = []
    Workbench(bench.run).train(Watcher(say=again.append))
    assert again == []


def test_what_a_program_hangs_in_is_for_one_network(tmp_path):
    bench, said, steps = start(recipe(PLAIN, THREE), tmp_path), [], []
    seams = Seams(after_step=(steps.append,))
    watcher = Watcher(say=said.append)
    facts = bench.run, bench.recipe, bench.data, lambda model, split: {"error": 0.0}
    with bench.run.lock():
        train(*facts, watcher, lambda *facts: seams)
    assert said == [
        "independent: 3 networks trained one after another: what is hung into the "
        "updates works on one network"
    ]
    assert len(steps) == sum(
        t.steps for t in bench.recipe.trajectories(bench.data.examples)
    )


NETWORKS = """
import torch
from torch import nn

class Peeking(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, inputs):
        flat = inputs.flatten(1)
        return self.head(flat * 2 if flat.mean().item() > 0 else flat)

class Aliased(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 10)
        self.kept = [self.head.weight]

    def forward(self, inputs):
        return nn.functional.linear(inputs.flatten(1), self.kept[0], self.head.bias)

class Renewing(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 10)
        self.head.bias.requires_grad_(False)
        self.register_buffer("mean", torch.zeros(10))

    def forward(self, inputs):
        logits = self.head(inputs.flatten(1))
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * logits.detach().mean(0)
        return logits - self.mean
"""


def networks(folder, name):
    (folder / "networks.py").write_text(NETWORKS)
    return f'model: {{name: factory, function: "{folder}/networks.py:{name}"}}'


@pytest.mark.parametrize(
    ("name", "words"), [("Peeking", "torch.func.vmap: "), ("Aliased", "other outputs")]
)
def test_networks_that_cannot_be_stacked_go_one_after_another(name, words, tmp_path):
    text = recipe(networks(tmp_path, name), THREE)
    bench, (line,) = trained(text, tmp_path / "run")
    twin, _ = trained(text.replace("always", "never"), tmp_path / "loop")
    assert words in line
    assert "\n" not in line
    assert [m.digest for m in bench.run.population] == [
        m.digest for m in twin.run.population
    ]


def test_buffers_that_are_replaced_and_frozen_parameters(tmp_path):
    text = recipe(networks(tmp_path, "Renewing"), THREE)
    bench, (line,) = trained(text, tmp_path / "run")
    twin, _ = trained(text.replace("always", "never"), tmp_path / "loop")
    assert "at once" in line
    check_close(bench, twin)
    member = bench.run.population[0]
    weights = bench.run.population.weights(member)
    first = build_model(bench.recipe, bench.data, member.seed).state_dict()
    assert torch.equal(weights["head.bias"], first["head.bias"])
    assert weights["mean"].any()


def test_a_member_that_diverges_fails_as_in_the_loop(tmp_path):
    strategies = "[{name: independent, members: 3, peak: 1.0e+30}]"
    text = recipe(PLAIN, strategies)
    bench, said = start(text, tmp_path / "run"), []
    with pytest.raises(NotFiniteError) as found:
        bench.train(Watcher(say=said.append))
    with pytest.raises(NotFiniteError) as expected:
        start(text.replace("always", "never"), tmp_path / "loop").train()
    assert str(found.value) == str(expected.value)
    assert "at once" in said[0]
    assert "one after another: independent-01" in said[1]
    assert not list(bench.run.folder.glob("state/*.stacked.safetensors"))


def test_a_pilot_decides_once(tmp_path, monkeypatch):
    text, raced = recipe(PLAIN, THREE, engine="{stack: auto}"), []

    def fake(together, apart, members, most):
        raced.append((together(0) > 0, apart(0) > 0, members))
        return Race(stacked=1.0, apart=len(raced) * 1.0, updates=9, seconds=0.1)

    monkeypatch.setattr("dale.train.stacked.together.race", fake)
    slow, said = trained(text, tmp_path / "slow")
    assert said == [
        "independent: 3 networks trained one after another: an update of all takes "
        "1000.00 ms at once, 1000.00 ms one after another"
    ]
    loop, _ = trained(text.replace("auto", "never"), tmp_path / "loop")
    assert [m.digest for m in slow.run.population] == [
        m.digest for m in loop.run.population
    ]
    bench, steps = start(text, tmp_path / "fast"), iter(range(5))
    with pytest.raises(Interrupted, match="independent × 3"):
        bench.train(Watcher(stop=lambda: next(steps, None) is None))
    Workbench(bench.run).train()
    assert raced == [(True, True, 3)] * 2
    stacked, _ = trained(text.replace("auto", "always"), tmp_path / "stacked")
    left, right = files(bench), files(stacked)
    assert left["population.json"] == right["population.json"]
    assert left["log.jsonl"] == right["log.jsonl"]
    kept = Record(bench.run).get("independent")
    assert kept["way"] == "stacked"
    assert kept["pilot"]["apart"] == 2.0


def test_a_race_is_won_by_the_faster():
    def wait(seconds):
        return lambda step: torch.rand(seconds).sum()

    few, many = wait(10), wait(200_000)
    assert race(few, many, 4, most=6).won
    lost = race(many, few, 1, most=6)
    assert not lost.won
    assert lost.updates == 10
    assert lost.seconds > 0


def test_damaged_files_are_named(tmp_path):
    bench, steps = start(recipe(PLAIN, THREE), tmp_path / "run"), iter(range(5))
    with pytest.raises(Interrupted):
        bench.train(Watcher(stop=lambda: next(steps, None) is None))
    path = tmp_path / "run/state/independent.stacked.safetensors"
    record = tmp_path / "run/stacking.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(CorruptError, match=r"delete this file to train independent"):
        bench.train()
    path.write_bytes(whole)
    record.write_text(record.read_text().replace("stacked", "loop"))
    with pytest.raises(CorruptError, match=r"stacking\.json was altered"):
        bench.train()
    assert any("stacking.json" in line for line in verify(bench.run).problems)
    record.unlink()
    bench.train()
    assert Record(bench.run).get("independent")["why"] == "they were begun so"
    assert verify(bench.run).problems == ()


@pytest.mark.parametrize(
    "name", [n for n, r in OPTIMIZERS.items() if r.needs == "gradient"]
)
def test_each_member_has_a_rate_of_its_own(name):
    text = recipe(PLAIN, THREE, f"optimizer: {{name: {name}, weight_decay: 0.1}}")
    parsed = parse_recipe(text)
    data = load_data(parsed)
    split, rates = data.splits["train"], (0.1, 0.03, 0.0)
    models = [build_model(parsed, data, seed) for seed in range(3)]
    twins = [build_model(parsed, data, seed) for seed in range(3)]
    stack = Stack(models)
    update = StackedUpdater(
        "three",
        (0, 1, 2),
        stack,
        optimizer_of(parsed, stack.parameters.values()),
        split,
        data.classes,
        Engine(parsed.engine),
    )
    optimizers = [build_optimizer(parsed, twin) for twin in twins]
    for step in range(4):
        rows_MB = torch.arange(60).view(3, 20) + step
        losses, wrongs = update(rows_MB, step, rates)
        for place, (twin, optimizer) in enumerate(zip(twins, optimizers, strict=True)):
            optimizer.param_groups[0]["lr"] = rates[place]
            logits = twin(split.batch(rows_MB[place]))
            targets = split.targets_N[rows_MB[place]]
            loss = nn.functional.cross_entropy(logits, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            assert float(losses[place]) == pytest.approx(loss.item(), rel=1e-5)
            assert int(wrongs[place]) == int((logits.argmax(1) != targets).sum())
    for model, twin in zip(models, twins, strict=True):
        for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)


def test_clipping_is_that_of_each_network():
    gradients = [torch.randn(3, 4, 5), torch.randn(3, 7) * 0.01]
    expected = []
    for place in range(3):
        tensors = [nn.Parameter(torch.zeros_like(g[place])) for g in gradients]
        for tensor, gradient in zip(tensors, gradients, strict=True):
            tensor.grad = gradient[place].clone()
        nn.utils.clip_grad_norm_(tensors, 0.7 + place)
        expected.append([tensor.grad for tensor in tensors])
        clipped = [g.clone() for g in gradients]
        clip_each(clipped, 0.7 + place)
        for mine, other in zip(clipped, expected[-1], strict=True):
            torch.testing.assert_close(mine[place], other)


def test_networks_that_do_not_fit_together():
    with pytest.raises(ModelError, match="cannot be stacked"):
        Stack([nn.Linear(2, 2), nn.Linear(3, 2)])


def test_progress_counts_the_updates_of_all(tmp_path):
    bench, seen = start(recipe(PLAIN, THREE), tmp_path / "run"), []
    bench.train(Watcher(progress=seen.append))
    assert {point.trajectory for point in seen} == {"independent × 3"}
    assert seen[-1].step == seen[-1].steps == 3 * 15
    assert [point.step for point in seen] == sorted(point.step for point in seen)


def test_a_plan_says_which_way(monkeypatch):
    monkeypatch.setattr("dale.recipes.pilot._SECONDS", 0.0)
    found = {}
    for word in ("never", "auto", "always"):
        parsed = parse_recipe(
            recipe(PLAIN, "[single, hybrid]", "", f"{{stack: {word}}}")
        )
        found[word] = plan(parsed, load_data(parsed)).together
    assert found["never"] == {}
    assert "2 networks at once, if" in found["always"]["hybrid"]
    assert "a pilot" in found["auto"]["hybrid"]
    limited = parse_recipe(recipe(PLAIN, THREE, "minutes: 5"))
    (line,) = plan(limited, load_data(limited)).together.values()
    assert line == "3 networks one after another: minutes are limited"
