"""Keeping to a wall-clock limit: the clock of updates runs faster when time is short.

The rate, the examples and the members are functions of the step. A run that is late
leaves out updates at equal distances, so every cycle gets shorter by the same share,
and never one after which a member is taken.
"""

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Clock = Callable[[], float]


@dataclass
class Pace:
    """Which update comes next.

    Args:
        steps: Updates of the trajectory.
        pinned: Steps that must be made, increasing: those after which members are
            taken, the last of all among them.
        seconds: What the trajectory may still take, or None for as long as it takes.
        clock: Seconds, from any origin.

    Example:
        >>> now = iter(range(100))
        >>> pace = Pace(12, (6, 12), seconds=8.0, clock=lambda: float(next(now)))
        >>> made, step = [], 0
        >>> while step < 12:
        ...     step += 1
        ...     made.append(step)
        ...     _ = pace.look(step)
        ...     step = pace.following(step)
        >>> made
        [1, 2, 4, 5, 6, 9, 11, 12]
    """

    steps: int
    pinned: Sequence[int]
    seconds: float | None = None
    clock: Clock = time.monotonic

    def __post_init__(self) -> None:
        self._begun = self.clock() if self.seconds is not None else 0.0
        self._made, self._owed, self.stride = 0, 0.0, 1.0

    def look(self, step: int) -> float:
        """See how late it is.

        With u updates made in t seconds and r seconds left, another ``r u / t`` can be
        made; the stride is the number of steps left over that, and at least 1.

        Args:
            step: Steps done.

        Returns:
            Steps for each update from now on; infinite when the time is over.
        """
        if self.seconds is not None:
            spent = self.clock() - self._begun
            # the update that was just made is counted when the next one is asked for
            rate = (self._made + 1) / spent if spent > 0 else math.inf
            more = rate * (self.seconds - spent)
            self.stride = max(1.0, (self.steps - step) / more if more > 0 else math.inf)
        return self.stride

    def following(self, step: int) -> int:
        """The step that the next update begins at.

        Args:
            step: Steps done.

        Returns:
            At least `step`, and below the next pinned one.
        """
        self._made += 1
        if self.stride == 1 or step >= self.steps:
            return step
        latest = self.pinned[bisect_right(self.pinned, step)] - 1
        if self.stride == math.inf:
            return latest
        self._owed += self.stride - 1
        left_out = min(int(self._owed), latest - step)
        self._owed -= left_out
        return step + left_out
