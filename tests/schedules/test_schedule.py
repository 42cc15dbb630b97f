import dataclasses

import numpy as np
import pytest

from dale.errors import InputError
from dale.schedules import Schedule


def test_value_depends_on_the_step():
    schedule = Schedule(lambda step: 2.0 * step, steps=3)
    assert [schedule(step) for step in (2, 0, 1, 7)] == [4.0, 0.0, 2.0, 4.0]


def test_values_are_floats():
    values = Schedule(lambda step: np.float32(step), steps=2).values()
    assert [type(value) for value in values] == [float, float]


def test_numpy_integers_are_steps():
    schedule = Schedule(float, steps=np.int64(3), ends=(np.int64(3),))
    assert schedule(np.int32(2)) == 2.0
    assert (type(schedule.steps), type(schedule.ends[0])) == (int, int)


def test_cycle_counts_from_zero_and_ends_with_the_last():
    schedule = Schedule(float, steps=6, ends=(1, 4, 6))
    assert [schedule.cycle(step) for step in range(8)] == [0, 1, 1, 1, 2, 2, 2, 2]


def test_without_cycles_all_is_one():
    assert {Schedule(float, steps=3).cycle(step) for step in range(5)} == {0}


def test_is_frozen_and_shows_what_matters():
    schedule = Schedule(float, steps=3, name="mine")
    with pytest.raises(dataclasses.FrozenInstanceError):
        schedule.steps = 4
    assert repr(schedule) == "Schedule(steps=3, ends=(), name='mine')"


def test_ends_can_be_given_to_any_schedule():
    marked = dataclasses.replace(Schedule(float, steps=4), ends=(2, 4))
    assert [marked.cycle(step) for step in range(4)] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"function": 0.1}, "function must be callable, got 0.1"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"ends": (0, 4)}, "an end must be at least 1, got 0"),
        ({"ends": (3, 2, 4)}, "ends must increase, got 3 before 2"),
        ({"ends": (2, 2, 4)}, "ends must increase, got 2 before 2"),
        ({"ends": (2, 3)}, r"the last end must be 4 \(steps\), got 3"),
        ({"ends": (2.0, 4)}, "an end must be a whole number, got 2.0"),
    ],
)
def test_impossible_schedules_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Schedule(**{"function": float, "steps": 4, **arguments})


@pytest.mark.parametrize("step", [1.0, "1", True, None, np.array([1, 2])])
def test_only_whole_steps_are_taken(step):
    schedule = Schedule(float, steps=4)
    with pytest.raises(InputError, match="step must be a whole number"):
        schedule(step)
    with pytest.raises(InputError, match="step must be a whole number"):
        schedule.cycle(step)


def test_value_that_is_not_finite_is_refused():
    schedule = Schedule(lambda step: float("nan"), steps=2, name="mine")
    with pytest.raises(InputError, match="mine at step 1 must be a finite number"):
        schedule(1)
