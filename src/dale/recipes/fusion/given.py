"""Settings as a user writes them: ``key=value``, held against a method's signature."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from dale.errors import InputError, nearest
from dale.recipes.fusion.table import Fusion

_WORDS = ConfigDict(coerce_numbers_to_str=True)
"""Layers and members may be named by numbers."""


def read(pairs: Sequence[str]) -> dict[str, Any]:
    """Settings from words.

    Args:
        pairs: Such as ``"density=0.2"`` or ``"weight=1,2,3"``; values are YAML, and
            what has commas is a list.

    Returns:
        Values by name.

    Raises:
        InputError: A word without a name or a value, a name twice, or a value that is
            no YAML.

    Example:
        >>> read(["density=0.2", "weight=1,2", "normalize=true", "layers=head"])
        {'density': 0.2, 'weight': [1, 2], 'normalize': True, 'layers': 'head'}
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip() or not text.strip():
            raise InputError(f"expected a setting as KEY=VALUE, got {pair!r}")
        if name.strip() in found:
            raise InputError(f"{name.strip()} is set twice")
        found[name.strip()] = _value(name, text)
    return found


def _value(name: str, text: str) -> Any:
    listed = "," in text and not text.strip().startswith("[")
    try:
        return yaml.safe_load(f"[{text}]" if listed else text)
    except yaml.YAMLError:
        raise InputError(f"{name}: {text!r} is no number, word or list") from None


def numbers(pair: str) -> tuple[str, list[float]]:
    """A setting and the values to try, from ``"lambda=0.1,0.2,0.3"``.

    Raises:
        InputError: There is no name, or a value that is no number.

    Example:
        >>> numbers("lambda=0.1,0.2")
        ('lambda', [0.1, 0.2])
    """
    ((name, value),) = read([pair]).items()
    values = value if isinstance(value, list) else [value]
    try:
        return name, TypeAdapter(list[float]).validate_python(values)
    except ValidationError:
        raise InputError(
            f"{name}: expected numbers to try, such as {name}=0.1,0.2, got {pair!r}"
        ) from None


def checked(
    method: str, fusion: Fusion, given: Mapping[str, Any], filled: Sequence[str] = ()
) -> dict[str, Any]:
    """Settings that a method takes, with its types.

    Args:
        method: Its name, for messages.
        fusion: Its row.
        given: Values by name; ``lambda`` stands for ``lambda_``.
        filled: Settings that come from elsewhere and may be missing.

    Returns:
        What was given, as the types of the signature say.

    Raises:
        InputError: An unknown or a missing setting, or a value of another type.
    """
    known = {n: entry for n, entry in fusion.settings.items() if _writable(entry[0])}
    found = {}
    for name, value in given.items():
        own = own_name(name)
        if own not in known:
            names = [shown(n) for n in known]
            hint = nearest(name, names) if names else "it has none"
            raise InputError(f"{method} has no setting {name!r}; {hint}")
        found[own] = _typed(name, value, known[own][0])
    for name, (_, default) in known.items():
        missing = default is inspect.Parameter.empty and name not in found
        if missing and name not in filled:
            raise InputError(f"{method} needs --set {shown(name)}=...")
    return found


def own_name(name: str) -> str:
    """A setting as Python can spell it."""
    return "lambda_" if name == "lambda" else name


def shown(name: str) -> str:
    """A setting as users know it."""
    return name.removesuffix("_")


def _writable(hint: Any) -> bool:
    return "Callable" not in str(hint)


def _typed(name: str, value: Any, hint: Any) -> Any:
    several = "list[" in str(hint) or "Sequence[" in str(hint)
    if several and not isinstance(value, list) and "float | " not in str(hint):
        value = None if value is None else [value]
    try:
        return TypeAdapter(hint, config=_WORDS).validate_python(value)
    except ValidationError as error:
        fault = error.errors()[0]["msg"]
        fault = fault[0].lower() + fault[1:]
        raise InputError(f"{name}: {fault}, got {value!r}") from None
