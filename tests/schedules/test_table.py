"""Every row of the table, through the table."""

import copy
import inspect
import pickle
import subprocess
import sys
from itertools import pairwise
from typing import get_type_hints

import pytest

from cases.schedules import BAD, CASES, NEEDED
from dale import schedules
from dale.errors import InputError
from dale.schedules import SCHEDULES, Schedule, Steps
from reference import schedules as slow

ROWS = list(SCHEDULES)
LENGTHS = [12, 23, 24, 40, 101]


def build(name, steps=24, **changes):
    return SCHEDULES[name].function(**{"steps": steps, **CASES[name], **changes})


def test_cases_cover_the_table():
    assert set(CASES) == set(NEEDED) == set(SCHEDULES)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("steps", LENGTHS)
def test_equals_the_slow_twin(name, steps):
    expected = getattr(slow, name)(steps, **CASES[name])
    assert build(name, steps).values() == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", ROWS)
def test_function_has_the_name_of_its_row(name):
    row = SCHEDULES[name]
    assert row.function.__name__ == build(name).name == name
    assert getattr(schedules, name) is row.function
    assert row.summary == row.summary.strip().rstrip(".") != ""


@pytest.mark.parametrize("name", ROWS)
def test_length_is_named_steps_and_marked(name):
    hints = get_type_hints(SCHEDULES[name].function, include_extras=True)
    assert hints["steps"] == Steps
    assert hints["return"] is Schedule
    assert set(hints) == {
        *inspect.signature(SCHEDULES[name].function).parameters,
        "return",
    }


def test_other_lengths_are_marked():
    marked = {
        (name, parameter)
        for name in ROWS
        for parameter, hint in get_type_hints(
            SCHEDULES[name].function, include_extras=True
        ).items()
        if parameter != "steps" and "steps" in str(hint)
    }
    assert marked == {
        ("step_decay", "every"),
        ("milestones", "at"),
        ("inverse_sqrt", "warmup"),
        ("swa_tail", "start"),
        ("clr", "up"),
        ("clr", "down"),
    }


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("settings", [CASES, NEEDED], ids=["all", "defaults"])
def test_cyclic_as_stated(name, settings):
    row = SCHEDULES[name]
    schedule = row.function(steps=24, **settings[name])
    assert bool(schedule.ends) is row.cyclic
    if row.cyclic:
        assert len(schedule.ends) == settings[name]["cycles"]
        values = schedule.values()
        for start, end in pairwise((0, *schedule.ends)):
            assert values[end - 1] == min(values[start:end])


@pytest.mark.parametrize("name", ROWS)
def test_monotone_as_stated(name):
    values = SCHEDULES[name].function(steps=24, **NEEDED[name]).values()
    signs = {b > a for a, b in pairwise(values) if a != b}
    assert (len(signs) <= 1) is SCHEDULES[name].monotone


@pytest.mark.parametrize("name", ROWS)
def test_starts_at_peak_as_stated(name):
    row = SCHEDULES[name]
    schedule = row.function(steps=24, **NEEDED[name])
    values = schedule.values()
    cycles = pairwise((0, *(schedule.ends or (24,))))
    assert all(values[a] == max(values[a:b]) for a, b in cycles) is row.starts_at_peak
    if row.starts_at_peak:
        assert values[0] == NEEDED[name].get("peak", NEEDED[name].get("value"))


@pytest.mark.parametrize("name", ROWS)
def test_holds_its_last_value(name):
    schedule = build(name)
    assert schedule(24) == schedule(10**12) == schedule.values()[-1]


@pytest.mark.parametrize("name", ROWS)
def test_negative_step_is_refused(name):
    with pytest.raises(InputError, match="step must be at least 0, got -1"):
        build(name)(-1)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize(
    "clone", [lambda s: pickle.loads(pickle.dumps(s)), copy.deepcopy]
)
def test_copies_give_the_same_values(name, clone):
    schedule = build(name)
    twin = clone(schedule)
    assert (twin.values(), twin.ends) == (schedule.values(), schedule.ends)


@pytest.mark.parametrize(("name", "changes", "message"), BAD)
def test_bad_input_is_refused(name, changes, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        build(name, **changes)


def test_import_needs_no_torch():
    program = (
        "import sys, dale.schedules; "
        "sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_public_names_are_listed():
    public = {
        name
        for name, value in vars(schedules).items()
        if callable(value) and getattr(value, "__module__", "").startswith("dale.sch")
    }
    assert public | {"SCHEDULES", "Steps"} == set(schedules.__all__)
    assert schedules.__all__ == sorted(
        schedules.__all__, key=lambda n: (not n.isupper(), n[0].islower(), n)
    )
