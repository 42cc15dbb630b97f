"""Watching for over-fitting: what is logged, what is kept, when it stops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dale.errors import InputError, Interrupted, RecipeError
from dale.recipes import start
from dale.train import Watcher, soft_threshold
from dale.train.guard import Guard, GuardSpec, slope
from dale.train.reading import parse_recipe

# few noisy examples and many epochs: the likelihood gets worse soon
RECIPE = """
seed: 1
data: {source: digits, val: 300, test: 1400}
model: {name: mlp, hidden: [64], norm: batch}
epochs: 30
batch: 32
checkpoint_seconds: 0
strategies: [{name: single, warmup: 0, schedule: {name: constant, value: 0.3}}]
collect: [{name: ema, decay: 0.9}, best, {name: swa, start: 0}]
"""
GUARD = "guard: {patience: 2, window: 3}\n"
FLOATS = st.floats(-100, 100)


@given(values=st.lists(FLOATS, min_size=2, max_size=20))
def test_the_trend_is_the_least_squares_slope(values):
    expected = np.polyfit(np.arange(len(values)), values, 1)[0]
    assert slope(values) == pytest.approx(expected, abs=1e-9)


@given(
    values=st.lists(FLOATS | st.just(math.nan), max_size=15), patience=st.integers(1, 4)
)
def test_stops_when_nothing_was_better_for_so_long(values, patience):
    guard = Guard(GuardSpec(patience=patience))
    for count, value in enumerate(values, start=1):
        stop = guard.note(0.0, {"nll": 9.0}, {"nll": value})
        known = [math.inf if math.isnan(v) else v for v in values[:count]]
        latest = known[-patience:]
        assert stop == (count > patience and min(latest) >= min(known[:-patience]))
        again = Guard(guard.spec)
        again.load_state(guard.state())
        assert again.record() == pytest.approx(guard.record(), nan_ok=True)


def test_without_patience_it_only_watches():
    guard = Guard(GuardSpec())
    assert not any(guard.note(0.0, {"nll": float(n)}, {}) for n in range(50))
    assert guard.record()["gap_trend"] == pytest.approx(1)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    bench = start(RECIPE + GUARD, tmp_path_factory.mktemp("run") / "run")
    return bench, bench.train()


def test_a_stop_keeps_the_average(stopped):
    bench, members = stopped
    log = bench.run.log()
    assert len(log) < 30
    assert [line.get("stopped", False) for line in log[:-1]] == [False] * (len(log) - 1)
    assert log[-1]["stopped"]
    watched = [line["average_val_nll"] for line in log]
    assert len(log) == 1 + watched.index(min(watched)) + 2
    found = {m.group: m for m in members}
    assert found.keys() == {"single", "single-ema", "single-best", "single-swa"}
    assert all(m.step == log[-1]["step"] for m in members)
    # the average that was watched is the average that is kept, and so is the best
    assert found["single-ema"].scores["val_nll"] == watched[-1]
    best = min(log, key=lambda line: line["val_nll"])
    assert found["single-best"].scores["val_nll"] == best["val_nll"]
    assert found["single-best"].details["best_step"] == best["step"]
    assert found["single"].scores["val_nll"] == log[-1]["val_nll"]


def test_what_the_log_says(stopped):
    log = stopped[0].run.log()
    for index, line in enumerate(log):
        assert line["gap"] == line["val_nll"] - line["train_loss"]
        last = [item["gap"] for item in log[max(0, index - 2) : index + 1]]
        assert line["gap_trend"] == pytest.approx(slope(last), abs=1e-11)


@pytest.mark.parametrize("stop", [1, 12, 30])
def test_it_resumes_to_the_same_bytes(stop, stopped, tmp_path):
    expected, _ = stopped
    bench, steps = start(RECIPE + GUARD, tmp_path / "run"), iter(range(stop))
    with pytest.raises(Interrupted):
        bench.train(Watcher(stop=lambda: next(steps, None) is None))
    bench.train()
    for name in ("population.json", "log.jsonl"):
        left, right = (b.run.folder / name for b in (bench, expected))
        assert left.read_bytes() == right.read_bytes()
    assert bench.train()  # a stopped run is finished
    assert len(bench.run.log()) == len(expected.run.log())


def test_watching_changes_no_member(tmp_path):
    plain = RECIPE.replace("epochs: 30", "epochs: 3")
    left = start(plain, tmp_path / "left").train()
    right = start(plain + "guard: {of: swa}", tmp_path / "right").train()
    assert [m.digest for m in left] == [m.digest for m in right]


@pytest.mark.parametrize(
    ("guard", "said"),
    [
        ("{of: tail}", "guard.of is 'tail', which is no average under collect"),
        ("{patience: 0}", "guard.patience"),
        ("{window: 1}", "guard.window"),
        ("{metric: ece}", "guard.metric"),
    ],
)
def test_a_guard_that_cannot_work(guard, said):
    with pytest.raises(RecipeError, match=said):
        parse_recipe(RECIPE + f"guard: {guard}").trajectories(100)


@given(
    values=st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=20),
    threshold=st.floats(0, 3, width=32),
)
def test_soft_thresholding_is_the_proximal_operator(values, threshold):
    w = torch.tensor(values)
    shrunk = w.clone()
    soft_threshold([shrunk], threshold)
    assert ((shrunk == 0) == (w.abs() <= threshold)).all()

    def cost(v):
        return 0.5 * (v - w).double() ** 2 + threshold * v.double().abs()

    for other in (w, torch.zeros_like(w), shrunk + 0.01, shrunk - 0.01):
        assert (cost(shrunk) <= cost(other) + 1e-6).all()


def test_soft_thresholding_in_a_recipe_makes_true_zeros(tmp_path):
    recipe = RECIPE.replace("epochs: 30", "epochs: 2").replace("0.3}", "0.05}")
    shares = []
    for strength in (0, 0.2):
        bench = start(f"{recipe}soft_threshold: {strength}", tmp_path / f"{strength}")
        member = bench.train()[0]
        weights = bench.run.population.weights(member)
        large = torch.cat([w.flatten() for w in weights.values() if w.dim() > 1])
        shares.append((large == 0).double().mean().item())
        small = [w for n, w in weights.items() if w.dim() == 1 and "running" not in n]
        assert all((w != 0).any() for w in small)
    assert shares[0] == 0
    assert shares[1] > 0.05
    with pytest.raises(InputError, match="at least 0"):
        soft_threshold([torch.ones(1)], -1.0)
