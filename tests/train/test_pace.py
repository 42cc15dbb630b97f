"""A wall-clock limit: cycles get shorter evenly, and no member is lost."""

import math
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dale.errors import Interrupted
from dale.recipes import start
from dale.train import Watcher, drive
from dale.train.pace import Pace

RECIPE = """
data: {source: digits, val: 300, test: 1200}
model: {name: mlp, hidden: [8], norm: none}
epochs: 20
batch: 32
checkpoint_seconds: 0
strategies: [{name: snapshot, cycles: 5}, {name: swa, start: 50%, every: 7}]
collect: [ema]
"""


class Time:
    """A clock that a test moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def walk(steps, pinned, seconds, cost):
    """The steps made when each update takes as long as `cost` says."""
    time, made, step = Time(), [], 0
    pace = Pace(steps, pinned, seconds, time)
    while step < steps:
        time.now += cost(step)
        step += 1
        made.append(step)
        pace.look(step)
        step = pace.following(step)
    return made, time.now


@given(
    steps=st.integers(1, 400),
    pins=st.sets(st.integers(1, 400), max_size=5),
    share=st.floats(0, 2),
)
def test_every_pinned_step_is_made_and_time_is_kept(steps, pins, share):
    pinned = sorted({p for p in pins if p <= steps} | {steps})
    made, took = walk(steps, pinned, share * steps, lambda step: 1.0)
    assert made == sorted(set(made))
    assert set(pinned) <= set(made)
    assert took <= max(share * steps, 0) + len(pinned) + 1
    if share >= 1:
        assert made == list(range(1, steps + 1))
    else:
        assert took >= share * steps - len(pinned) - 2


@given(share=st.floats(0.2, 0.95), cycles=st.integers(1, 6))
def test_cycles_are_shortened_by_the_same_share(share, cycles):
    steps = 100 * cycles
    ends = list(range(100, steps + 1, 100))
    made, _ = walk(steps, ends, share * steps, lambda step: 0.5)
    if 0.5 <= share:
        assert made == list(range(1, steps + 1))
        return
    counts = [sum(end - 100 < step <= end for step in made) for end in ends]
    assert max(counts) - min(counts) <= 3
    assert sum(counts) == pytest.approx(2 * share * steps, abs=len(ends) + 2)


def test_it_speeds_up_when_updates_become_slower():
    made, took = walk(300, [300], 200.0, lambda step: 0.5 if step < 150 else 2.0)
    assert took == pytest.approx(200, abs=4)
    assert made[:150] == list(range(1, 151))


def test_without_a_limit_nothing_is_asked():
    def never():
        raise AssertionError

    pace = Pace(10, (10,), None, never)
    assert pace.look(1) == 1.0
    assert [pace.following(step) for step in range(1, 10)] == list(range(1, 10))


def train_with(monkeypatch, folder, limit, watcher=None, cost=0.01):
    """Train where each reading of the clock and each update cost time."""
    time = Time()

    def tick():
        time.now += cost
        return (watcher or Watcher()).stop()

    monkeypatch.setattr(drive, "Loop", partial(LOOP, clock=time))
    recipe = RECIPE + (f"minutes: {limit}" if limit is not None else "")
    bench = start(recipe, folder)
    return bench, bench.train(Watcher(stop=tick))


LOOP = drive.Loop


def test_a_short_run_takes_every_member(monkeypatch, tmp_path):
    bench, whole = train_with(monkeypatch, tmp_path / "whole", None)
    log = bench.run.log()
    updates = 2 * 20 * math.ceil(297 / 32)
    limited, members = train_with(
        monkeypatch, tmp_path / "short", updates * 0.01 * 0.4 / 60
    )
    assert [m.label for m in members] == [m.label for m in whole]
    assert [m.digest for m in members] != [m.digest for m in whole]
    seen = [line["examples"] for line in limited.run.log()]
    assert sum(seen) / (2 * 20 * 297) == pytest.approx(0.4, abs=0.06)
    half = sum(line["examples"] for line in limited.run.log()[: len(seen) // 2])
    assert half / sum(seen) == pytest.approx(0.5, abs=0.1)
    assert "examples" not in log[0]
    found = {m.group: m for m in members}
    assert found["swa"].details["models"] == 14  # a stride of 7 leaves none out


def test_a_limit_that_is_not_reached_changes_nothing(monkeypatch, tmp_path):
    _, whole = train_with(monkeypatch, tmp_path / "whole", None)
    _, members = train_with(monkeypatch, tmp_path / "long", 60)
    assert [m.digest for m in members] == [m.digest for m in whole]


def test_no_time_at_all_still_gives_every_member(monkeypatch, tmp_path):
    bench, members = train_with(monkeypatch, tmp_path / "run", 1e-6)
    planned = [
        step
        for trajectory in bench.recipe.trajectories(297)
        for step in trajectory.member_steps()
    ]
    assert [m.step for m in members if not m.group.endswith("ema")] == planned


def test_a_stopped_run_goes_on_with_the_time_it_had_left(monkeypatch, tmp_path):
    stops = iter(range(10**6))
    limit = 2 * 20 * 10 * 0.01 * 0.5 / 60
    watcher = Watcher(stop=lambda: next(stops) == 150)
    with pytest.raises(Interrupted):
        train_with(monkeypatch, tmp_path / "run", limit, watcher)
    bench, members = train_with(monkeypatch, tmp_path / "run", limit)
    assert len(members) == 8
    seen = sum(line["examples"] for line in bench.run.log())
    assert seen / (2 * 20 * 297) == pytest.approx(0.5, abs=0.08)
