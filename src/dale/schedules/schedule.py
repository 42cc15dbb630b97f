"""`Schedule`: a number for every step, and where its cycles end."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, final

from dale.errors import InputError
from dale.schedules._numbers import finite, whole

Steps = Annotated[int, "steps"]
"""A number of steps, or a position counted in steps.

Parameters annotated with it are lengths: a recipe may write them as ``"10%"`` or
``"2 epochs"``. At run time it is a plain `int`.
"""


@final
@dataclass(frozen=True)
class Schedule:
    """A pure function of the step, with a length and with ends of cycles.

    A step is one update of the weights, counted from 0. The value depends on the
    step alone: there is no state, so calls may come in any order and a resumed run
    sees what an uninterrupted run would have seen. From step `steps` on, the last
    value is held.

    An end ``e`` means that the cycle's last update is step ``e − 1``: a member of
    an ensemble is taken after ``e`` updates. A schedule with cycles covers all its
    steps with them, so its last end equals `steps`.

    Args:
        function: Maps a step in [0, `steps`) to a finite number.
        steps: Total length, at least 1.
        ends: Ends of the cycles, strictly increasing, the last equal to `steps`;
            empty for a schedule without cycles.
        name: What to call it in messages and plots.

    Raises:
        InputError: The length or the ends are impossible.

    Example:
        >>> schedule = Schedule(lambda step: 1.0 / (1 + step % 2), steps=4, ends=(2, 4))
        >>> schedule.values()
        [1.0, 0.5, 1.0, 0.5]
        >>> schedule(1_000)
        0.5
    """

    function: Callable[[int], float] = field(repr=False)
    steps: int
    ends: tuple[int, ...] = ()
    name: str = "schedule"

    def __post_init__(self) -> None:
        """Check the length and the ends."""
        if not callable(self.function):
            raise InputError(f"function must be callable, got {self.function!r}")
        steps = whole("steps", self.steps, least=1)
        ends = tuple(whole("an end", end, least=1) for end in self.ends)
        for before, after in pairwise(ends):
            if after <= before:
                raise InputError(f"ends must increase, got {before} before {after}")
        if ends and ends[-1] != steps:
            raise InputError(f"the last end must be {steps} (steps), got {ends[-1]}")
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "ends", ends)

    def __call__(self, step: int) -> float:
        """The value at a step.

        Args:
            step: Update counted from 0. From `steps` on the last value is held.

        Returns:
            A finite float.

        Raises:
            InputError: The step is negative or no integer, or the function gives a
                value that is not finite.

        Example:
            >>> Schedule(lambda step: 0.1 * step, steps=3)(1)
            0.1
        """
        step = whole("step", step, least=0)
        value = self.function(min(step, self.steps - 1))
        return finite(f"{self.name} at step {step}", value)

    def values(self) -> list[float]:
        """The values at steps 0, 1, …, `steps` − 1.

        Example:
            >>> Schedule(lambda step: 2.0 * step, steps=3).values()
            [0.0, 2.0, 4.0]
        """
        return [self(step) for step in range(self.steps)]

    def cycle(self, step: int) -> int:
        """Index, counted from 0, of the cycle that a step is in.

        A schedule without cycles counts as one. Steps past the end belong to the
        last cycle.

        Raises:
            InputError: The step is negative or no integer.

        Example:
            >>> schedule = Schedule(float, steps=5, ends=(2, 5))
            >>> [schedule.cycle(step) for step in range(6)]
            [0, 0, 1, 1, 1, 1]
        """
        step = whole("step", step, least=0)
        return bisect_right(self.ends, min(step, self.steps - 1))
