"""Progress while training: a bar on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
    total: int, stop: Callable[[], bool], quiet: bool = False
) -> Iterator[Watcher]:
    """Show training progress on standard error.

    Args:
        total: Updates of all trajectories.
        stop: Asked after each update.
        quiet: Show nothing.

    Yields:
        What training tells.
    """
    if quiet:
        yield Watcher(stop=stop)
    elif err.is_terminal:
        with _bar() as bar:
            yield _Bar(bar, total).watcher(stop)
    else:
        yield _Lines(total).watcher(stop)


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
    def __init__(self, bar: Progress, total: int) -> None:
        self._bar, self._done, self._last = bar, 0, ("", 0)
        self._task = bar.add_task("training", total=total, facts="")

    def watcher(self, stop: Callable[[], bool]) -> Watcher:
        return Watcher(self._progress, self._member, stop, self._bar.console.print)

    def _progress(self, point: Point) -> None:
        name, step = self._last
        if name != point.trajectory:
            self._done, step = self._done + step, 0
        self._last = (point.trajectory, point.step)
        self._bar.update(
            self._task,
            completed=self._done + point.step,
            description=point.trajectory,
            facts=facts(point),
        )

    def _member(self, member: Member) -> None:
        self._bar.console.print(member_line(member))


class _Lines:
    """A line for each member, and one every half minute."""

    def __init__(self, total: int) -> None:
        self._said = time.monotonic()
        self._total = total

    def watcher(self, stop: Callable[[], bool]) -> Watcher:
        return Watcher(self._progress, self._member, stop, _say)

    def _progress(self, point: Point) -> None:
        if time.monotonic() - self._said >= 30:
            self._said = time.monotonic()
            step = f"step {point.step}/{point.steps}"
            err.print(f"{point.trajectory}: {step} · {facts(point)}", soft_wrap=True)

    def _member(self, member: Member) -> None:
        err.print(member_line(member), soft_wrap=True)


def _say(line: str) -> None:
    err.print(line, soft_wrap=True, highlight=False)


def member_line(member: Member) -> str:
    """A member and its validation error in one line."""
    error = member.scores.get("val_error")
    score = "" if error is None else f" · validation error {100 * error:.2f} %"
    return f"member {member.label}{score}"
