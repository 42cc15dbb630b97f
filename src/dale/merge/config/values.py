"""Values of parameters that depend on the depth and the name of a tensor."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from reprlib import Repr

from dale.errors import InputError, nearest
from dale.merge.steps import LARGEST

_SHORT = Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 60, 60
Scalar = bool | int | float | str
"""What a parameter is in the end."""
Gradient = tuple[Scalar, ...]
"""Values at equal distances from the first layer to the last."""


@dataclass(frozen=True)
class Case:
    """A value for some tensors.

    Attributes:
        filter: Part of the name of a tensor; None and ``"*"`` stand for all.
        value: A value, or one that changes with depth.
    """

    filter: str | None
    value: Scalar | Gradient

    def holds(self, name: str) -> bool:
        """Whether it is for this tensor."""
        return self.filter is None or self.filter == "*" or self.filter in name


Value = Scalar | Gradient | tuple[Case, ...]
"""A value, one that changes with depth, or cases of which the first that holds counts.
"""


def value_at(value: Value, name: str, t: float) -> Scalar | None:
    """What a parameter is for one tensor.

    Args:
        value: From a configuration; see `parse_value`.
        name: Of the tensor.
        t: Depth of its layer, 0 for the first and 1 for the last.

    Returns:
        The value; None where no case holds.

    Example:
        >>> value_at((0.0, 0.5, 1.0), "layers.1.mlp", 0.25)
        0.25
        >>> cases = parse_value([{"filter": "mlp", "value": [1, 0]}, {"value": 7}])
        >>> value_at(cases, "layers.3.mlp", 1.0), value_at(cases, "norm", 0.0)
        (0, 7)
    """
    if not isinstance(value, tuple):
        return value
    if not value or not isinstance(value[0], Case):
        return interpolated(value, t)  # type: ignore[arg-type]
    for case in value:
        if isinstance(case, Case) and case.holds(name):
            own = case.value
            return interpolated(own, t) if isinstance(own, tuple) else own
    return None


def interpolated(values: Sequence[Scalar], t: float) -> Scalar | None:
    """Between numbers on a straight line; other values hold until the next begins.

    Example:
        >>> interpolated([0, 10, 20], 0.75), interpolated([True, False], 0.75)
        (15.0, True)
    """
    if not values:
        return None
    place = t * (len(values) - 1)
    left = min(int(place), len(values) - 1)
    right = min(left + 1, len(values) - 1)
    share = place - left
    if share == 0:
        return values[left]
    ends = [_numeric(values[left]), _numeric(values[right])]
    if ends[0] is None or ends[1] is None:
        return values[left]
    return (1 - share) * ends[0] + share * ends[1]


def parse_value(given: object) -> Value:
    """A value as it stands in a configuration.

    Args:
        given: A number, a truth value or a word; a list of such; a mapping with
            ``value`` and maybe ``filter``, or a list of such.

    Returns:
        The value, lists turned into tuples.

    Raises:
        InputError: It is none of these, or a number that float32 cannot hold.

    Example:
        >>> parse_value([0, 0.5]), parse_value({"filter": "mlp", "value": 1})
        ((0, 0.5), (Case(filter='mlp', value=1),))
        >>> parse_value([0.5, {"value": 1}])
        Traceback (most recent call last):
            ...
        dale.errors.InputError: a list must hold values only or mappings with filter ...
    """
    if isinstance(given, Mapping):
        return (_case(given),)
    if not isinstance(given, list | tuple):
        return _scalar(given)
    if given and all(isinstance(item, Mapping) for item in given):
        return tuple(_case(item) for item in given)
    if any(isinstance(item, Mapping) for item in given):
        raise InputError(
            "a list must hold values only or mappings with filter and value only"
        )
    return _gradient(given)


def number_of(value: Scalar) -> float | None:
    """A number, also one that YAML took for text, such as 1e-5.

    Example:
        >>> number_of("1e-5"), number_of("many")
        (1e-05, None)
    """
    try:
        return float(value)
    except ValueError:
        return None
    except OverflowError:
        return math.inf


def unfit(number: float, given: object) -> str | None:
    """Why a number cannot be computed with in float32, if it cannot.

    Example:
        >>> unfit(1e39, "1e39"), unfit(1e38, "1e38")
        ("must lie within ±3.4e38, got '1e39'", None)
    """
    if not math.isfinite(number):
        return f"must be finite, got {shortened(given)}"
    beyond = abs(number) > LARGEST
    return f"must lie within ±3.4e38, got {shortened(given)}" if beyond else None


def shortened(value: object) -> str:
    """What was given, in no more than one line, however large or deep it is.

    Example:
        >>> shortened(5), len(shortened(list(range(10**6)))) < 61
        ('5', True)
    """
    given = _SHORT.repr(value)
    return given if len(given) <= 60 else given[:57] + "..."


def _numeric(value: Scalar) -> float | None:
    return None if isinstance(value, bool) else number_of(value)


def _gradient(given: Sequence[object]) -> Gradient:
    if not given:
        raise InputError("a list must hold at least one value")
    if any(isinstance(item, list | tuple) for item in given):
        raise InputError("expected numbers or words in a list; got a list in a list")
    return tuple(_scalar(item) for item in given)


def _case(given: Mapping[object, object]) -> Case:
    known = ("filter", "value")
    for key in given:
        if key not in known:
            raise InputError(f"unknown key {key!r}; {nearest(str(key), known)}")
    if "value" not in given:
        raise InputError("value is missing beside filter")
    name, value = given.get("filter"), given["value"]
    if name is not None and not isinstance(name, str):
        raise InputError(f"filter: expected part of a tensor's name, got {name!r}")
    if isinstance(value, list | tuple):
        return Case(name, _gradient(value))
    return Case(name, _scalar(value))


def _scalar(given: object) -> Scalar:
    if isinstance(given, bool | str):
        return given
    if isinstance(given, int | float):
        why = unfit(number_of(given) or 0, given)
        if why is not None:
            raise InputError(why)
        return given
    kind = "nothing" if given is None else f"a {type(given).__name__}"
    raise InputError(f"expected a number, true, false, a word or a list; got {kind}")
