"""What every piece of a recipe is strict about: its keys, and truth for numbers."""

from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails

_LARGEST = 3.4e38
"""What float32 can hold, nearly."""


class Spec(BaseModel):
    """A piece of a recipe; unknown keys are refused.

    Nor is a truth value taken for a number, or a number for a truth value, and a
    number must be finite in float32, in which networks are trained.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _same_kinds(cls, given: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        made = validate(given)
        if isinstance(given, Mapping):
            problems = list(_strange(given, dict(made)))
            if problems:
                raise ValidationError.from_exception_data(cls.__name__, problems)
        return made


def _strange(given: Any, found: Any, *loc: int | str) -> Iterator[InitErrorDetails]:
    """Numbers that are none, such as truth values, as pydantic says it.

    Args:
        given: What the recipe says.
        found: What was made of it.
        loc: Keys and positions that lead there.

    Yields:
        The problems.
    """
    if isinstance(given, (list, tuple)) and isinstance(found, (list, tuple)):
        for place, (old, new) in enumerate(zip(given, found, strict=False)):
            yield from _strange(old, new, *loc, place)
    elif isinstance(given, Mapping) and isinstance(found, Mapping):
        for name in given:
            yield from _strange(given[name], found.get(name), *loc, name)
    elif isinstance(given, (int, float)) and isinstance(found, (int, float)):
        if isinstance(given, bool) != isinstance(found, bool):
            kind = f"{type(found).__name__}_type"
            yield InitErrorDetails(type=kind, loc=loc, input=given)
        elif isinstance(found, float) and abs(found) > _LARGEST:
            yield InitErrorDetails(type="finite_number", loc=loc, input=given)
