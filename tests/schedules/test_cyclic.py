"""Where cycles end, and defects of other schedulers that must not appear here."""

import math

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, CyclicLR

from dale.errors import InputError
from dale.schedules import (
    clr,
    cosine_restarts,
    cycle_ends,
    exp_range,
    fge_triangle,
    triangular,
    triangular2,
)
from reference import schedules as slow


def torch_rates(make, steps, lr=0.3):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("factor", [1, 0.5, 1.1, 2, 3])
@pytest.mark.parametrize("cycles", [1, 2, 3, 5])
def test_ends_are_the_rational_partial_sums(factor, cycles):
    for steps in (131, 200, 12_345):
        ends = cycle_ends(steps, cycles, factor)
        lengths = [b - a for a, b in zip((0, *ends), ends, strict=False)]
        assert lengths == slow.cycle_lengths(steps, cycles, factor)


def test_ends_are_exact_beyond_floats():
    steps = 3 * (10**18 + 1)
    third = steps // 3
    assert cycle_ends(steps, 3) == (third, 2 * third, steps)
    assert cycle_ends(7 * third, 3, length_factor=2) == (third, 3 * third, 7 * third)


@pytest.mark.parametrize("steps", [5, 6, 7, 100])
def test_as_many_cycles_as_fit(steps):
    assert cycle_ends(steps, steps) == tuple(range(1, steps + 1))
    with pytest.raises(InputError, match=f"{steps + 1} cycles do not fit into {steps}"):
        cycle_ends(steps, steps + 1)


def test_a_cycle_that_would_vanish_is_named():
    with pytest.raises(InputError, match="cycle 2 would have none"):
        cycle_ends(20, 3, length_factor=0.01)


def test_sixth_cycle_starts_at_the_peak():
    # a float logarithm puts step 605 = 5·(1 + 3 + 9 + 27 + 81) at the end of a cycle
    assert math.floor(math.log(605 / 5 * 2 + 1, 3)) == 4
    schedule = cosine_restarts(peak=0.1, steps=1820, cycles=6, length_factor=3)
    assert (schedule.cycle(604), schedule.cycle(605)) == (4, 5)
    assert schedule(605) == 0.1
    assert schedule(604) < 1e-4


@pytest.mark.parametrize("factor", [2, 3])
def test_every_restart_of_growing_cycles_is_at_the_peak(factor):
    for first in range(1, 201):
        total = first * (factor**8 - 1) // (factor - 1)
        schedule = cosine_restarts(0.1, total, cycles=8, length_factor=factor)
        starts = [first * (factor**k - 1) // (factor - 1) for k in range(9)]
        assert schedule.ends == tuple(starts[1:])
        assert {schedule(start) for start in starts[:-1]} == {0.1}


@pytest.mark.parametrize(("steps", "cycles"), [(50, 5), (53, 5), (10, 5)])
def test_endpoint_reaches_the_floor_on_the_snapshot_step(steps, cycles):
    schedule = cosine_restarts(
        peak=0.3, steps=steps, cycles=cycles, floor=0.1, endpoint=True
    )
    starts = (0, *schedule.ends[:-1])
    assert {schedule(start) for start in starts} == {0.3}
    assert {schedule(end - 1) for end in schedule.ends} == {0.1}


def test_peaks_decay_from_cycle_to_cycle():
    schedule = cosine_restarts(peak=0.8, steps=9, cycles=3, peak_factor=0.5)
    assert [schedule(start) for start in (0, 3, 6)] == [0.8, 0.4, 0.2]


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_agrees_with_torch_warm_restarts(factor):
    steps = 5 * (1 + factor + factor**2)
    ours = cosine_restarts(0.3, steps, cycles=3, floor=0.1, length_factor=factor)
    theirs = torch_rates(
        lambda o: CosineAnnealingWarmRestarts(o, T_0=5, T_mult=factor, eta_min=0.1),
        steps,
    )
    assert ours.values() == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize(
    ("schedule", "mode", "gamma"),
    [
        (triangular(0.3, 40, cycles=4, floor=0.1), "triangular", 1.0),
        (triangular2(0.3, 40, cycles=4, floor=0.1), "triangular2", 1.0),
        (exp_range(0.3, 40, 4, gamma=0.97, floor=0.1), "exp_range", 0.97),
    ],
)
def test_triangles_are_those_of_torch_one_step_later(schedule, mode, gamma):
    theirs = torch_rates(
        lambda o: CyclicLR(
            o, 0.1, 0.3, 5, mode=mode, gamma=gamma, cycle_momentum=False
        ),
        41,
    )
    assert schedule.values() == pytest.approx(theirs[1:], rel=1e-12)


@pytest.mark.parametrize(("up", "down"), [(4, None), (4, 7), (1, 1), (50, 3)])
def test_clr_is_that_of_torch(up, down):
    theirs = torch_rates(
        lambda o: CyclicLR(o, 0.1, 0.3, up, down, cycle_momentum=False), 40
    )
    schedule = clr(0.3, 40, up, floor=0.1, down=down)
    assert schedule.values() == pytest.approx(theirs, rel=1e-12)
    assert schedule.ends == ()


@pytest.mark.parametrize("make", [triangular, triangular2, fge_triangle])
@pytest.mark.parametrize("steps", [15, 40, 41])
def test_triangles_end_on_the_floor_exactly(make, steps):
    schedule = make(peak=0.3, steps=steps, cycles=4, floor=0.1)
    assert {schedule(end - 1) for end in schedule.ends} == {0.1}
    assert min(schedule.values()) == 0.1


def test_fge_follows_the_published_cycle():
    # cycles of 6 updates: members after updates 3, 9 and 15
    schedule = fge_triangle(peak=0.05, steps=15, cycles=3, floor=0.0005)
    assert schedule.ends == (3, 9, 15)
    published = []
    for i in range(1, 16):
        t = ((i - 1) % 6 + 1) / 6
        published.append(
            (1 - 2 * t) * 0.05 + 2 * t * 0.0005
            if t <= 0.5
            else (2 - 2 * t) * 0.0005 + (2 * t - 1) * 0.05
        )
    assert schedule.values() == pytest.approx(published, rel=1e-12)
    assert schedule(5) == 0.05
