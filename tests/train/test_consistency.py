"""Learning from examples without a label, against what was published."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cases.runs import files_of, with_lines
from dale.data import training_split
from dale.errors import InputError, Interrupted, RecipeError
from dale.recipes import Workbench, plan, start
from dale.recipes.pilot import fly
from dale.recipes.workbench import scores
from dale.train import (
    OPTIMIZERS,
    STRATEGIES,
    Batches,
    Budget,
    Watcher,
    build_augment,
    build_model,
    parse_recipe,
    train,
)
from dale.train.checkpoint import load_state
from dale.train.seams import Seams, classification
from dale.train.specs import settings
from dale.train.targets import Targets
from reference.consistency import train_consistently

HEAD = with_lines(
    "data: {source: digits, val: 300, test: 1200, labelled: 60}\nepochs: 5"
)
CONVNET = "model: {name: convnet, width: 4, dropout: 0.2}"
MLP = "model: {name: mlp, hidden: [16], norm: batch, dropout: 0.3}"
TEMPORAL = "{name: temporal, share: 0, ramp: 50%, decay: 0.7, ramp_down: 1 epoch}"
PI = "{name: pi, ramp: 30%, noise: 0.1, share: 0.4}"


def recipe(strategy, model=MLP, more=""):
    return f"{HEAD}\n{model}\n{more}\nstrategies:\n  - {strategy}\n"


@pytest.mark.parametrize(
    "strategy", [TEMPORAL, PI, "{name: temporal, share: 0, noise: 0.2}"]
)
def test_the_published_loop_gives_the_same_weights(strategy, tmp_path):
    more = "augment: {crop: 1}\noptimizer: adam"
    bench = start(recipe(strategy, CONVNET, more), tmp_path / "run")
    (member,) = bench.train()
    parsed, data = bench.recipe, bench.data
    (trajectory,) = parsed.trajectories(data.examples)
    model = build_model(parsed, data, trajectory.seed)
    given = settings(parsed.optimizer, "name")
    asked = trajectory.consistency
    expected = train_consistently(
        model,
        OPTIMIZERS["adam"].function(model.parameters(), **given),
        trajectory.split(data),
        trajectory.schedule.values(),
        asked.weight.values(),
        seed=trajectory.seed,
        batch=parsed.batch,
        decay=asked.decay,
        augment=build_augment(parsed),
        noise=asked.noise,
        share=asked.share,
    )
    found = bench.run.population.weights(member)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["temporal", "pi"])
def test_without_weight_it_is_the_single_run_bit_for_bit(name, tmp_path):
    head = HEAD.replace(", labelled: 60", "")
    text = f"{head}\n{MLP}\nstrategies: [single, {{name: {name}, weight: 0}}]"
    single, other = start(text, tmp_path / "run").train()
    assert other.digest == single.digest


@given(
    shares=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30),
    decay=st.sampled_from([0.0, 0.3, 0.6, 0.99]),
)
def test_targets_are_means_without_a_bias(shares, decay):
    """Of equal predictions, that prediction; else the mean with these shares."""
    same, varied = (Targets(2, 2, decay) for _ in range(2))
    row, numbers = torch.tensor([1]), torch.tensor(shares)
    for share in numbers:
        same.update(row, torch.stack([numbers[0], 1 - numbers[0]])[None])
        varied.update(row, torch.stack([share, 1 - share])[None])
    found, known = same.of(row)
    torch.testing.assert_close(found[0, 0], numbers[0], rtol=1e-5, atol=1e-6)
    count = len(shares)
    parts = torch.tensor([decay ** (count - n) for n in range(1, count + 1)]).double()
    expected = (parts * numbers.double()).sum() / parts.sum()
    found, known = varied.of(torch.tensor([1, 0]))
    assert found[0, 0].double() == pytest.approx(float(expected), rel=1e-4, abs=1e-6)
    assert known.tolist() == [True, False]
    assert found[1].tolist() == [0, 0]


@given(
    examples=st.integers(2, 300),
    size=st.integers(2, 64),
    share=st.floats(0.01, 1),
    epoch=st.integers(0, 3),
)
def test_every_batch_has_its_share_of_labels(examples, size, share, epoch):
    labelled = max(1, round(share * examples))
    batches = Batches(examples, size, labelled)
    order = batches.order(7, epoch)
    assert sorted(order.tolist()) == list(range(examples))
    counts = []
    for index in range(batches.per_epoch):
        start, end = batches.bounds(index)
        counts.append(int((order[start:end] < labelled).sum()))
        assert abs(counts[-1] - (end - start) * labelled / examples) <= 1
    assert sum(counts) == labelled
    plain = Batches(examples, size)
    assert torch.equal(Batches(examples, size, examples).order(7, 1), plain.order(7, 1))


@given(
    examples=st.integers(2, 200),
    size=st.integers(2, 64),
    labelled=st.floats(0.01, 0.99),
    share=st.floats(0.01, 0.99),
)
def test_a_share_of_labels_is_kept_and_everyone_has_turns(
    examples, size, labelled, share
):
    labelled = min(max(1, round(labelled * examples)), examples - 1)
    batches = Batches(examples, size, labelled, share)
    orders = [batches.order(7, epoch) for epoch in range(4)]
    assert all(len(order) == examples for order in orders)
    counts = torch.cat(orders).bincount(minlength=examples)
    for part in (counts[:labelled], counts[labelled:]):
        assert part.max() - part.min() <= 1
    assert counts[:labelled].sum() == 4 * batches.shown
    assert batches.shown >= labelled
    for index in range(batches.per_epoch):
        start, end = batches.bounds(index)
        found = int((orders[2][start:end] < labelled).sum())
        assert abs(found - (end - start) * batches.shown / examples) <= 1


def test_a_row_that_stands_twice_counts_once():
    one, two = Targets(4, 2, 0.6), Targets(4, 2, 0.6)
    probs = torch.tensor([[0.1, 0.9], [0.3, 0.7], [0.5, 0.5]])
    one.update(torch.tensor([2, 0, 2]), probs)
    two.update(torch.tensor([0, 2]), probs[1:])
    for left, right in zip(one.state().values(), two.state().values(), strict=True):
        assert torch.equal(left, right)


@pytest.mark.parametrize("strategy", [TEMPORAL, PI])
def test_labels_that_are_hidden_are_never_read(strategy, tmp_path):
    """Whatever the targets of unlabelled examples are, nothing changes."""
    text, digests = recipe(strategy), set()
    for shift in (None, 0, 5):
        bench = start(text, tmp_path / f"run{shift}")
        if shift is not None:
            hidden = bench.data.unlabelled
            given = (torch.arange(len(hidden)) + shift) % 10
            bench.data = replace(
                bench.data, unlabelled=replace(hidden, targets_N=given)
            )
        (member,) = bench.train()
        digests.add((member.digest, bench.run.log_path.read_bytes()))
    assert len(digests) == 1


def test_what_is_learned_from_depends_on_the_strategy(tmp_path):
    """Equal numbers of updates; only some see examples without a label."""
    text = f"{HEAD}\n{MLP}\nstrategies: [single, temporal, pi]"
    bench, seen = start(text, tmp_path / "run"), {}
    split = training_split(bench.data, unlabelled=True)

    def hang(trajectory, model, optimizer):
        rows = seen.setdefault(trajectory.name, [])
        usual = classification()

        def objective(call, batch, step):
            rows.append(batch.rows_N)
            return usual(call, batch, step)

        if trajectory.consistency is None:
            return Seams(objective=objective)
        return Seams()

    with bench.run.lock():
        train(bench.run, bench.recipe, bench.data, scores, None, hang)
    rows_N = torch.cat(seen["single"])
    assert rows_N.max() == 59 < len(split) - 1
    counts = rows_N.bincount()  # whole passes, the last one perhaps cut short
    assert counts.max() - counts.min() <= 1
    log = list(bench.run.log())
    assert [line["step"] for line in log] == 3 * [5, 10, 15, 20, 25]
    assert all(0 <= line["train_error"] <= 1 for line in log)
    for name, weight in (("temporal", 30), ("pi", 100)):
        mine = [line for line in log if line["trajectory"] == name]
        assert mine[0]["train_consistency_weight"] == 0
        assert mine[-1]["train_consistency_weight"] == weight
        assert 0.2 < mine[-1]["train_agreement"] <= 1
    assert "train_agreement" not in mine[0]  # nothing was compared yet


def test_an_optimiser_that_asks_again_counts_a_prediction_once(tmp_path):
    more = "optimizer: {name: lbfgs, iterations: 3}"
    plain = "model: {name: mlp, hidden: [8], norm: none}"
    bench = start(
        recipe("{name: temporal, share: 0, peak: 0.5}", plain, more), tmp_path / "run"
    )
    stop_after(bench, 24)
    state = load_state(bench.run.folder / "state" / "temporal.safetensors")
    targets = state["loop"]["carried"]["consistency"]["targets"]
    times_N = targets["times"]
    assert times_N.unique().tolist() == [4, 5]
    assert times_N.sum() == 5 * bench.data.examples - 60  # but for the last batch
    sums = targets["sums"].sum(dim=1) / (1 - 0.6 ** times_N.double()).float()
    torch.testing.assert_close(sums, torch.ones_like(sums), rtol=1e-5, atol=1e-5)


def stop_after(bench, steps):
    left = iter(range(steps - 1))
    with pytest.raises(Interrupted):
        bench.train(Watcher(stop=lambda: next(left, None) is None))


ENGINES = {
    "plain": "",
    "accumulated": "engine: {accumulate: 3}",
    "bfloat16": "engine: {precision: bf16, accumulate: 2}\ncollect: [{name: swa, "
    "start: 0, every: 3}]",
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("strategy", [TEMPORAL, PI])
def test_stopped_and_resumed_gives_the_same_bytes(engine, strategy, tmp_path):
    text = recipe(strategy, more=ENGINES[engine])
    whole = start(text, tmp_path / "whole")
    whole.train()
    for steps in (1, 7, 10, 23):  # within and at the end of an epoch
        bench = start(text, tmp_path / f"stopped{steps}")
        stop_after(bench, steps)
        Workbench(bench.run).train()
        assert files_of(bench, "state/*") == files_of(whole, "state/*")


def test_microbatches_give_the_updates_of_the_batch(tmp_path):
    plain, found = "model: {name: mlp, hidden: [16], norm: none}", []
    for number, more in enumerate(["", "engine: {accumulate: 4}"]):
        bench = start(recipe(TEMPORAL, plain, more), tmp_path / f"run{number}")
        (member,) = bench.train()
        found.append(bench.run.population.weights(member))
    for name, tensor in found[0].items():
        torch.testing.assert_close(found[1][name], tensor, rtol=1e-3, atol=1e-4)


def test_a_plan_measures_each_kind_of_update(monkeypatch):
    monkeypatch.setattr("dale.recipes.pilot._SECONDS", 0.0)
    bench = start(recipe(PI, CONVNET), "run")
    found = plan(bench.recipe, bench.data, every=True)
    prices = {price.strategy: price for price in found.prices}
    assert found.examples["unlabelled"] == bench.data.examples - 60
    assert prices["pi"].steps == prices["single"].steps == prices["temporal"].steps
    one = {}
    for name in ("temporal", "pi"):
        (made,) = STRATEGIES[name].function(bench.recipe.budget(bench.data.examples))
        one[name] = fly(bench.recipe, bench.data, made).memory.activations
    assert one["pi"] == pytest.approx(2 * one["temporal"], rel=0.05)


def test_a_plan_says_what_cannot_be_trained(monkeypatch):
    """Priced with the others it is a remark, in the recipe an error."""
    monkeypatch.setattr("dale.recipes.pilot._SECONDS", 0.0)
    plain = "model: {name: mlp, hidden: [8], norm: none}"
    bench = start(recipe("single", plain), "run")
    prices = {p.strategy: p for p in plan(bench.recipe, bench.data, every=True).prices}
    assert "both predictions of step" in prices["pi"].problem
    assert prices["temporal"].problem is None
    with pytest.raises(RecipeError, match="both predictions of an update"):
        plan(parse_recipe(recipe("pi", plain)), bench.data)


BUDGET = Budget(steps=100, per_epoch=10, seed=0)


def test_the_weight_rises_along_a_gaussian_and_the_rate_may_fall():
    (one,) = STRATEGIES["temporal"].function(BUDGET, ramp="50%", ramp_down="20%")
    weights = one.consistency.weight.values()
    assert weights[:10] == [0.0] * 10
    assert weights[25] == pytest.approx(30 * 2.718281828 ** (-5 * 0.25))
    assert weights[50:] == [30.0] * 50
    (usual,) = STRATEGIES["single"].function(BUDGET)
    rates, expected = one.schedule.values(), usual.schedule.values()
    assert rates[:80] == expected[:80]
    assert rates[90] == pytest.approx(expected[90] * 2.718281828 ** (-12.5 * 0.25))


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("temporal", {"decay": 1.0}, r"decay must be in \[0, 1\), got 1"),
        ("temporal", {"weight": -1.0}, "weight must not be negative, got -1"),
        ("pi", {"noise": -0.5}, "noise must not be negative, got -0.5"),
        ("pi", {"ramp": "200%"}, "ramp '200%' does not fit into 100 steps"),
        ("pi", {"share": 1.0}, r"share must be in \[0, 1\), got 1"),
        ("temporal", {"ramp_down": -5}, "ramp_down -5 does not fit into 100 steps"),
    ],
)
def test_what_does_not_fit_is_refused(name, given, words):
    with pytest.raises(RecipeError, match=words):
        STRATEGIES[name].function(BUDGET, **given)


def test_one_epoch_has_nothing_to_be_compared_with():
    with pytest.raises(RecipeError, match="10 steps are one epoch, expected more"):
        STRATEGIES["temporal"].function(Budget(10, 10, 0))


def test_two_predictions_that_cannot_differ_are_refused(tmp_path):
    plain = "model: {name: mlp, hidden: [8], norm: none}"
    with pytest.raises(RecipeError, match="pi: both predictions of an update would"):
        start(recipe("single\n  - pi", plain), tmp_path / "run")
    assert not (tmp_path / "run").exists()  # not after `single` was trained


def test_an_objective_of_ones_own_does_not_go_with_it(tmp_path):
    bench = start(recipe(TEMPORAL), tmp_path / "run")
    seams = Seams(objective=classification())
    with bench.run.lock(), pytest.raises(InputError, match="have an objective"):
        train(bench.run, bench.recipe, bench.data, scores, None, lambda *facts: seams)
