"""Torch's own schedulers as outside truth, and what is exact."""

import math

import pytest
import torch
from torch.optim import lr_scheduler as theirs

from dale.schedules import (
    cosine,
    exponential,
    geometric,
    inverse_sqrt,
    linear,
    milestones,
    one_cycle,
    polynomial,
    step_decay,
    swa_tail,
)

STEPS = 30
CASES = [
    (
        linear(first=0.1, last=0.3, steps=STEPS),
        lambda o: theirs.LinearLR(o, 1 / 3, 1.0, total_iters=STEPS - 1),
    ),
    (
        step_decay(0.3, STEPS, every=7, factor=0.2),
        lambda o: theirs.StepLR(o, step_size=7, gamma=0.2),
    ),
    (
        milestones(0.3, STEPS, at=(4, 20), factor=0.2),
        lambda o: theirs.MultiStepLR(o, milestones=[4, 20], gamma=0.2),
    ),
    (
        exponential(0.3, STEPS, rate=-math.log(0.93)),
        lambda o: theirs.ExponentialLR(o, gamma=0.93),
    ),
    (
        polynomial(0.3, STEPS, power=1.7),
        lambda o: theirs.PolynomialLR(o, total_iters=STEPS, power=1.7),
    ),
    (
        cosine(0.3, STEPS, floor=0.1),
        lambda o: theirs.CosineAnnealingLR(o, T_max=STEPS, eta_min=0.1),
    ),
    (
        one_cycle(0.3, STEPS),
        lambda o: theirs.OneCycleLR(o, 0.3, STEPS, cycle_momentum=False),
    ),
    (
        one_cycle(0.3, STEPS, rise=0.2, div_factor=4, shape="linear"),
        lambda o: theirs.OneCycleLR(
            o,
            0.3,
            STEPS,
            pct_start=0.2,
            div_factor=4,
            anneal_strategy="linear",
            cycle_momentum=False,
        ),
    ),
]


@pytest.mark.parametrize(
    ("schedule", "make"), CASES, ids=lambda case: getattr(case, "name", "torch")
)
def test_agrees_with_torch(schedule, make):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = make(optimizer)
    for step in range(STEPS):
        assert schedule(step) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        if step < STEPS - 1:
            scheduler.step()


@pytest.mark.parametrize("make", [cosine, polynomial])
def test_endpoint_reaches_the_floor_exactly(make):
    schedule = make(peak=0.7, steps=11, floor=0.1, endpoint=True)
    assert (schedule(0), schedule(10), schedule(11)) == (0.7, 0.1, 0.1)
    assert make(peak=0.7, steps=11, floor=0.1)(10) > 0.1


@pytest.mark.parametrize("make", [linear, geometric])
@pytest.mark.parametrize(("first", "last"), [(1e-7, 10.0), (0.3, 0.1)])
def test_two_ends_are_exact(make, first, last):
    schedule = make(first=first, last=last, steps=37)
    assert (schedule(0), schedule(36)) == (first, last)


@pytest.mark.parametrize("make", [linear, geometric])
def test_equal_ends_need_one_step_only(make):
    assert make(first=0.1, last=0.1, steps=1).values() == [0.1]


def test_inverse_sqrt_peaks_after_the_warm_up():
    schedule = inverse_sqrt(peak=0.3, steps=100, warmup=10)
    assert schedule(9) == 0.3 == max(schedule.values())
    assert schedule(39) == pytest.approx(0.15)


def test_milestone_is_the_first_step_with_the_lower_value():
    schedule = milestones(peak=1.0, steps=8, at=(4,), factor=0.5)
    assert (schedule(3), schedule(4)) == (1.0, 0.5)


def test_without_milestones_the_peak_stays():
    assert set(milestones(peak=0.1, steps=4, at=()).values()) == {0.1}


@pytest.mark.parametrize("steps", [3, 4, 10])
@pytest.mark.parametrize("rise", [0.01, 0.3, 1.0])
def test_one_cycle_meets_its_three_values(steps, rise):
    values = one_cycle(0.3, steps, rise=rise, shape="linear").values()
    assert values[0] == 0.3 / 25
    assert max(values) == 0.3
    assert values[-1] == 0.3 / 25 / 1e4


def test_swa_tail_is_constant_before_averaging_starts():
    values = swa_tail(peak=0.5, steps=40, tail=0.05, start=20).values()
    assert set(values[:11]) == {0.5}
    assert set(values[18:]) == {0.05}


def test_swa_tail_may_rise():
    values = swa_tail(peak=0.01, steps=40, tail=0.05, start=20).values()
    assert values == sorted(values)
