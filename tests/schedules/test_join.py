import pickle
from itertools import pairwise

import pytest

from dale.errors import InputError
from dale.schedules import (
    constant,
    cosine,
    cosine_restarts,
    hold,
    join,
    linear,
    repeat,
    scale,
    stretch,
    swa_tail,
    tail,
    warmup,
)

CYCLES = cosine_restarts(peak=0.4, steps=10, cycles=3, floor=0.1)
PLAIN = linear(first=0.5, last=0.1, steps=4)


def test_join_plays_each_part_from_its_beginning():
    whole = join(PLAIN, CYCLES, PLAIN)
    assert whole.values() == PLAIN.values() + CYCLES.values() + PLAIN.values()
    assert whole.name == "join(linear, cosine_restarts, linear)"


@pytest.mark.parametrize(
    ("parts", "ends"),
    [
        ((PLAIN, PLAIN), ()),
        ((PLAIN, CYCLES), (7, 10, 14)),
        ((CYCLES, PLAIN), (3, 6, 10, 14)),
        ((CYCLES, PLAIN, CYCLES), (3, 6, 10, 17, 20, 24)),
    ],
)
def test_parts_without_cycles_go_with_the_next_cycle(parts, ends):
    assert join(*parts).ends == ends


def test_join_of_one_is_that_one():
    assert join(CYCLES).values() == CYCLES.values()
    assert join(CYCLES).ends == CYCLES.ends


def test_join_needs_a_part():
    with pytest.raises(InputError, match="at least one schedule, got none"):
        join()


@pytest.mark.parametrize("schedule", [cosine(0.4, 20), constant(0.4, 20), CYCLES])
@pytest.mark.parametrize("steps", [1, 2])
def test_warmup_ends_without_a_jump(schedule, steps):
    # a ramp to the peak would jump back to the curve where it ends
    warm = warmup(schedule, steps=steps, first=0.01)
    ramp = warm.values()[: steps + 1]
    rises = [b - a for a, b in pairwise(ramp)]
    assert rises == pytest.approx([(schedule(steps) - 0.01) / steps] * steps)
    assert warm.values()[steps:] == schedule.values()[steps:]
    assert (warm.steps, warm.ends) == (schedule.steps, schedule.ends)


def test_warmup_as_prefix_leads_to_the_peak():
    warm = warmup(CYCLES, steps=4, prefix=True)
    assert warm.values()[:5] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4], abs=1e-15)
    assert warm(4) == 0.4
    assert warm.values()[4:] == CYCLES.values()
    assert warm.ends == (7, 10, 14)


def test_no_warmup_is_the_schedule_itself():
    assert warmup(CYCLES, steps=0) is CYCLES


@pytest.mark.parametrize(
    ("schedule", "steps", "message"),
    [
        (CYCLES, 3, "a warm-up of 3 steps does not fit into the first cycle, which"),
        (PLAIN, 4, "a warm-up of 4 steps does not fit into the schedule, which has 4"),
        (PLAIN, -1, "steps must be at least 0, got -1"),
    ],
)
def test_warmup_that_does_not_fit_is_refused(schedule, steps, message):
    with pytest.raises(InputError, match=message):
        warmup(schedule, steps)


@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_tail_moves_to_its_value_and_stays(shape):
    values = tail(PLAIN, 0.3, steps=6, anneal=3, shape=shape).values()
    assert values[:4] == PLAIN.values()
    assert values[3:8] == sorted(values[3:8])
    assert values[7:] == [0.3, 0.3, 0.3]
    if shape == "linear":
        assert values[4:7] == pytest.approx([0.15, 0.2, 0.25])


def test_tail_after_cycles_is_one_more():
    assert tail(CYCLES, 0.05, steps=4).ends == (3, 6, 10, 14)


def test_swa_tail_is_a_tail_after_a_constant():
    # 10 + 8 steps to the tail, which the line reaches at step 18
    built = tail(constant(0.5, steps=11), 0.05, steps=29, anneal=7, shape="linear")
    published = swa_tail(peak=0.5, steps=40, tail=0.05, start=20)
    assert built.values() == pytest.approx(published.values(), rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 3, "anneal": 3}, "anneal must be below steps 3, got 3"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"steps": 3, "shape": "cos"}, "shape must be 'cosine' or 'linear', got 'cos'"),
    ],
)
def test_impossible_tail_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        tail(PLAIN, 0.1, **settings)


def test_stretch_to_the_same_length_changes_nothing():
    same = stretch(CYCLES, CYCLES.steps)
    assert (same.values(), same.ends) == (CYCLES.values(), CYCLES.ends)


@pytest.mark.parametrize("steps", [6, 25, 40, 1000])
def test_stretch_keeps_both_ends_of_every_cycle(steps):
    wide = stretch(CYCLES, steps)
    assert wide.ends == (3 * steps // 10, 6 * steps // 10, steps)
    old, new = (0, *CYCLES.ends), (0, *wide.ends)
    for i in range(3):
        if new[i + 1] - new[i] > 1:
            assert wide(new[i]) == CYCLES(old[i])
        assert wide(new[i + 1] - 1) == CYCLES(old[i + 1] - 1)


def test_stretch_interpolates():
    wide = stretch(linear(first=0.0, last=3.0, steps=4), steps=7)
    assert wide.values() == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5, 3])


def test_stretch_that_loses_a_cycle_is_refused():
    with pytest.raises(InputError, match="does not fit into 3 steps: cycle 1 of 3"):
        stretch(CYCLES, steps=3)


def test_hold_repeats_every_value_and_moves_the_ends():
    slow = hold(CYCLES, every=3)
    assert slow.values() == [value for value in CYCLES.values() for _ in range(3)]
    assert slow.ends == (9, 18, 30)


def test_repeat_makes_cycles():
    assert repeat(PLAIN, times=3).values() == PLAIN.values() * 3
    assert repeat(PLAIN, times=3).ends == (4, 8, 12)
    assert repeat(CYCLES, times=2).ends == (3, 6, 10, 13, 16, 20)


def test_scale_multiplies():
    half = scale(CYCLES, factor=0.5)
    assert half.values() == [0.5 * value for value in CYCLES.values()]
    assert half.ends == CYCLES.ends


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: repeat(PLAIN, times=0), "times must be at least 1, got 0"),
        (lambda: hold(PLAIN, every=0), "every must be at least 1, got 0"),
        (lambda: stretch(PLAIN, steps=0), "steps must be at least 1, got 0"),
        (lambda: scale(PLAIN, float("nan")), "factor must be a finite number, got nan"),
    ],
)
def test_bad_numbers_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize(
    "schedule",
    [
        warmup(CYCLES, steps=2),
        warmup(CYCLES, steps=2, prefix=True),
        tail(PLAIN, 0.2, steps=3, anneal=1),
        stretch(CYCLES, steps=17),
        hold(repeat(scale(PLAIN, 2.0), times=2), every=2),
    ],
    ids=lambda schedule: schedule.name,
)
def test_compositions_can_be_pickled(schedule):
    assert pickle.loads(pickle.dumps(schedule)).values() == schedule.values()
