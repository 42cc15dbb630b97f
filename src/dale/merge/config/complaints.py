"""What pydantic finds wrong with a configuration, in the words of its reader."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dale.errors import nearest
from dale.merge.config.schema import (
    Input,
    MergeConfig,
    Module,
    Place,
    Reference,
    Slice,
    Span,
    Spec,
    Token,
    Tokenizer,
    TokenOf,
)
from dale.merge.config.taking import EVERY
from dale.merge.config.values import shortened

_PARTS: dict[str, type[Spec]] = {
    "models": Input,
    "slices": Slice,
    "sources": Span,
    "modules": Module,
    "tokenizer": Tokenizer,
    "tokens": Token,
    "base_model": Reference,
    "lora": Place,
}
"""Keys under which another kind of mapping begins."""
_EXPECTED = {
    "bool": "true or false",
    "dict": "a mapping",
    "float": "a number",
    "int": "a whole number",
    "model": "a mapping",
    "string": "text",
    "tuple": "a list",
}
_ELSEWHERE = {
    "experts": "mixtures of experts are not made here",
    "genome": "weights are not searched for here",
    "strategies": "this is the recipe of a run; give the folder of the run",
    "input_model_parameters": "write them under models, beside each model",
}
"""Keys of mergekit's other tools, and of earlier versions."""
UNIONS = {"TokenOf", "Reference", "str", "function-before[_reference(), Reference]"}
"""Words by which pydantic says which of several types it tried."""


def lines(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One line for each problem. Unknown keys come first: they cause most others.

    Args:
        found: As pydantic tells them.

    Yields:
        Lines without the origin of the configuration; one may come twice.
    """
    for problem in sorted(found, key=lambda one: one["type"] != "extra_forbidden"):
        if _follows(problem, found):
            continue
        path, spec = _located(problem["loc"])
        where, kind = _dotted(path), problem["type"]
        if kind == "extra_forbidden":
            yield _unknown(path, spec)
        elif kind == "missing":
            yield f"{where} is missing"
        else:
            yield _complaint(where, kind, problem)


def _follows(problem: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a list is too short only as something in it has a problem of its own."""
    loc = problem["loc"]
    inside = (one["loc"][: len(loc)] == loc != one["loc"] for one in found)
    return problem["type"] == "too_short" and any(inside)


def _located(loc: tuple[int | str, ...]) -> tuple[list[int | str], type[Spec]]:
    """The keys a reader sees, and what kind of mapping the last of them stands in."""
    path: list[int | str] = []
    spec, inside = MergeConfig, MergeConfig
    for part in loc:
        if isinstance(part, str) and part in UNIONS:
            continue
        spec = inside
        path.append(part)
        if isinstance(part, int):
            continue
        if part == "model":
            inside = Place if spec is Reference else Reference
        elif part == "source" and spec is Token:
            inside = TokenOf
        else:
            inside = _PARTS.get(part, spec)
    return path, spec


def _unknown(path: list[int | str], spec: type[Spec]) -> str:
    name = str(path[-1])
    above = _dotted(path[:-1])
    inside = f" in {above}" if above else ""
    if name in _ELSEWHERE:
        return f"unknown key {name!r}{inside}; {_ELSEWHERE[name]}"
    if name in EVERY and "parameters" in spec.model_fields:
        place = f"{above}.parameters" if above else "parameters"
        return f"unknown key {name!r}{inside}; it belongs under {place}"
    return f"unknown key {name!r}{inside}; {nearest(name, spec.model_fields)}"


def _complaint(where: str, kind: str, problem: Mapping[str, Any]) -> str:
    at = f"{where}: " if where else ""
    if kind == "value_error":
        return f"{at}{problem['ctx']['error']}"
    given = shortened(problem["input"])
    if kind == "too_short":
        return f"{at}expected at least one item"
    if kind == "too_long":
        return f"{at}expected {problem['ctx']['max_length']} items; got {given}"
    expected = _EXPECTED.get(kind.split("_")[0])
    if expected is not None:
        return f"{at}expected {expected}; got {given}"
    message = str(problem["msg"])
    return f"{at}{message[0].lower()}{message[1:]}; got {given}"


def _dotted(path: list[int | str]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
