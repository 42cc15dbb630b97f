"""Collectors against the formulas they are documented with."""

import math
import shutil

import pytest
import torch
from torch import nn

from dale.errors import InputError, RecipeError
from dale.recipes import predictors, start, verify
from dale.store import Run
from dale.train import COLLECTORS, Gaussian, Span, bootstrap_rows
from dale.train.checkpoint import load_state
from dale.weights import reestimate

SPAN = Span(steps=20, per_epoch=5, seed=1)


def walk(count=20, size=6):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, size, generator=generator)


def shown(name, values, **settings):
    collector = COLLECTORS[name].function(SPAN, **settings)
    for step, value in enumerate(values, start=1):
        if collector.wants(step):
            collector.update(step, {"w": value.clone()})
    return collector


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999])
def test_the_bias_of_a_moving_average_is_corrected_exactly(decay):
    """From zero, divided by the sum of the shares: no model counts twice."""
    values = walk()
    found = shown("ema", values, decay=decay).member(1, {})["w"]
    shares = torch.tensor([decay ** (20 - n) for n in range(1, 21)]).double()
    expected = (shares[:, None] * values.double()).sum(0) / shares.sum()
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


def test_early_models_of_a_moving_average():
    values = walk()
    first = shown("ema", values, decay=0.9, early="first").member(1, {})["w"]
    warm = shown("ema", values, decay=0.9, early="warmup").member(1, {})["w"]
    expected, warmed = values[0].double(), values[0].double()
    for n, value in enumerate(values[1:].double(), start=2):
        expected = 0.9 * expected + 0.1 * value
        d = min(0.9, n / (n + 9))
        warmed = d * warmed + (1 - d) * value
    torch.testing.assert_close(first.double(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(warm.double(), warmed, rtol=1e-5, atol=1e-6)


def test_a_stride_counts_updates():
    values = walk()
    found = shown("ema", values, decay=0.5, every="1 epoch")
    assert found.details(1) == {"models": 4, "decay": 0.5}
    same = shown("ema", values[4::5], decay=0.5)
    assert torch.equal(found.member(1, {})["w"], same.member(1, {})["w"])


def test_a_moving_average_takes_the_buffers_along():
    """Running statistics move like the weights; the counter is the latest."""
    net, collector = nn.BatchNorm1d(2), COLLECTORS["ema"].function(SPAN, decay=0.5)
    for step in range(1, 4):
        net(torch.full((4, 2), float(step)) + torch.arange(4.0)[:, None])
        collector.update(step, net.state_dict())
    found = collector.member(1, net.state_dict())
    assert found["num_batches_tracked"] == 3
    assert not torch.equal(found["running_mean"], torch.zeros(2))
    assert (found["running_mean"] < net.running_mean).all()


@pytest.mark.parametrize("starts", [1, 2, 4, 6])
@pytest.mark.parametrize("every", [1, 3])
def test_every_tail_is_the_mean_of_the_models_after_its_start(starts, every):
    values = walk()
    found = shown("tail", values, starts=starts, every=every)
    seen = set()
    for index in found.emits(20):
        facts = found.details(index)
        steps = range(every, 21, every)
        inside = [values[step - 1] for step in steps if step > facts["start"]]
        assert facts["models"] == len(inside) > 0
        expected = torch.stack(inside).double().mean(0)
        member = found.member(index, {})["w"]
        torch.testing.assert_close(member.double(), expected, rtol=1e-5, atol=1e-6)
        seen.add(facts["start"])
    assert seen <= {0, 10, 15, 17, 18, 19}
    assert starts > 2 or len(seen) == starts


def test_swag_counts_mean_variance_and_the_last_deviations():
    values = walk()
    found = shown("swag", values, start=0, every=1, rank=3)
    state = found.keepsake()
    wide = values.double()
    close = {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(state["mean"]["w"].double(), wide.mean(0), **close)
    variance = state["square"]["w"].double() / 20
    torch.testing.assert_close(variance, wide.var(0, correction=0), **close)
    for n, column in zip((18, 19, 20), state["deviations"], strict=True):
        expected = wide[n - 1] - wide[:n].mean(0)
        torch.testing.assert_close(column["w"].double(), expected, **close)


@pytest.mark.parametrize(("rank", "scale"), [(0, None), (4, None), (4, 2.0)])
def test_samples_have_the_covariance_that_is_promised(rank, scale):
    gaussian = Gaussian.from_state(
        shown("swag", walk(), start=0, every=1, rank=rank).keepsake()
    )
    drawn = torch.stack(
        [gaussian.sample(0, n, scale)["w"].double() for n in range(4000)]
    )
    expected = torch.diag(gaussian.square["w"].double() / 20)
    if rank:
        columns = torch.stack([c["w"].double() for c in gaussian.deviations], dim=1)
        expected = expected + columns @ columns.T / (rank - 1)
    expected = expected * (scale or (0.5 if rank else 1.0))
    error = 5 * expected.diag().max() * math.sqrt(2 / 4000)
    assert (drawn.T.cov() - expected).abs().max() < error
    middle = (drawn.mean(0) - gaussian.mean["w"]).abs().max()
    assert middle < 5 * math.sqrt(expected.diag().max() / 4000)


def test_a_sample_depends_on_its_seed_and_number_alone():
    gaussian = Gaussian.from_state(shown("swag", walk(), start=0, every=1).keepsake())
    before = torch.random.get_rng_state()
    third = gaussian.sample(0, 3)["w"]
    gaussian.sample(0, 1)
    assert torch.equal(gaussian.sample(0, 3)["w"], third)
    assert not torch.equal(gaussian.sample(1, 3)["w"], third)
    assert torch.equal(torch.random.get_rng_state(), before)
    with pytest.raises(InputError, match="no variance"):
        Gaussian(count=1).sample(0, 1)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("snapshot", {"every": 21}, "takes no member"),
        ("swa", {"start": "100%"}, "leave no model"),
        ("ema", {"decay": 1.0}, r"decay must be in \[0, 1\)"),
        ("ema", {"every": 0}, "lets no model in"),
        ("tail", {"starts": 0}, "leave no model"),
        ("swag", {"rank": 1}, "rank 0 or at least 2"),
        ("swag", {"every": 5}, "at least 2 models"),
        ("swag", {"scale": -1.0}, "must not be negative"),
    ],
)
def test_what_does_not_fit_is_refused(name, settings, words):
    with pytest.raises(RecipeError, match=words):
        COLLECTORS[name].function(SPAN, **settings)


def test_the_recipe_names_the_collector_that_does_not_fit(tmp_path):
    recipe = RECIPE.replace("{name: ema, decay: 0.9}", "{name: ema, every: 999}")
    with pytest.raises(RecipeError, match=r"collect\[0\] ema of snapshot: every 999"):
        start(recipe, tmp_path / "run").train()


RECIPE = """
seed: 3
data: {source: digits, val: 300, test: 1200}
model: {name: mlp, hidden: [8], norm: batch}
epochs: 3
batch: 64
strategies: [{name: snapshot, cycles: 2}, {name: bagging, members: 2}]
collect:
  - {name: ema, decay: 0.9}
  - {name: tail, starts: 3}
  - {name: swag, start: 0, every: 3, samples: 3}
  - {name: ema, decay: 0.5}
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    bench = start(RECIPE, tmp_path_factory.mktemp("run") / "run")
    bench.train()
    return bench


def test_what_is_added_is_judged_apart_from_the_strategy(bench):
    found = {p.name: p for p in predictors(bench.members())}
    assert len(found["snapshot ensemble"].labels) == 2
    assert len(found["SWAG of snapshot"].labels) == 3
    assert found["EMA of snapshot"].kind == "average"
    assert found["EMA 2 of snapshot"].labels != found["EMA of snapshot"].labels
    assert len(found["EMA ensemble of bagging"].labels) == 2


def test_the_plan_counts_what_is_added(bench):
    count = len(bench.data.splits["train"])
    trajectories = bench.recipe.trajectories(count)
    assert sum(t.member_count() for t in trajectories) == len(bench.members())
    assert [len(t.member_steps()) for t in trajectories] == [2, 1, 1]


def test_the_best_start_is_the_one_that_validation_likes(bench):
    found = {p.name: p for p in predictors(bench.members())}
    chosen = found["tail average of snapshot"]
    tails = bench.members("snapshot-tail")
    best = min(tails, key=lambda member: member.scores["val_nll"])
    assert len(tails) == 3
    assert chosen.labels == (best.label,)
    assert chosen.chosen_on == "val"


def test_more_samples_can_be_drawn_from_what_is_kept(bench):
    """The file beside the members gives the first members again, and others."""
    path = bench.run.folder / "collected" / "snapshot-swag.safetensors"
    gaussian = Gaussian.from_state(load_state(path))
    members = bench.members("snapshot-swag")
    kept = bench.run.population.weights(members[1])
    drawn = gaussian.sample(members[1].seed, 2)
    for name in drawn:
        if "running" not in name:
            assert torch.equal(drawn[name], kept[name])


def test_a_bagged_run_sees_its_own_rows_and_no_others(bench):
    """Statistics re-estimated on the rows drawn are those that the member has."""
    count = len(bench.data.splits["train"])
    (first, second) = bench.recipe.trajectories(count)[1:]
    rows = first.rows(count)
    assert torch.equal(rows, bootstrap_rows(first.seed, count))
    assert not torch.equal(rows, second.rows(count))
    unseen = count - len(rows.unique())
    assert abs(unseen / count - math.exp(-1)) < 0.05
    member = next(m for m in bench.members("bagging-tail") if m.step == first.steps)
    weights = bench.run.population.weights(member)
    inputs = bench.data.splits["train"].batch(rows)
    (fresh,) = reestimate(bench.model, [weights], [inputs])
    for name, tensor in fresh.items():
        torch.testing.assert_close(tensor, weights[name], rtol=1e-4, atol=1e-5)
    other = bench.data.splits["train"].batch(second.rows(count))
    (wrong,) = reestimate(bench.model, [weights], [other])
    gaps = [(wrong[n] - weights[n]).abs().max() for n in fresh if "mean" in n]
    assert max(gaps) > 1e-3


@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_what_is_kept_is_verified(bench, harm, tmp_path):
    shutil.copytree(bench.run.folder, tmp_path / "run")
    assert verify(Run(tmp_path / "run")).problems == ()
    path = tmp_path / "run" / "collected" / "snapshot-swag.safetensors"
    whole = path.read_bytes()
    path.unlink()
    if harm == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    (problem,) = verify(Run(tmp_path / "run")).problems
    assert str(path) in problem
