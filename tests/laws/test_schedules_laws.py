"""What holds for every schedule, whatever its settings."""

import copy
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from cases.schedules import CASES
from dale.errors import InputError
from dale.schedules import (
    SCHEDULES,
    cosine_restarts,
    cycle_ends,
    hold,
    join,
    repeat,
    scale,
    stretch,
    warmup,
)
from dale.schedules.torch_scheduler import Scheduled

CYCLIC = [name for name, row in SCHEDULES.items() if row.cyclic]
RATES = st.floats(1e-6, 10.0)
LENGTHS = st.integers(12, 300)


def shapes():
    """Any row of the table over any length."""
    return st.builds(
        lambda name, steps: SCHEDULES[name].function(steps=steps, **CASES[name]),
        st.sampled_from(list(SCHEDULES)),
        LENGTHS,
    )


@st.composite
def restarts(draw, endpoint=None):
    """Cosine restarts with any settings that fit."""
    floor, peak = sorted([draw(RATES), draw(RATES)])
    endpoint = draw(st.booleans()) if endpoint is None else endpoint
    try:
        return (
            peak,
            floor,
            endpoint,
            cosine_restarts(
                peak=peak,
                steps=draw(st.integers(1, 2000)),
                cycles=draw(st.integers(1, 12)),
                floor=floor,
                length_factor=draw(st.sampled_from([0.5, 0.9, 1.0, 1.1, 2.0, 3.0])),
                endpoint=endpoint,
            ),
        )
    except InputError:
        assume(False)


@given(restarts())
def test_each_restart_is_at_the_peak_exactly(drawn):
    peak, _, _, schedule = drawn
    assert {schedule(start) for start in (0, *schedule.ends[:-1])} == {peak}


@given(restarts(), st.floats(0.1, 1.0))
def test_decayed_peaks_are_exact(drawn, factor):
    peak, _, _, plain = drawn
    schedule = cosine_restarts(peak, plain.steps, len(plain.ends), peak_factor=factor)
    for cycle, start in enumerate((0, *schedule.ends[:-1])):
        assert schedule(start) == peak * factor**cycle


@given(restarts())
def test_values_stay_between_floor_and_peak_and_fall_within_a_cycle(drawn):
    peak, floor, _, schedule = drawn
    values = schedule.values()
    assert floor <= min(values) <= max(values) <= peak
    for start, end in pairwise((0, *schedule.ends)):
        assert values[start:end] == sorted(values[start:end], reverse=True)


@given(restarts(endpoint=True))
def test_endpoint_gives_every_snapshot_the_floor(drawn):
    _, floor, _, schedule = drawn
    assert {schedule(end - 1) for end in schedule.ends} == {floor}


@given(st.sampled_from(CYCLIC), LENGTHS)
def test_smallest_value_of_a_cycle_falls_on_its_last_step(name, steps):
    schedule = SCHEDULES[name].function(steps=steps, **CASES[name])
    values = schedule.values()
    for start, end in pairwise((0, *schedule.ends)):
        assert values[end - 1] == min(values[start:end])


@given(st.integers(1, 10**6), st.integers(1, 300))
def test_even_cycles_fill_the_steps_and_differ_by_one_at_most(steps, cycles):
    assume(cycles <= steps)
    lengths = [b - a for a, b in pairwise((0, *cycle_ends(steps, cycles)))]
    assert sum(lengths) == steps
    assert max(lengths) - min(lengths) <= 1 <= min(lengths)


@given(st.integers(1, 10**6), st.integers(1, 12), st.floats(0.5, 3.0))
def test_cycles_of_any_growth_fill_the_steps(steps, cycles, factor):
    try:
        ends = cycle_ends(steps, cycles, factor)
    except InputError as error:
        assert "do not fit into" in str(error)  # noqa: PT017
        return
    lengths = [b - a for a, b in pairwise((0, *ends))]
    assert (sum(lengths), len(lengths)) == (steps, cycles)
    for one, following in pairwise(lengths):
        # each length is within one step of its exact share
        assert following - 1 <= factor * (one + 1)
        assert following + 1 >= factor * (one - 1)


