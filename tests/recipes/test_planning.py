"""What a plan counts, held against what training does."""

from pathlib import Path

import pytest
import torch
from torch import nn

from dale.data import load
from dale.errors import RecipeError
from dale.recipes import every_strategy, plan, start
from dale.recipes.pilot import _listening, fly
from dale.train import STRATEGIES, parse_recipe, range_test

TEXT = "{data: digits, model: mlp, epochs: 4, batch: 256, strategies: [%s]}"


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr("dale.recipes.pilot._SECONDS", 0.0)


def planned(text, **options):
    return plan(parse_recipe(text), load("digits"), **options)


@pytest.mark.parametrize("name", ["snapshot", "short_cycles", "independent"])
def test_steps_members_and_disk_are_those_of_the_run(name):
    count = "cycles" if name == "snapshot" else "members"
    text = TEXT % f"{{name: {name}, {count}: 2}}"
    (price,) = [price for price in planned(text, every=True).prices if price.own]
    bench = start(text, "run")
    members = bench.train()
    assert price.members == len(members)
    log = list(bench.run.log())
    last = {line["trajectory"]: line["step"] for line in log}
    assert price.steps == sum(last.values())
    sizes = [
        sum(t.nbytes for t in bench.run.population.weights(member).values())
        for member in members
    ]
    assert price.disk_bytes == sum(sizes)


@pytest.mark.parametrize("name", ["single", "{name: temporal, ramp: 50%}"])
def test_a_pilot_takes_an_epoch_to_be_what_training_does(name):
    """With few labels, too: 4 epochs of 5 updates have room for 12 of a pilot."""
    more = "labelled: 50}, layers: {name: equalised, pilot: 12}"
    text = (TEXT % name).replace("digits", "{source: digits, " + more)
    assert planned(text).trajectories[0].steps == 20
    range_test(parse_recipe(text), load("digits", labelled=50), steps=16)


def test_disk_counts_what_is_carried_along():
    """Statistics of swag stay; targets of temporal ensembling are in a saved state."""
    plain = TEXT % "{name: temporal, ramp: 50%}"
    more = "collect: [{name: swag, start: 0, rank: 2, samples: 3}]"
    swag = plain.replace("epochs: 4", f"epochs: 4, {more}")
    (less,), (more,) = (
        [price.disk_bytes for price in planned(text, every=True).prices if price.own]
        for text in (plain, swag)
    )
    assert more == less * (1 + 3 + 2 + 2)  # members, then mean, square, deviations
    bench = start(swag, "run")
    bench.train()
    stored = sum(path.stat().st_size for path in Path("run/collected").iterdir())
    assert stored == pytest.approx(4 * less, rel=0.2)
    single = planned(TEXT % "single").disk_bytes
    targets = (4 * 10 + 8) * bench.data.examples
    assert planned(plain).disk_bytes == single + targets


def test_every_strategy_is_there_and_says_why_where_it_does_not_fit():
    recipe = parse_recipe(TEXT.replace("epochs: 4", "epochs: 1") % "single")
    found = every_strategy(recipe, examples=256)  # one update
    assert list(found) == list(STRATEGIES)
    assert isinstance(found["single"], list)
    assert "1 step" in found["snapshot"] or "steps" in found["snapshot"]


def test_minutes_set_the_epochs():
    one = planned(TEXT % "single")
    many = planned(TEXT % "single", minutes=60)
    assert many.epochs > one.epochs == 4
    assert many.trajectories[0].steps == many.epochs * many.per_epoch
    assert many.seconds <= 3600
    each = many.seconds / many.epochs
    assert many.seconds + each > 3600


def test_minutes_may_suffice_where_the_epochs_of_the_recipe_do_not():
    text = TEXT.replace("epochs: 4, batch: 256", "epochs: 1, batch: 1000")
    text %= "{name: snapshot, cycles: 5}"
    with pytest.raises(RecipeError, match="snapshot"):
        planned(text)
    assert planned(text, minutes=10).epochs > 1


def test_what_temporal_ensembling_remembers_is_counted():
    text = TEXT.replace(
        "digits", "{source: digits, val: 400, test: 900, labelled: 100}"
    )
    data = load("digits", val=400, test=900, labelled=100)
    plain = plan(parse_recipe(text % "single"), data).pilot.memory
    both = plan(parse_recipe(text % "single, temporal"), data).pilot.memory
    assert plain.targets == 0
    assert both.targets == 497 * (10 * 4 + 8)
    assert (
        both.total - both.activations == plain.total - plain.activations + both.targets
    )


def test_the_memory_of_a_plain_network_is_known():
    recipe = parse_recipe(
        "{data: digits, model: {name: mlp, hidden: [32]}, epochs: 1, batch: 100, "
        "strategies: [single], optimizer: {name: adamw}}"
    )
    memory = fly(recipe, load("digits")).memory
    parameters = 64 * 32 + 32 + 32 * 10 + 10
    assert memory.weights == memory.gradients == 4 * parameters
    # two moments for each parameter, and a count for each of the four tensors
    assert memory.optimizer == 2 * 4 * parameters + 4 * 4
    assert memory.total == sum(
        (memory.weights, memory.gradients, memory.optimizer, memory.activations)
    )


def test_microbatches_keep_less():
    whole = parse_recipe(TEXT % "single")
    parts = parse_recipe((TEXT % "single")[:-1] + ", engine: {accumulate: 4}}")
    data = load("digits")
    ratio = fly(whole, data).memory.activations / fly(parts, data).memory.activations
    assert ratio == pytest.approx(4, rel=0.1)


def test_what_is_saved_for_the_backward_is_counted_once():
    model = nn.Sequential(
        nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4), nn.BatchNorm1d(4, affine=False)
    ).eval()
    inputs = torch.randn(10, 8)
    with _listening(model) as heard:
        outputs = model(inputs)
    assert outputs.requires_grad
    # the inputs of both layers, the output of the tanh being one, and of the
    # normalisation; neither weights nor statistics
    assert sum(heard.values()) == 4 * (10 * 8 + 10 * 16 + 10 * 4)


def test_nothing_is_left_behind(tmp_path):
    before = torch.random.get_rng_state()
    planned(TEXT % "single")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert list(tmp_path.iterdir()) == []
