"""A configuration out of YAML; everything wrong with it, a line for each."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from dale.errors import ConfigError
from dale.merge.config.complaints import UNIONS, lines
from dale.merge.config.schema import MergeConfig

_KINDS = {type(None): "nothing", str: "text", list: "a list"}


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
    told = list(dict.fromkeys(lines(found)))
    for problem in found:
        _remove(document, problem["loc"])
    try:
        return MergeConfig.model_validate(document), told
    except ValidationError:
        return None, told


def _remove(document: Any, loc: tuple[int | str, ...]) -> None:
    """Take a key out of nested mappings and lists, where it is there."""
    *above, last = [part for part in loc if part not in UNIONS] or [""]
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
