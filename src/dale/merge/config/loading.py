"""A configuration out of YAML; everything wrong with it, a line for each."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from dale.errors import ConfigError, nearest
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
_KINDS = {type(None): "nothing", str: "text", list: "a list"}
_ELSEWHERE = {
    "experts": "mixtures of experts are not made here",
    "genome": "weights are not searched for here",
    "strategies": "this is the recipe of a run; give the folder of the run",
    "input_model_parameters": "write them under models, beside each model",
}
"""Keys of mergekit's other tools, and of earlier versions."""


def parse_config(text: str, origin: str = "configuration") -> MergeConfig:
    r"""Read a configuration.

    Args:
        text: YAML.
        origin: Where it comes from, for messages.

    Returns:
        The configuration.

    Raises:
        ConfigError: It is not YAML, or keys, types or values are wrong; one line for
            each problem.

    Example:
        >>> config = parse_config("merge_method: linear\nmodels: [{model: a}]")
        >>> config.merge_method, str(config.models[0].model)
        ('linear', 'a')
        >>> parse_config("merge_method: linear\nmodel: [{model: a}]", "soup.yml")
        Traceback (most recent call last):
            ...
        dale.errors.ConfigError: soup.yml: unknown key 'model'; did you mean 'models'?
    """
    config, problems = check_config(text, origin)
    if config is None or problems:
        raise ConfigError(origin, problems)
    return config


def check_config(text: str, origin: str) -> tuple[MergeConfig | None, list[str]]:
    """As `parse_config`, but problems are told, and keys that have them passed over.

    Returns:
        The configuration as far as it can be understood, None if it cannot; and one
        line for each problem.

    Raises:
        ConfigError: It is not YAML, or no mapping.
    """
    document = _document(text, origin)
    try:
        return MergeConfig.model_validate(document), []
    except ValidationError as error:
        found = error.errors(include_url=False)
    lines = list(dict.fromkeys(_lines(found)))
    for problem in found:
        _remove(document, problem["loc"])
    try:
        return MergeConfig.model_validate(document), lines
    except ValidationError:
        return None, lines


def _remove(document: Any, loc: tuple[int | str, ...]) -> None:
    """Take a key out of nested mappings and lists, where it is there."""
    *above, last = [part for part in loc if part not in _UNIONS] or [""]
    try:
        for part in above:
            document = document[part]
        if above[-1:] == ["parameters"] and last in document:
            document[last] = 1  # or it would be said to be missing
        else:
            del document[last]
    except (KeyError, IndexError, TypeError):
        return


def load_config(path: str | Path) -> MergeConfig:
    """Read a configuration from a file.

    Args:
        path: A file of YAML.

    Returns:
        The configuration.

    Raises:
        ConfigError: The file cannot be read, or as `parse_config` raises it.
    """
    return parse_config(read_config(path), str(path))


def read_config(path: str | Path) -> str:
    """The text of a configuration.

    Raises:
        ConfigError: The file cannot be read.
    """
    path = Path(path)
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(str(path), ["no such file"]) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(str(path), [f"cannot be read as text: {reason}"]) from None


def _document(text: str, origin: str) -> dict[Any, Any]:
    try:
        documents = list(yaml.load_all(text, Loader=_Loader))  # a safe loader
    except RecursionError:
        raise ConfigError(
            origin, ["lists or mappings in each other too deep"]
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1} is " if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", error)
        raise ConfigError(origin, [f"{line}not YAML: {problem}"]) from None
    if len(documents) > 1:
        several = f"{len(documents)} documents in one file; write one file for each"
        raise ConfigError(origin, [several])
    document = documents[0] if documents else None
    if not isinstance(document, dict):
        kind = _KINDS.get(type(document), f"a {type(document).__name__}")
        raise ConfigError(origin, [f"holds {kind}; expected a mapping of keys"])
    return document


class _Loader(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error, not a silent choice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key.value!r} stands twice",
                    problem_mark=key.start_mark,
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _lines(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One line for each problem. Unknown keys come first: they cause most others."""
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
        if isinstance(part, str) and part in _UNIONS:
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


_UNIONS = {"TokenOf", "Reference", "str", "function-before[_reference(), Reference]"}
"""Words by which pydantic says which of several types it tried."""


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
