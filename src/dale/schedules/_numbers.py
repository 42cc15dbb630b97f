"""Checks of numbers that users give, and one interpolation."""

import math
import operator
from numbers import Real

from dale.errors import InputError


def whole(name: str, value: object, least: int) -> int:
    """The integer that `value` is, or an error naming the parameter.

    Raises:
        InputError: It is no integer, or smaller than `least`.

    Example:
        >>> whole("steps", 5, least=1)
        5
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InputError(f"{name} must be a whole number, got {value!r}")
    try:
        number = operator.index(value)  # pyrefly: ignore[bad-argument-type]
    except TypeError as error:
        # arrays and tensors have __index__ and refuse unless they hold one integer
        raise InputError(f"{name} must be a whole number, got {value!r}") from error
    if number < least:
        raise InputError(f"{name} must be at least {least}, got {number}")
    return number


def finite(name: str, value: object) -> float:
    """The float that `value` is, or an error naming the parameter.

    Raises:
        InputError: It is no number, or infinite, or not a number at all.

    Example:
        >>> finite("peak", 1)
        1.0
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputError(f"{name} must be a finite number, got {value!r}")
    number = float(value)
    if not math.isfinite(number):
        raise InputError(f"{name} must be a finite number, got {number}")
    return number


def positive(name: str, value: object, most: float = math.inf) -> float:
    """As `finite`, and within (0, `most`].

    Raises:
        InputError: It is not finite or lies outside the interval.

    Example:
        >>> positive("power", 0.5)
        0.5
    """
    number = finite(name, value)
    if not 0 < number <= most:
        limit = "" if most == math.inf else f" and at most {most:g}"
        raise InputError(f"{name} must be above 0{limit}, got {number:g}")
    return number


def peak_and_floor(peak: object, floor: object) -> tuple[float, float]:
    """Both as floats, with the peak not below the floor.

    Raises:
        InputError: One is not finite, or the peak lies below the floor.

    Example:
        >>> peak_and_floor(0.1, 0)
        (0.1, 0.0)
    """
    high, low = finite("peak", peak), finite("floor", floor)
    if high < low:
        raise InputError(f"peak must not lie below floor {low:g}, got {high:g}")
    return high, low


def mix(first: float, last: float, done: float) -> float:
    """The value a share `done` of the way from `first` to `last`.

    ``first + (last − first)·done``, computed from the nearer end, so that it is
    exactly `first` at 0 and exactly `last` at 1, and never turns back in between:
    the plain formula misses the far end by a rounding error.

    Args:
        first: Value at ``done = 0``.
        last: Value at ``done = 1``.
        done: Share in [0, 1].

    Example:
        >>> 0.3 + (0.9 - 0.3) * 1.0, mix(0.3, 0.9, 1.0)
        (0.9000000000000001, 0.9)
    """
    low, high = min(first, last), max(first, last)
    risen = done if first <= last else 1 - done
    span = high - low
    middle = low + span / 2
    if risen < 0.5:
        return min(low + span * risen, middle)
    return max(high - span * (1 - risen), middle)
