"""What is wrong with a recipe, in one line: where, what, what was expected."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dale.errors import nearest
from dale.train.specs import Family, Spec

_EXPECTED = {
    "bool": "true or false",
    "dict": "a mapping",
    "finite": "a finite number",
    "float": "a number",
    "int": "a whole number",
    "model": "a name or a mapping",
    "string": "text",
    "tuple": "a list",
}
"""The start of pydantic's name of a problem to what a reader knows."""

# what to expect where a number or this other type, as pydantic names it, will do
_EITHER = {"tuple[int, int]": "a whole number or a pair of whole numbers"}

# parts of pydantic's location that stand for one of several types it tried
_TYPES = {"int", "float", "str", "bool"}


@dataclass(frozen=True)
class Anatomy:
    """Which model holds which keys of a recipe.

    Args:
        root: The model of a whole recipe.
        families: Keys that hold a variant of a table.
        parts: Keys that hold one certain model.
        mappings: Keys that hold a mapping from any words to a variant of a table, or
            to another such mapping.
    """

    root: type[Spec]
    families: Mapping[str, Family]
    parts: Mapping[str, type[Spec]]
    mappings: Mapping[str, Family]

    def locate(
        self, loc: tuple[int | str, ...]
    ) -> tuple[list[int | str], type[Spec], Family | None]:
        """The keys a reader sees, and the model or family that the last belongs to.

        pydantic's location also names the variant it chose and the types it tried.
        """
        path: list[int | str] = []
        model, family = self.root, None
        for part in loc:
            if isinstance(part, str) and "[" in part:
                continue
            if family is not None and part in family.models:
                model, family = family.models[str(part)], None
                continue
            if part in _TYPES and part not in model.model_fields:
                continue
            path.append(part)
            if not isinstance(part, int):
                inside = [self.mappings.get(str(key)) for key in path[-3:-1]]
                above = next((found for found in inside if found is not None), None)
                family = above or self.families.get(part)
                model = self.parts.get(part, model)
        return path, model, family


def first_problem(error: ValidationError, anatomy: Anatomy) -> str:
    """One line for the first thing wrong with a recipe.

    Unknown keys come first: they are the usual cause of a key that is missing. That a
    list is no mapping comes last: what is wrong inside of it says more.

    Args:
        error: What pydantic found.
        anatomy: Of the recipe.

    Returns:
        The line.
    """
    problems = error.errors(include_url=False)
    problems.sort(key=_rank)
    problem = problems[0]
    kind, given = problem["type"], problem["input"]
    path, model, family = anatomy.locate(problem["loc"])
    where = dotted(path)
    if kind == "extra_forbidden":
        inside = f" in {dotted(path[:-1])}" if path[:-1] else ""
        hint = nearest(str(path[-1]), model.model_fields)
        return f"unknown key {path[-1]!r}{inside}; {hint}"
    if kind == "missing":
        return f"{where} is missing"
    if kind == "union_tag_invalid" and family is not None:
        name = str(problem["ctx"]["tag"])
        return f"{where}: unknown name {name!r}; {nearest(name, family.models)}"
    if kind == "union_tag_not_found" and family is not None:
        tag = str(problem["ctx"]["discriminator"]).strip("'")
        known = ", ".join(sorted(family.models))
        return f"{where}.{tag} is missing; expected one of {known}"
    complaint = _either(problem["loc"], [other["loc"] for other in problems])
    complaint = complaint or _complaint(kind, problem["msg"])
    return f"{where}: {complaint}; got {_short(given)}"


def _rank(problem: ErrorDetails) -> int:
    if problem["type"] == "extra_forbidden":
        return 0
    list_given = isinstance(problem["input"], (list, tuple))
    return 2 if problem["type"] == "model_attributes_type" and list_given else 1


def dotted(path: list[int | str]) -> str:
    """Keys and positions as they are written in messages.

    Example:
        >>> dotted(["strategies", 1, "peak"])
        'strategies[1].peak'
    """
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _either(
    loc: tuple[int | str, ...], others: list[tuple[int | str, ...]]
) -> str | None:
    """What is said where pydantic tried several types for the same place."""
    size = len(loc) - 1
    for other in others:
        if loc[size] in _TYPES and other[:size] == loc[:size] and len(other) > size:
            expected = _EITHER.get(str(other[size]))
            if expected is not None:
                return f"expected {expected}"
    return None


def _complaint(kind: str, message: str) -> str:
    if kind == "too_short":
        return "expected at least one item"
    if kind == "model_type":
        return "expected a mapping"
    expected = _EXPECTED.get(kind.split("_")[0])
    if expected is not None:
        return f"expected {expected}"
    return message[0].lower() + message[1:]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
