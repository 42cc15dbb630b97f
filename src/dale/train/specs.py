"""From a function's signature to a validated piece of a recipe.

Each variant of a family is a function in its table, and the function's parameters
are its configuration. This module turns a table into a pydantic type: a mapping
with the variant's name under one key and its parameters beside it.
"""

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from types import UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import (
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    create_model,
)

from dale.errors import RecipeError
from dale.schedules import SCHEDULES, Schedule, Steps, join
from dale.train.kinds import Spec as Spec

_LENGTH = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(%|epochs?|steps?)\s*$")

Length = Annotated[
    int | str,
    Field(description="a number of steps, or text: '10%', '2 epochs', '300 steps'"),
]


@dataclass(frozen=True)
class Family:
    """The pieces of a recipe that one table allows.

    Args:
        models: For each variant, the pydantic model of its parameters.
        annotation: A type that accepts any of them; a bare word stands for a variant
            with its defaults.
    """

    models: Mapping[str, type[Spec]]
    annotation: Any


def spec_family(
    functions: Mapping[str, Callable[..., Any]],
    key: str,
    filled: Collection[str] = (),
) -> Family:
    """What a recipe may say where a variant of a table is expected.

    Args:
        functions: The table: name to function.
        key: The key that names the variant, such as ``"name"``.
        filled: Parameters that the program fills in, which a recipe cannot give.

    Returns:
        The family.
    """
    models = {
        name: signature_spec(name, function, key, filled)
        for name, function in functions.items()
    }
    union: Any = reduce(or_, models.values())
    if len(models) > 1:
        union = Annotated[union, Field(discriminator=key)]

    def expand(value: Any) -> Any:
        return {key: value} if isinstance(value, str) else value

    schema_type = _literal(*models) | union
    return Family(
        models,
        Annotated[union, BeforeValidator(expand, json_schema_input_type=schema_type)],
    )


def settings(spec: BaseModel, key: str) -> dict[str, Any]:
    """The parameters of a piece of a recipe, without its name."""
    return {name: value for name, value in dict(spec).items() if name != key}


def steps_of(length: int | str, total: int, per_epoch: int) -> int:
    """A length in steps.

    Args:
        length: Steps, or text such as ``"10%"`` (of the total), ``"2 epochs"``.
        total: Steps of the whole trajectory.
        per_epoch: Steps of one epoch.

    Returns:
        The nearest whole number of steps.

    Raises:
        RecipeError: The text is not a length.

    Example:
        >>> [steps_of(length, 500, 20) for length in ("10%", "2 epochs", 7)]
        [50, 40, 7]
    """
    if isinstance(length, int):
        return length
    found = _LENGTH.match(length)
    if found is None:
        raise RecipeError(
            f"{length!r} is not a length; expected steps, '10%', '2 epochs' or "
            "'300 steps'"
        )
    number, unit = float(found[1]), found[2]
    scale = {"%": total / 100, "e": per_epoch, "s": 1}[unit[0]]
    return round(number * scale)


def signature_spec(
    name: str,
    function: Callable[..., Any],
    key: str | None = None,
    filled: Collection[str] = (),
) -> type[Spec]:
    """The pydantic model of a function's parameters.

    Args:
        name: Name of the variant.
        function: Its parameters become the fields, with their defaults.
        key: A further field that holds the name, or None.
        filled: Parameters to leave out.

    Returns:
        The model.
    """
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {key: (_literal(name), ...)} if key else {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in filled:
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (_recipe_type(hints[parameter.name]), default)
    return create_model(
        name,
        __base__=Spec,
        __doc__=inspect.getdoc(function) or name,
        **fields,
    )


def _literal(*words: str) -> Any:
    """`Literal` of words that are known at run time only."""
    return Literal.__getitem__(words)  # type: ignore[attr-defined]


def _recipe_type(hint: Any) -> Any:
    """The annotation with every length in steps replaced by a `Length`."""
    if hint == Steps:
        return Length
    arguments = get_args(hint)
    if get_origin(hint) in (None, Literal, Annotated):
        return hint
    replaced = tuple(_recipe_type(argument) for argument in arguments)
    if replaced == arguments:
        return hint
    if get_origin(hint) in (Union, UnionType):
        return reduce(or_, replaced)
    return get_origin(hint)[replaced]


SCHEDULE = spec_family(
    {name: row.function for name, row in SCHEDULES.items()}, "name", {"steps"}
)


class Piece(Spec):
    """A part of a schedule in sequence.

    Args:
        schedule: The part, counting its steps from 0.
        length: How long it lasts; the last part may leave it out and takes the rest.
    """

    schedule: SCHEDULE.annotation  # type: ignore[valid-type]
    length: Length | None = None


ScheduleSpec = SCHEDULE.annotation | tuple[Piece, ...]


def _constant(value: Any) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {"name": "constant", "value": value} if number else value


_Driver = Annotated[
    ScheduleSpec,
    BeforeValidator(_constant, json_schema_input_type=float | ScheduleSpec),
]


def _by_pattern(value: Any) -> str:
    # pydantic adds the tag to the place of a problem: what is in brackets is left out
    patterns = isinstance(value, dict) and "name" not in value
    return "[patterns]" if patterns else "[schedule]"


DrivenSpec = Annotated[
    Annotated[_Driver, Tag("[schedule]")]
    | Annotated[dict[str, _Driver], Tag("[patterns]")],
    Discriminator(_by_pattern),
]
"""A schedule or a number; or one for each of some patterns."""


def build_schedule(spec: Any, total: int, per_epoch: int) -> Schedule:
    """The schedule that a piece of a recipe describes.

    Args:
        spec: One schedule, or pieces in sequence.
        total: Its length in steps.
        per_epoch: Steps of one epoch.

    Returns:
        The schedule, over `total` steps.

    Raises:
        RecipeError: The pieces do not fill the length.
    """
    if isinstance(spec, tuple):
        return _in_sequence(spec, total, per_epoch)
    function = SCHEDULES[spec.name].function
    return function(steps=total, **lengths_of(spec, function, total, per_epoch))


def lengths_of(
    spec: BaseModel, function: Callable[..., Any], total: int, per_epoch: int
) -> dict[str, Any]:
    """The parameters of a piece of a recipe, with every length in steps.

    Args:
        spec: The piece, with its name.
        function: Whose parameters they are.
        total: Steps that shares are of.
        per_epoch: Steps of one epoch.

    Returns:
        Keywords for the function.
    """
    hints = get_type_hints(function, include_extras=True)
    return {
        parameter: _in_steps(value, hints[parameter], total, per_epoch)
        for parameter, value in settings(spec, "name").items()
    }


def _in_sequence(pieces: tuple[Piece, ...], total: int, per_epoch: int) -> Schedule:
    lengths = [
        None if piece.length is None else steps_of(piece.length, total, per_epoch)
        for piece in pieces
    ]
    if lengths and lengths[-1] is None:
        lengths[-1] = total - sum(length or 0 for length in lengths)
    if sum(length or 0 for length in lengths) != total or not all(lengths):
        raise RecipeError(
            f"schedule: the pieces take {lengths} steps; expected {total} in all, each "
            "at least one"
        )
    return join(
        *(
            build_schedule(piece.schedule, length or 0, per_epoch)
            for piece, length in zip(pieces, lengths, strict=True)
        )
    )


def _in_steps(value: Any, hint: Any, total: int, per_epoch: int) -> Any:
    if _recipe_type(hint) == hint:
        return value
    if isinstance(value, (tuple, list)):
        return tuple(steps_of(item, total, per_epoch) for item in value)
    return value if value is None else steps_of(value, total, per_epoch)
