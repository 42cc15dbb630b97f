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


class Spec(BaseModel):
    """A piece of a recipe; unknown keys are refused.

    Nor is a truth value taken for a number, or a number for a truth value.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _same_kinds(cls, given: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        made = validate(given)
        if isinstance(given, Mapping):
            problems = list(_confused(given, dict(made)))
            if problems:
                raise ValidationError.from_exception_data(cls.__name__, problems)
        return made


def _confused(given: Any, found: Any, *loc: int | str) -> Iterator[InitErrorDetails]:
    """Where a truth value was taken for a number or the reverse, as pydantic says it.

    Args:
        given: What the recipe says.
        found: What was made of it.
        loc: Keys and positions that lead there.

    Yields:
        The problems.
    """
    if isinstance(given, (list, tuple)) and isinstance(found, (list, tuple)):
        for place, (old, new) in enumerate(zip(given, found, strict=False)):
            yield from _confused(old, new, *loc, place)
    elif isinstance(given, Mapping) and isinstance(found, Mapping):
        for name in given:
            yield from _confused(given[name], found.get(name), *loc, name)
    elif isinstance(given, (int, float)) and isinstance(found, (int, float)):
        if isinstance(given, bool) != isinstance(found, bool):
            kind = f"{type(found).__name__}_type"
            yield InitErrorDetails(type=kind, loc=loc, input=given)
