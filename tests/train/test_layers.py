"""Rates by layer against a slow twin; patterns; freezing; a resume in the midst."""

import pytest
import torch
from torch import nn

import dale
from dale.errors import InputError, Interrupted, RecipeError
from dale.recipes import Workbench, start
from dale.schedules import constant
from dale.train import (
    LAYERS,
    OPTIMIZERS,
    Layerwise,
    Watcher,
    build_model,
    build_optimizer,
    equalised,
    layers_of,
    range_test,
    signal,
)
from dale.train.layers import matches
from dale.train.reading import parse_recipe
from reference.train import train_plainly
from train.test_distributed import engine, together

RECIPE = """
seed: 3
data: {source: digits, val: 300, test: 1200}
model: {name: mlp, hidden: [12, 8], norm: batch, dropout: 0.2}
epochs: 3
batch: 75
checkpoint_seconds: 0
engine: {device: cpu}
optimizer: {name: sgd, weight_decay: 0.02}
strategies: [{name: snapshot, cycles: 3, peak: 0.2}]
"""
RULES = {
    "discriminative": "layers: {name: discriminative, factor: 0.5}\n",
    "equalised": "layers: {name: equalised, pilot: 2, every: 5, of: largest}\n",
    "relative": "layers: {name: equalised, pilot: 2, relative: true, limit: 3}\n",
    "signal": "layers: {name: signal, threshold: 2.9, every: 1 epoch}\n",
}
NAMES = ["1", "5", "9"]


class Slow(torch.optim.SGD):
    """The rules by hand: one layer after the other, one number after the other."""

    def __init__(self, layers, rule, weight_decay):
        groups = [{"params": layer} for layer in layers]
        super().__init__(
            groups, lr=0.0, momentum=0.9, nesterov=True, weight_decay=weight_decay
        )
        self.rule, self.done, self.seen = rule, 0, []
        self.scales = [0.25, 0.5, 1.0] if rule == "discriminative" else [1.0] * 3
        self.frozen, self.history = {}, []

    def step(self):
        norms = []
        for group in self.param_groups:
            square = sum(float((p.grad**2).double().sum()) for p in group["params"])
            norms.append(square**0.5)
        self.seen.append(norms)
        for place, group in enumerate(self.param_groups):
            group["lr"] *= self.scales[place]
            if place in self.frozen:
                for parameter in group["params"]:
                    parameter.grad = None
        self.history.append([group["lr"] for group in self.param_groups])
        super().step()
        self.done += 1
        self.decide()

    def mean(self, window):
        return [sum(row[i] for row in self.seen[-window:]) / window for i in range(3)]

    def size(self, place):
        parts = self.param_groups[place]["params"]
        return sum(float((p.detach() ** 2).double().sum()) for p in parts) ** 0.5

    def decide(self):
        if self.rule == "equalised" and (self.done == 2 or self.done % 5 == 0):
            rates = [1 / g for g in self.mean(2)]
            self.scales = [rate / max(rates) for rate in rates]
        if self.rule == "relative" and self.done == 2:
            rates = [self.size(i) / g for i, g in enumerate(self.mean(2))]
            middle = sorted(rates)[1]
            rates = [min(max(rate, middle / 3), middle * 3) for rate in rates]
            self.scales = [3 * rate / sum(rates) for rate in rates]
        if self.rule == "signal" and self.done % 4 == 0:
            for place, gradient in enumerate(self.mean(4)):
                if gradient / (0.02 * self.size(place)) < 2.9:
                    self.frozen.setdefault(place, self.done)
                    self.scales[place] = 0.0


@pytest.mark.parametrize("name", RULES)
def test_rules_do_what_a_slow_twin_does(name, tmp_path):
    bench = start(RECIPE + RULES[name], tmp_path / "run")
    members = bench.train()
    (trajectory,) = bench.recipe.trajectories(297)
    model = build_model(bench.recipe, bench.data, 3)
    slow = Slow([list(v.values()) for v in layers_of(model).values()], name, 0.02)
    rates = [trajectory.schedule(step) for step in range(trajectory.steps)]
    kept, _ = train_plainly(
        *(model, slow, bench.data.splits["train"], rates),
        **{"seed": 3, "batch": 75, "wanted": trajectory.member_steps()},
    )
    for member in members:
        found = bench.run.population.weights(member)
        for key, tensor in kept[member.step].items():
            torch.testing.assert_close(found[key], tensor, rtol=1e-4, atol=1e-6)
    for line in bench.run.log():
        assert list(line["rates"]) == NAMES
        used = slow.history[line["step"] - 1]
        assert list(line["rates"].values()) == pytest.approx(used, rel=1e-5)
        frozen = {NAMES[p]: at for p, at in slow.frozen.items() if at <= line["step"]}
        assert line.get("frozen", {}) == frozen
    if name == "signal":
        assert 0 < len(slow.frozen) < 3
        assert list(bench.run.log()[0]["ratios"]) == NAMES


