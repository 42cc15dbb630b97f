"""Numbers of a document, and numbers on the page.

A number that is missing (None, NaN) is shown as an en dash, everywhere.
"""

import math
from collections.abc import Sequence
from numbers import Real

from dale.errors import InputError

MISSING = "–"


def number(value: object) -> float | None:
    """A document's number: None for None and NaN, infinities as they are.

    Raises:
        InputError: Not a number.

    Example:
        >>> number(3), number(float("nan")), number(None)
        (3.0, None, None)
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputError(f"expected a number or null in the report, got {value!r}")
    value = float(value)
    return None if math.isnan(value) else value


def finite(value: object) -> float | None:
    """A document's number when it can be drawn: None for None, NaN and ±∞."""
    value = number(value)
    return value if value is not None and math.isfinite(value) else None


def finites(values: Sequence[object] | None) -> list[float | None]:
    """`finite` of every value of a list; an empty list for None."""
    return [finite(value) for value in values or ()]


def decimal(value: object, places: int = 4) -> str:
    """A number with a fixed count of decimals and a true minus sign.

    Example:
        >>> decimal(0.25), decimal(-1.5, 1), decimal(None), decimal(-1e-9)
        ('0.2500', '−1.5', '–', '0.0000')
    """
    value = number(value)
    if value is None:
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    value = round(value, places) + 0.0  # + 0.0 turns −0.0 into 0.0
    return f"{value:,.{places}f}".replace("-", "−")


def percent(value: object, places: int = 2, unit: bool = True) -> str:
    r"""A share, 0 to 1, in percent.

    Example:
        >>> percent(0.0873), percent(0.0873, unit=False), percent(float("nan"))
        ('8.73\u202f%', '8.73', '–')
    """
    value = number(value)
    text = decimal(None if value is None else 100 * value, places)
    return f"{text}\u202f%" if unit and text != MISSING else text


def whole(value: object) -> str:
    """A count, with thousands apart.

    Example:
        >>> whole(10000), whole(None)
        ('10,000', '–')
    """
    return decimal(value, 0)


def score(name: str, value: object) -> str:
    r"""A score by its name: errors, accuracies and calibration errors in percent.

    Example:
        >>> score("val_error", 0.021), score("val_nll", 0.021)
        ('2.10\u202f%', '0.0210')
    """
    shares = {"error", "accuracy", "ece", "mce"}
    return percent(value) if shares & set(name.split("_")) else decimal(value)