@given(shapes(), st.randoms(use_true_random=False))
def test_earlier_calls_do_not_matter(schedule, random):
    expected = schedule.values()
    order = list(range(schedule.steps)) * 2
    random.shuffle(order)
    assert all(schedule(step) == expected[step] for step in order)


@given(shapes(), st.integers(0, 10**9))
def test_beyond_the_end_the_last_value_holds(schedule, further):
    assert schedule(schedule.steps + further) == schedule.values()[-1]


@given(shapes(), st.integers(0, 400))
def test_cycle_index_agrees_with_the_ends(schedule, step):
    passed = sum(end <= min(step, schedule.steps - 1) for end in schedule.ends)
    assert schedule.cycle(step) == passed


@given(st.lists(shapes(), min_size=1, max_size=4))
def test_joined_parts_keep_their_values(parts):
    whole = join(*parts)
    assert whole.values() == [value for part in parts for value in part.values()]
    assert whole.steps == sum(part.steps for part in parts)
    assert bool(whole.ends) is any(part.ends for part in parts)
    if whole.ends:
        assert whole.ends[-1] == whole.steps


@given(shapes(), shapes(), shapes())
def test_joining_is_associative(first, second, third):
    left, right = join(join(first, second), third), join(first, join(second, third))
    assert left.values() == right.values()


@given(shapes(), st.integers(1, 60), st.floats(0.0, 1.0))
def test_warmup_meets_the_schedule(schedule, steps, first):
    assume(steps < (schedule.ends[0] if schedule.ends else schedule.steps))
    warm = warmup(schedule, steps, first)
    target = schedule(steps)
    assert (warm(0), warm(steps)) == (first, target)
    assert warm.values()[steps:] == schedule.values()[steps:]
    expected = [first + (target - first) * t / steps for t in range(steps)]
    assert warm.values()[:steps] == pytest.approx(expected, rel=1e-12, abs=1e-15)


@given(shapes(), st.integers(1, 60))
def test_prefixed_warmup_moves_the_schedule(schedule, steps):
    warm = warmup(schedule, steps, prefix=True)
    assert warm.values()[steps:] == schedule.values()
    assert warm.ends == tuple(end + steps for end in schedule.ends)


@given(shapes(), st.integers(1, 5))
def test_stretching_keeps_the_range_and_both_ends_of_every_cycle(schedule, factor):
    wide = stretch(schedule, factor * schedule.steps)
    assert wide.ends == tuple(factor * end for end in schedule.ends)
    old, new = schedule.values(), wide.values()
    assert min(old) <= min(new) <= max(new) <= max(old)
    for start, end in pairwise((0, *(schedule.ends or (schedule.steps,)))):
        assert (new[factor * start], new[factor * end - 1]) == (
            (old[start] if end - start > 1 or factor == 1 else new[factor * start]),
            old[end - 1],
        )


@given(shapes(), st.integers(1, 4), st.floats(0.1, 4.0))
def test_repeating_holding_and_scaling(schedule, times, factor):
    values = schedule.values()
    assert repeat(schedule, times).values() == values * times
    assert hold(schedule, times).values()[::times] == values
    assert scale(schedule, factor).values() == [value * factor for value in values]


@given(shapes(), st.data())
def test_scheduler_follows_the_schedule_and_resumes_anywhere(schedule, data):
    steps = min(schedule.steps, 40)
    cut = data.draw(st.integers(0, steps))

    def start():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
        return optimizer, Scheduled(optimizer, schedule)

    def rates(optimizer, scheduler, count):
        seen = []
        for _ in range(count):
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return seen

    before = start()
    seen = rates(*before, cut)
    state = copy.deepcopy(before[1].state_dict())
    after = start()
    after[1].load_state_dict(state)
    assert state == {"step": cut}
    assert seen + rates(*after, steps - cut) == schedule.values()[:steps]
