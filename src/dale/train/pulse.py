"""When the loop looks up from its updates: to report, to save, to stop.

Reading a loss waits for the device, and asking the clock decides nothing about the
result, so a process on its own looks up after so many updates or seconds. Several
processes must look up at the same update: each time, the first says after how many
updates they meet again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dale.train.team import Team

# Reading a loss waits for the device: it is done after so many updates or seconds.
_FLUSH_STEPS, _FLUSH_SECONDS = 50, 0.25


@dataclass(frozen=True)
class Look:
    """What is to be done at an update.

    Args:
        stopping: Somebody asked for a stop.
        due: A state should be saved.
    """

    stopping: bool
    due: bool


@dataclass
class Pulse:
    """Decides when to look up.

    Args:
        team: The processes.
        stop: Whether somebody asks this process to stop.
        due: Whether a state should be saved, this many seconds after the last.
    """

    team: Team
    stop: Callable[[], bool]
    due: Callable[[float], bool]
    _looked: float = field(default_factory=time.monotonic)
    _saved: float = field(default_factory=time.monotonic)
    _next: int = 0
    _at: int | None = None

    def look(self, step: int, forced: bool) -> Look | None:
        """Whether to look up after this many updates, and at what.

        Args:
            step: Updates done.
            forced: Whether something follows from the step itself.
        """
        if self.team.size > 1:
            return self._together(step, forced)
        stopping, now = self.stop(), time.monotonic()
        late = now - self._looked > _FLUSH_SECONDS
        if not (forced or stopping or late or step % _FLUSH_STEPS == 0):
            return None
        self._looked = now
        return Look(stopping, self.due(now - self._saved))

    def saved(self) -> None:
        """Note that a state was just saved."""
        self._saved = time.monotonic()

    def _together(self, step: int, forced: bool) -> Look | None:
        if not forced and step < self._next:
            return None
        now = time.monotonic()
        ahead, due = 0, False
        if self.team.first:
            done = max(step - self._at, 1) if self._at is not None else 1
            pace = max((now - self._looked) / done, 1e-9)
            ahead = max(1, min(_FLUSH_STEPS, int(_FLUSH_SECONDS / pace)))
            due = self.due(now - self._saved)
        stopping, saving, ahead = self.team.most(self.stop(), due, ahead)
        self._looked, self._at, self._next = now, step, step + int(ahead)
        return Look(stopping > 0, saving > 0)