def digests(text, folder):
    bench = start(text, folder)
    bench.train()
    return bench, [member.digest for member in bench.run.population]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_one_rate_for_all_is_plain_training(optimizer, tmp_path):
    plain = RECIPE.replace("name: sgd", f"name: {optimizer}")
    same = "layers: {name: discriminative, factor: 1}\n"
    watched = "layers: {name: signal, threshold: 0, every: 3}\n"
    _, expected = digests(plain, tmp_path / "plain")
    for place, more in enumerate((same, watched)):
        assert digests(plain + more, tmp_path / str(place))[1] == expected


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("after", [1, 6])
def test_stopped_and_resumed_gives_the_same_bits(name, after, tmp_path):
    bench, expected = digests(RECIPE + RULES[name], tmp_path / "whole")
    cut, steps = start(RECIPE + RULES[name], tmp_path / "cut"), iter(range(after))
    with pytest.raises(Interrupted):
        cut.train(Watcher(stop=lambda: next(steps, None) is None))
    assert [m.digest for m in Workbench(cut.run).train()] == expected
    assert cut.run.log() == bench.run.log()


@pytest.mark.parametrize(
    ("name", "shard"),
    [("equalised", ""), ("equalised", "shard: true"), ("signal", "shard: true")],
)
def test_two_processes_give_what_one_gives(name, shard, tmp_path):
    text = (RECIPE + RULES[name]).replace("norm: batch, dropout: 0.2", "norm: none")
    start(text, tmp_path / "one").train()
    text = engine(text, shard) if shard else text
    assert together(lambda rank: start(text, tmp_path / "two").train()) == ["", ""]
    one, other = dale.Run(tmp_path / "one"), dale.Run(tmp_path / "two")
    for left, right in zip(one.log(), other.log(), strict=True):
        assert right["rates"] == pytest.approx(left["rates"], rel=1e-3)
        assert right.get("frozen") == left.get("frozen")
    assert ("frozen" in one.log()[-1]) == (name == "signal")
    check_members(one, other)


def check_members(one, other):
    for left, right in zip(one.population, other.population, strict=True):
        expected = one.population.weights(left)
        found = other.population.weights(right)
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-4)


def test_a_frozen_layer_stays_as_it_is_and_costs_nothing_else(tmp_path):
    """No step, no decay, and its momentum does not run on."""
    weights = [nn.Parameter(torch.ones(2, 2)) for _ in range(2)]
    optimizer = torch.optim.SGD(
        [{"params": [w], "name": n} for w, n in zip(weights, "ab", strict=True)],
        **{"lr": 0.1, "momentum": 0.9, "weight_decay": 0.5},
    )
    layers = Layerwise(optimizer, signal(every=2, threshold=0.5))
    for step in range(4):
        before = [w.detach().clone() for w in weights]
        weights[0].grad, weights[1].grad = torch.full((2, 2), 0.1), torch.ones(2, 2)
        optimizer.step()
        moved = [not torch.equal(w, b) for w, b in zip(weights, before, strict=True)]
        assert moved == [step < 2, True]
    assert layers.frozen == {"a": 2}
    assert layers.scales == {"a": 0.0, "b": 1.0}
    assert weights[0].grad is None


def test_layers_begin_with_what_has_two_dimensions():
    block = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten())
    model = nn.Sequential(nn.LayerNorm(4), block, nn.Linear(2, 2), nn.Linear(2, 2))
    model[2].weight = model[3].weight  # tied: of the first that has it
    model[3].bias.requires_grad_(False)
    found = {name: list(layer) for name, layer in layers_of(model).items()}
    assert found == {
        "0": ["0.weight", "0.bias"],
        "1.0": ["1.0.weight", "1.0.bias", "1.1.weight", "1.1.bias"],
        "2": ["2.weight", "2.bias"],
    }
    own = nn.Module()
    own.token, own.head = nn.Parameter(torch.ones(1, 2)), nn.Linear(2, 2)
    assert list(layers_of(own)) == ["(root)", "head"]
    assert list(layers_of(own, ["head", "*"])) == ["head", "*"]


