"""Progress while training: a bar on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from itertools import accumulate

from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from dale.cli.common import err
from dale.store import Member
from dale.train import Progress as Point
from dale.train import Watcher


@contextmanager
def watching(
    steps: Mapping[str, int], stop: Callable[[], bool], quiet: bool = False
) -> Iterator[Watcher]:
    """Show training progress on standard error.

    Args:
        steps: Updates of each trajectory, in the order they are trained.
        stop: Asked after each update.
        quiet: Show nothing.

    Yields:
        What training tells.
    """
    if quiet:
        yield Watcher(stop=stop, warn=_warn)
    elif err.is_terminal:
        with _bar() as bar:
            yield _Bar(bar, steps).watcher(stop)
    else:
        yield _Lines(steps).watcher(stop)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[facts]}"),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    )


def facts(point: Point) -> str:
    """Loss, rate, epoch and cycle in a few words."""
    cycle = f" · cycle {point.cycle}" if point.cycle else ""
    return f"epoch {point.epoch}{cycle} · loss {point.loss:.4f} · rate {point.rate:.4g}"


class _Bar:
    def __init__(self, bar: Progress, steps: Mapping[str, int]) -> None:
        self._bar, self._tally, self._begun = bar, Tally(steps), False
        total = sum(steps.values())
        self._task = bar.add_task("training", total=total, facts="")

    def watcher(self, stop: Callable[[], bool]) -> Watcher:
        return Watcher(
            self._progress, self._member, stop, say=self._bar.console.print, warn=_warn
        )

    def _progress(self, point: Point) -> None:
        done = self._tally.done(point.trajectory, point.step, point.steps)
        if not self._begun:
            # what an earlier process did says nothing of the pace of this one
            self._bar.reset(self._task, completed=done)
            self._begun = True
        words = facts(point)
        self._bar.update(
            self._task, completed=done, description=point.trajectory, facts=words
        )

    def _member(self, member: Member) -> None:
        self._bar.console.print(member_line(member))


class _Lines:
    """A line for each member, and one every half minute with the time that is left."""

    def __init__(
        self, steps: Mapping[str, int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tally, self._total = Tally(steps), sum(steps.values())
        self._clock, self._said = clock, clock()
        self._first: tuple[int, float] | None = None

    def watcher(self, stop: Callable[[], bool]) -> Watcher:
        return Watcher(self._progress, self._member, stop, say=_say, warn=_warn)

    def _progress(self, point: Point) -> None:
        done = self._tally.done(point.trajectory, point.step, point.steps)
        now = self._clock()
        self._first = self._first or (done, now)
        if now - self._said >= 30:
            self._said = now
            step = f"step {point.step}/{point.steps}"
            words = (
                f"{point.trajectory}: {step} · {facts(point)}{self._left(done, now)}"
            )
            err.print(words, soft_wrap=True)

    def _left(self, done: int, now: float) -> str:
        """The time to the end, at the pace since the first update that was told."""
        assert self._first is not None
        begun, at = self._first
        if done <= begun:
            return ""
        seconds = round((self._total - done) * (now - at) / (done - begun))
        return f" · {timedelta(seconds=seconds)} left"

    def _member(self, member: Member) -> None:
        err.print(member_line(member), soft_wrap=True)


class Tally:
    """Updates done in all, from where single trajectories stand.

    Args:
        steps: Updates of each trajectory, in the order they are trained. What goes by
            another name, as members that are trained at once do, begins where the one
            before it ends.

    Example:
        >>> tally = Tally({"nocycle": 40, "snapshot": 60})
        >>> tally.done("snapshot", 10, 60), tally.done("others", 5, 20)
        (50, 105)
    """

    def __init__(self, steps: Mapping[str, int]) -> None:
        begins = accumulate(steps.values(), initial=0)
        self._begins = dict(zip(steps, begins, strict=False))
        self._end = 0

    def done(self, name: str, step: int, steps: int) -> int:
        """In all, when a trajectory of so many updates stands at one of them."""
        begin = self._begins.setdefault(name, self._end)
        self._end = begin + steps
        return begin + step


def _warn(words: str) -> None:
    err.print(f"dale: {words}", style="yellow", soft_wrap=True)


def _say(line: str) -> None:
    err.print(line, soft_wrap=True, highlight=False)


def member_line(member: Member) -> str:
    """A member and its validation error in one line."""
    error = member.scores.get("val_error")
    score = "" if error is None else f" · validation error {100 * error:.2f} %"
    return f"member {member.label}{score}"
