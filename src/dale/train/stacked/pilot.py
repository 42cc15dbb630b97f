"""A race between the two ways of training members, on the updates they would make."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

_ROUNDS, _SECONDS, _LEAST = 2, 0.5, 4
_MARGIN = 0.9


@dataclass(frozen=True)
class Race:
    """What a race found.

    Args:
        stacked: Seconds of one update of all members at once, the median.
        apart: Seconds of one update of each of them, one after another: the median of
            one times their number.
        updates: Updates timed of each kind.
        seconds: What the race took.

    Example:
        >>> Race(stacked=0.001, apart=0.004, updates=20, seconds=1.0).won
        True
    """

    stacked: float
    apart: float
    updates: int
    seconds: float

    @property
    def won(self) -> bool:
        """Whether training at once is faster by more than chance: by a tenth."""
        return self.stacked < _MARGIN * self.apart

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def race(
    together: Callable[[int], Any],
    apart: Callable[[int], Any],
    members: int,
    most: int = 1000,
    seconds: float = _SECONDS,
) -> Race:
    """Time both ways in turns.

    Two rounds of each, so that what else the machine does falls on both; the first
    update of a round fills caches and is left out. Like in training, updates of one
    kind follow one another.

    Args:
        together: Makes one update of all members, given the number of updates done.
        apart: Makes one update of one member.
        members: Their number.
        most: Updates of each kind in a round, at least 4.
        seconds: Time for each kind in a round.

    Returns:
        The medians.
    """
    begun = time.perf_counter()
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for way, taken in zip((apart, together), found, strict=True):
            taken += _timed(way, max(most, _LEAST), seconds)
    one, every = found
    return Race(
        stacked=median(every),
        apart=median(one) * members,
        updates=min(len(one), len(every)),
        seconds=time.perf_counter() - begun,
    )


def _timed(way: Callable[[int], Any], most: int, seconds: float) -> list[float]:
    taken: list[float] = []
    begun = time.perf_counter()
    while len(taken) < most:
        started = time.perf_counter()
        way(len(taken))
        taken.append(time.perf_counter() - started)
        if len(taken) >= _LEAST and time.perf_counter() - begun > seconds:
            break
    return taken[1:]