def test_patterns():
    named = dict(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).named_parameters())
    assert matches(named, ["vectors"]) == {
        "0.weight": None,
        **dict.fromkeys(("0.bias", "1.weight", "1.bias"), "vectors"),
    }
    assert set(matches(named, ["1", "*.weight", "*"]).values()) == {
        "1",
        "*.weight",
        "*",
    }
    with pytest.raises(
        InputError, match="'0' decides for no parameter; their names: 0"
    ):
        matches(named, ["*", "0"])
    with pytest.raises(InputError, match=r"no pattern matches '1\.weight'; add"):
        layers_of(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), ["0"])
    with pytest.raises(InputError, match="no parameter to train"):
        layers_of(nn.ReLU())


def test_settings_by_pattern_are_those_of_groups_made_by_hand(tmp_path):
    more = """
companions:
  weight_decay: {vectors: 0, "*": {name: linear, first: 0.02, last: 0.001}}
  rate: {"9": 2, "1.weight": {name: cosine, peak: 1}}
  momentum: 0.8
"""
    bench, _ = digests(RECIPE + more, tmp_path / "run")
    (trajectory,) = bench.recipe.trajectories(297)
    model = build_model(bench.recipe, bench.data, 3)
    decay = bench.recipe.companions["weight_decay"]["*"]
    assert (decay.first, decay.last) == (0.02, 0.001)

    class ByHand(torch.optim.SGD):
        done = 0

        def step(self):
            share = self.done / (trajectory.steps - 1)
            for group in self.param_groups:
                (parameter,), name = group["params"], group["name"]
                if parameter.dim() > 1:
                    group["weight_decay"] = 0.02 + (0.001 - 0.02) * share
                if name.startswith("9."):
                    group["lr"] *= 2
                if name == "1.weight":
                    group["lr"] *= dale.schedules.cosine(1, steps=trajectory.steps)(
                        self.done
                    )
            super().step()
            self.done += 1

    groups = [{"params": [p], "name": n} for n, p in model.named_parameters()]
    plain = ByHand(groups, lr=0.0, momentum=0.8, nesterov=True, weight_decay=0.0)
    rates = [trajectory.schedule(step) for step in range(trajectory.steps)]
    kept, _ = train_plainly(
        *(model, plain, bench.data.splits["train"], rates),
        **{"seed": 3, "batch": 75, "wanted": [12]},
    )
    found = bench.run.population.weights(list(bench.run.population)[-1])
    for key, tensor in kept[12].items():
        torch.testing.assert_close(found[key], tensor, rtol=1e-5, atol=1e-7)


def test_patterns_and_layers_together(tmp_path):
    more = RULES["equalised"] + "companions: {weight_decay: {vectors: 0}}\n"
    bench = start(RECIPE + more, tmp_path / "run")
    model = build_model(bench.recipe, bench.data, 0)
    optimizer = build_optimizer(bench.recipe, model)
    assert [g["name"] for g in optimizer.param_groups] == ["1", "1", "5", "5", "9", "9"]
    assert len(bench.train()) == 3
    assert list(bench.run.log()[0]["rates"]) == NAMES


def test_a_range_test_has_the_layers_of_training():
    text = RECIPE.replace("1200", "300") + RULES["discriminative"]
    recipe = parse_recipe(text)
    data = dale.recipes.load_data(recipe)
    plain = parse_recipe(RECIPE.replace("1200", "300"))
    found = [range_test(r, data, steps=12).losses for r in (recipe, plain)]
    assert found[0][0] == found[1][0]
    assert found[0][-1] != found[1][-1]


def test_in_ones_own_loop_with_a_schedule():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(dale.layer_groups(model), lr=0.1)
    layers = Layerwise(optimizer, equalised(pilot=2, of="largest"))
    scheduler = dale.Scheduled(optimizer, constant(0.5, steps=10))
    for _ in range(4):
        optimizer.zero_grad()
        model(torch.ones(5, 4)).square().mean().backward()
        optimizer.step()
        scheduler.step()
    found = {group["name"]: group["lr"] for group in optimizer.param_groups}
    assert found == {name: 0.5 * scale for name, scale in layers.scales.items()}
    assert max(found.values()) == 0.5
    assert min(found.values()) < 0.5
    with pytest.raises(InputError, match="group has no name"):
        Layerwise(torch.optim.SGD(model.parameters(), lr=0.1), equalised())


