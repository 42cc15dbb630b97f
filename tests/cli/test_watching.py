"""What is told while training: loss, rate, cycle and the time that is left."""

import io

import pytest
from rich.console import Console

from dale.cli import watching
from dale.store import Member
from dale.train import Progress

STEPS = {"nocycle": 100, "snapshot": 300}


def point(trajectory, step, cycle=0):
    return Progress(trajectory, step, STEPS[trajectory], 2, cycle, 0.51234, 0.075)


@pytest.fixture
def said(monkeypatch):
    """Everything printed, to a pipe or to a terminal."""

    def console(terminal):
        text = io.StringIO()
        made = Console(
            file=text,
            force_terminal=terminal,
            width=140,
            color_system=None,
            _environ={"TERM": "xterm"},
        )
        monkeypatch.setattr(watching, "err", made)
        return text

    return console


def test_lines_come_every_half_minute_with_the_time_left(said):
    text, now = said(False), [0.0]
    watcher = watching._Lines(STEPS, lambda: now[0]).watcher(lambda: False)
    for seconds, step in ((1, 10), (20, 40), (31, 70), (40, 80), (61, 100)):
        now[0] = seconds
        watcher.progress(point("nocycle", step))
    now[0] = 91
    watcher.progress(point("snapshot", 40, cycle=1))
    first, second, third = text.getvalue().splitlines()
    assert first == (
        "nocycle: step 70/100 · epoch 2 · loss 0.5123 · rate 0.075 · 0:02:45 left"
    )
    assert second.endswith(
        "nocycle: step 100/100 · epoch 2 · loss 0.5123 · rate 0.075 · 0:03:20 left"
    )
    # 130 updates in 90 seconds, and 260 to go
    assert third.startswith("snapshot: step 40/300 · epoch 2 · cycle 1 · loss 0.5123")
    assert third.endswith("0:03:00 left")


def test_a_resumed_run_has_done_what_came_before(said):
    """Finished trajectories are not told again; the pace is that of this process."""
    text, now = said(False), [0.0]
    watcher = watching._Lines(STEPS, lambda: now[0]).watcher(lambda: False)
    watcher.progress(point("snapshot", 200, cycle=3))
    now[0] = 30
    watcher.progress(point("snapshot", 250, cycle=4))
    assert text.getvalue().splitlines()[0].endswith("0:00:30 left")


def test_the_bar_shows_the_same_and_passes_on_warnings(said):
    text = said(True)
    with watching.watching(STEPS, lambda: False) as watcher:
        watcher.progress(point("snapshot", 100, cycle=2))
        watcher.warn("tracker csv failed")
        facts = "snapshot-c01-s100", "0" * 64, "snapshot", "snapshot"
        member = Member(*facts, scores={"val_error": 0.05})
        watcher.member(member)
        assert watching._bar().columns[-1].__class__.__name__ == "TimeRemainingColumn"
    shown = text.getvalue()
    for words in ("50%", "epoch 2 · cycle 2 · loss 0.5123 · rate 0.075"):
        assert words in shown
    assert "dale: tracker csv failed" in shown
    assert "member snapshot-c01-s100 · validation error 5.00 %" in shown


def test_nothing_is_shown_where_that_is_asked_for(said):
    text = said(True)
    with watching.watching(STEPS, lambda: True, quiet=True) as watcher:
        watcher.progress(point("snapshot", 100))
        assert watcher.stop()
    assert text.getvalue() == ""
