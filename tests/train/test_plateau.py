"""Plateau decay against PyTorch's, and what follows the clock beside the rate."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import ReduceLROnPlateau

from dale.errors import Interrupted, RecipeError
from dale.recipes import start
from dale.schedules import linear
from dale.train import OPTIMIZERS, Plateau, PlateauSpec, Watcher
from dale.train.companions import before_each_step
from dale.train.reading import parse_recipe

RECIPE = """
data: {source: digits, val: 300, test: 1200}
model: {name: mlp, hidden: [8], norm: none}
epochs: 8
batch: 75
checkpoint_seconds: 0
strategies: [{name: single, schedule: {name: cosine, peak: 0.4}}]
"""
SLOW = "plateau: {factor: 0.5, patience: 0, threshold: 0.1}\n"


@given(
    scores=st.lists(st.floats(0.01, 10) | st.just(math.nan), max_size=40),
    factor=st.sampled_from([0.1, 0.5, 0.9]),
    patience=st.integers(0, 4),
    threshold=st.sampled_from([0.0, 1e-4, 0.2]),
    cooldown=st.integers(0, 3),
    floor=st.sampled_from([0.0, 0.05, 0.3]),
)
def test_the_rates_are_those_of_torch(
    scores, factor, patience, threshold, cooldown, floor
):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = ReduceLROnPlateau(
        optimizer,
        factor=factor,
        patience=patience,
        threshold=threshold,
        cooldown=cooldown,
        min_lr=floor,
        eps=0.0,
    )
    spec = PlateauSpec(
        factor=factor,
        patience=patience,
        threshold=threshold,
        cooldown=cooldown,
        floor=floor,
    )
    plateau = Plateau(spec)
    for score in scores:
        theirs.step(score)
        again = Plateau(spec)
        again.load_state(plateau.state())
        plateau = again  # a resume after every epoch
        assert plateau.note({"nll": score}) == optimizer.param_groups[0]["lr"]


def test_the_log_has_the_rate_that_was_used(tmp_path):
    bench = start(RECIPE + SLOW, tmp_path / "run")
    (member,) = bench.train()
    (trajectory,) = bench.recipe.trajectories(297)
    log, plateau = bench.run.log(), Plateau(bench.recipe.plateau)
    for line in log:
        assert line["rate"] == trajectory.schedule(line["step"] - 1) * plateau.scale
        plateau.note({"nll": line["val_nll"]})
    assert plateau.scale < 1
    for stop in (9, 13):
        steps = iter(range(stop))
        cut = start(RECIPE + SLOW, tmp_path / f"cut{stop}")
        with pytest.raises(Interrupted):
            cut.train(Watcher(stop=lambda steps=steps: next(steps, None) is None))
        assert [m.digest for m in cut.train()] == [member.digest]
        assert cut.run.log() == log


@pytest.mark.parametrize("name", [n for n, row in OPTIMIZERS.items() if row.knobs])
def test_every_setting_follows_its_schedule(name):
    row, parameter = OPTIMIZERS[name], torch.nn.Parameter(torch.ones(2))
    optimizer = row.function([parameter])
    schedules = {knob: linear(0.9, 0.1, steps=5) for knob in row.knobs}
    follow = before_each_step(optimizer, schedules)
    for step in range(5):
        follow(step)
        (group,) = optimizer.param_groups
        for knob in row.knobs:
            place = {"momentum": 0, "beta2": 1}.get(knob)
            value = group[knob] if knob in group else group["betas"][place]
            assert value == schedules[knob](step)
        if row.needs == "gradient":
            parameter.grad = torch.ones(2)
            optimizer.step()


def test_momentum_in_a_recipe(tmp_path):
    """A companion that never moves is the setting itself."""
    plain = start(RECIPE, tmp_path / "plain").train()
    same = "companions: {momentum: {name: constant, value: 0.9}}"
    other = "companions: {momentum: {name: linear, first: 0.95, last: 0.5}}"
    found = start(RECIPE + same, tmp_path / "same").train()
    assert [m.digest for m in found] == [m.digest for m in plain]
    found = start(RECIPE + other, tmp_path / "other").train()
    assert [m.digest for m in found] != [m.digest for m in plain]
    cut, steps = start(RECIPE + other, tmp_path / "cut"), iter(range(6))
    with pytest.raises(Interrupted):
        cut.train(Watcher(stop=lambda: next(steps, None) is None))
    assert [m.digest for m in cut.train()] == [m.digest for m in found]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("companions: {momentum: cosine}", r"companions\.momentum\.peak is missing"),
        (
            "companions: {momentum: {name: constant, valu: 1}}",
            r"unknown key 'valu' in companions\.momentum; did you mean 'value'",
        ),
        ("companions: {momentum: {name: cosin}}", "unknown name 'cosin'"),
        (
            "companions: {momentum: {name: linear, first: 1.5, last: 0}}",
            r"companions\.momentum: goes from 0 to 1\.5; expected at least 0 and below",
        ),
        (
            "companions: {moment: {name: constant, value: 0}}",
            "has no 'moment' to schedule",
        ),
        (
            "companions: {damping: {name: constant, value: 0}}\noptimizer: lbfgs",
            "it has none",
        ),
        (
            "companions: {momentum: {name: triangular, peak: 0.9, cycles: 99999}}",
            r"companions\.momentum: .*do not fit",
        ),
        ("plateau: {factor: 1}", r"plateau\.factor"),
        ("plateau: {metric: ece}", r"plateau\.metric"),
    ],
)
def test_what_does_not_fit_is_one_line(more, said):
    with pytest.raises(RecipeError, match=said):
        parse_recipe(RECIPE + more).trajectories(300)