def test_every_row_is_tested_and_says_what_it_is():
    assert {line.split("name: ")[1].split(",")[0] for line in RULES.values()} == set(
        LAYERS
    )
    for row in LAYERS.values():
        assert row.summary == row.summary.strip().rstrip(".") != ""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("layers: discriminativ", "unknown name 'discriminativ'; did you mean"),
        ("layers: signal", r"layers\.every is missing"),
        (
            "layers: {name: equalised, pilots: 3}",
            "unknown key 'pilots' in layers; did you mean 'pilot'",
        ),
        ("layers: {name: discriminative, factor: 0}", "factor must be above 0, got 0"),
        ("layers: {name: equalised, pilot: 0}", "pilot must be at least 1 update"),
        (
            "layers: {name: equalised, pilot: 9, every: 5}",
            "every must be at least twice the pilot's 9 updates, got 5",
        ),
        ("layers: {name: equalised, limit: 0.1}", "limit must be at least 1"),
        ("layers: {name: signal, every: 0}", "every must be at least 1 update"),
        ("layers: {name: signal, every: 5, threshold: -1}", "at least 0, got -1"),
        ("layers: {name: signal, every: 5 weeks}", "'5 weeks' is not a length"),
        (
            "layers: {name: equalised, pilot: 13}",
            "would measure over 13 updates, and a trajectory has 12",
        ),
        (
            "layers: {name: equalised, pilot: 2}\noptimizer: adam",
            "of adam have one size already",
        ),
        ("layers: discriminative\noptimizer: lbfgs", "lbfgs takes one rate for all"),
        (
            "layers: {name: signal, every: 5}\noptimizer: adam",
            "adam has no weight_decay to hold against",
        ),
        ("companions: {momentum: {}}", "expected a schedule or patterns"),
        (
            "companions: {momentum: {vectors: {name: cosine, peek: 1}}}",
            r"unknown key 'peek' in companions\.momentum\.vectors; did you mean 'peak'",
        ),
        (
            "companions: {weight_decay: {vectors: {name: cosin}}}",
            r"companions\.weight_decay\.vectors: unknown name 'cosin'",
        ),
        (
            "companions: {rate: {vectors: -1}}",
            r"companions\.rate\.vectors: goes from -1 to -1; expected at least 0$",
        ),
        (
            "companions: {damping: {vectors: 1}}\noptimizer: newton",
            r"companions\.damping: newton takes one value for all parameters",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(more, said):
    head = RECIPE
    if "optimizer" in more:
        head = "\n".join(x for x in RECIPE.splitlines() if "optimizer" not in x) + "\n"
    with pytest.raises(RecipeError, match=said):
        parse_recipe(head + more).trajectories(300)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            "layers: {name: discriminative, patterns: [head]}",
            "'head' decides for no parameter; their names: 1.weight, 1.bias",
        ),
        (
            'layers: {name: discriminative, patterns: ["1"]}',
            "no pattern matches '2.weight'; add",
        ),
        ("companions: {weight_decay: {nrms: 0}}", "'nrms' decides for no parameter"),
    ],
)
def test_names_that_the_model_lacks_leave_nothing_behind(more, said, tmp_path):
    with pytest.raises(InputError, match=said):
        start(RECIPE + more, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_optimisers_that_scale_their_updates_are_marked():
    weight = nn.Parameter(torch.ones(3))
    for row in OPTIMIZERS.values():
        if row.needs != "gradient":
            continue
        sizes = []
        for gradient in (1.0, 100.0):
            optimizer = row.function([weight], **settings_without_decay(row))
            optimizer.param_groups[0]["lr"] = 0.01
            before = weight.detach().clone()
            weight.grad = torch.full((3,), gradient)
            optimizer.step()
            sizes.append((weight.detach() - before).norm())
        assert row.scaled == bool(torch.isclose(*sizes, rtol=1e-3))


def settings_without_decay(row):
    return {"weight_decay": 0.0} if "weight_decay" in row.knobs else {}
