"""What is wanted of single tokens: where their rows come from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dale.errors import InputError, nearest


@dataclass(frozen=True)
class Taken:
    """A row of one model: of the same token, or of the token or the row named.

    Attributes:
        model: Position of the model.
        token: Text of another token.
        token_id: Row.
    """

    model: int
    token: str | None = None
    token_id: int | None = None


@dataclass(frozen=True)
class Rule:
    """What is wanted of one token.

    Attributes:
        source: Where models without it get it from: a row, zeros, or None for what
            happens to any token.
        force: Models with it get it from there too.
    """

    source: Taken | Literal["zero"] | None = None
    force: bool = False


def rules_of(
    tokens: Mapping[str, Any], position: Callable[[Any], int]
) -> dict[str, Rule]:
    """Rules for tokens from what mergekit's ``tokenizer: {tokens: …}`` holds.

    Args:
        tokens: By text, ``{"source": …, "force": …}``. A source is a reference to a
            model, ``{"kind": "zero"}``, or ``{"kind": "model_token", "model": …}`` with
            ``token`` or ``token_id``.
        position: Of the model that a reference means; raises what it likes for others.

    Raises:
        InputError: A key or a kind that is not known, or one that is missing.

    Example:
        >>> rules_of({"<pad>": {"source": {"kind": "zero"}}}, [].index)
        {'<pad>': Rule(source='zero', force=False)}
    """
    return {token: _rule(token, row, position) for token, row in tokens.items()}


def _rule(token: str, row: Any, position: Callable[[Any], int]) -> Rule:
    row = {} if row is None else row
    if not isinstance(row, Mapping):
        raise InputError(f"tokens: {token!r} must have a source or force, has {row!r}")
    _known(f"tokens: {token!r}", row, {"source", "force"})
    source, force = row.get("source"), row.get("force", False)
    if not isinstance(force, bool):
        raise InputError(f"tokens: {token!r}: force must be true or false")
    if not isinstance(source, Mapping) or "kind" not in source:
        return Rule(None if source is None else Taken(position(source)), force)
    where = f"tokens: {token!r}: source"
    if source["kind"] == "zero":
        _known(where, source, {"kind"})
        return Rule("zero", force)
    if source["kind"] != "model_token":
        kinds = nearest(str(source["kind"]), ("zero", "model_token"))
        raise InputError(f"{where}: unknown kind {source['kind']!r}: {kinds}")
    _known(where, source, {"kind", "model", "token", "token_id"})
    text, number = source.get("token"), source.get("token_id")
    if "model" not in source or (text is None) == (number is None):
        raise InputError(f"{where}: model_token needs a model and token or token_id")
    return Rule(Taken(position(source["model"]), text, number), force)


def _known(where: str, row: Mapping[str, Any], known: set[str]) -> None:
    for key in row:
        if key not in known:
            raise InputError(f"{where}: unknown key {key!r}: {nearest(key, known)}")
