"""What each method takes in a configuration: mergekit's rules over the table's rows.

A parameter is either each model's own or shared by all. Its name, kind and default come
from the signature of the row's function; what mergekit wants otherwise stands here.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from dale.errors import InputError
from dale.merge.config.values import Scalar, number_of, shortened, unfit
from dale.merge.engine import settings_of
from dale.merge.steps import Each, Rescale
from dale.merge.table import METHODS

_OWN = {"passthrough": {"scale"}}
"""Parameters that are a model's own though the function takes one number."""
_MASKED = (
    "ties",
    "ties_global",
    "dare_linear",
    "dare_ties",
    "breadcrumbs",
    "breadcrumbs_ties",
    "della",
    "della_linear",
    "sce",
)
_UNUSED = {"task_arithmetic": {"density", "rescale", "int8_mask"}} | {
    name: {"int8_mask"} for name in _MASKED
}
"""What mergekit takes and what never changes a result."""
_BASE_FIRST = {"slerp"}
"""Methods that go from the base to the other model; for the table both are models."""
_WORDS = {"true": True, "yes": True, "on": True, "1": True}
_WORDS |= {"false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True)
class Taken:
    """One parameter of a method.

    Attributes:
        name: In a configuration.
        setting: Of the function.
        own: Each model may have its own value.
        kind: ``float``, ``int``, ``bool`` or ``Rescale``.
        required: There is no default.
    """

    name: str
    setting: str
    own: bool
    kind: Any
    required: bool

    def cast(self, value: Scalar) -> Any:
        """The value as the function takes it.

        Raises:
            InputError: It is of another kind.

        Example:
            >>> taken("linear")["weight"].cast("1e-2")
            0.01
            >>> taken("karcher")["max_iter"].cast(2.5)
            Traceback (most recent call last):
                ...
            dale.errors.InputError: max_iter must be a whole number, got 2.5
        """
        if self.kind is bool:
            return self._truth(value)
        if self.kind is Rescale:
            known = str(value).lower() in _WORDS
            return self._truth(value) if known else value
        number = None if isinstance(value, bool) else number_of(value)
        if number is None:
            shown = str(value).lower() if isinstance(value, bool) else shortened(value)
            raise InputError(f"{self.name} must be a number, got {shown}")
        why = unfit(number, value)
        if why is not None:
            raise InputError(f"{self.name} {why}")
        if self.kind is int:
            if number != int(number):
                raise InputError(f"{self.name} must be a whole number, got {value!r}")
            return int(number)
        return number

    def _truth(self, value: Scalar) -> bool:
        text = str(value).lower().removesuffix(".0")
        if text not in _WORDS:
            raise InputError(f"{self.name} must be true or false, got {value!r}")
        return _WORDS[text]


@cache
def taken(method: str) -> dict[str, Taken]:
    """The parameters of a row, by their names in a configuration.

    ``weight`` has no default where mergekit has none.

    Args:
        method: A name in `dale.merge.METHODS` that `refusal` does not refuse.

    Example:
        >>> [(one.name, one.own) for one in taken("ties").values()]
        [('weight', True), ('density', True), ('rescale', False), ('lambda', False),
         ('normalize', False)]
        >>> taken("ties")["weight"].required, taken("ties_global")["weight"].required
        (True, False)
    """
    row, found = METHODS[method], {}
    for setting, parameter in settings_of(row).items():
        name = "lambda" if setting == "lambda_" else setting
        kind, own = _kind(parameter)
        own = own or setting in _OWN.get(method, ())
        bare = parameter.default is parameter.empty
        weighted = setting == "weight" and row.mergekit is not None
        found[name] = Taken(name, setting, own, kind, bare or weighted)
    return found


def unused(method: str) -> set[str]:
    """Parameters that are accepted and never change a result."""
    return _UNUSED.get(method, set())


def base_first(method: str) -> bool:
    """Whether the base is the first of the models."""
    return method in _BASE_FIRST


def refusal(method: str) -> str | None:
    """Why a row cannot be used in a configuration, if it cannot.

    Example:
        >>> refusal("greedy_soup")
        'greedy_soup needs a score; use it in Python or on the members of a run'
    """
    row = METHODS[method]
    if row.needs_score or row.needs_data:
        what = "a score" if row.needs_score else "data"
        return f"{method} needs {what}; use it in Python or on the members of a run"
    if not row.streams or row.scope == "model":
        return f"{method} needs whole models in memory; use it in Python"
    return None


def _kind(parameter: inspect.Parameter) -> tuple[Any, bool]:
    """The kind of a single value, and whether there is one for each model."""
    hint = parameter.annotation
    if hint == Each or hint == Sequence[float]:
        return float, True
    if hint == Rescale:
        return Rescale, False
    plain = [part for part in get_args(hint) or (hint,) if part is not type(None)]
    return plain[0], False


EVERY = {
    *(name for n in METHODS if refusal(n) is None for name in taken(n)),
    *(name for names in _UNUSED.values() for name in names),
}
"""Every parameter of any method."""
