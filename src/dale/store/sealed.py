"""JSON files that say what they are, which version, and whether they are intact."""

import json
import math
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from dale.errors import CorruptError, SchemaError, StoreError
from dale.files import write_text

SCHEMA = 1
"""Version of every file that a run holds."""


def finite(value: Any) -> Any:
    """The same JSON value with NaN and infinities replaced by null.

    Example:
        >>> finite({"a": [1.0, float("nan")]})
        {'a': [1.0, None]}
    """
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(name): finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def write(path: Path, kind: str, content: Mapping[str, Any]) -> None:
    """Write a sealed JSON file atomically.

    Args:
        path: The file.
        kind: What the file is, such as ``"population"``.
        content: JSON values; numbers that are not finite become null.
    """
    body = finite(content)
    head = {"schema": SCHEMA, "kind": kind, "digest": _digest(kind, body)}
    write_text(path, json.dumps({**head, **body}, indent=1) + "\n")


def read(path: Path, kind: str) -> dict[str, Any]:
    """Read a sealed JSON file.

    Args:
        path: The file.
        kind: What the file must be.

    Returns:
        The content without the seal.

    Raises:
        StoreError: The file is missing or of another kind.
        CorruptError: The file is truncated or was altered.
        SchemaError: The file was written by a newer dale.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StoreError(f"{path} is missing") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CorruptError(f"{path} is truncated or not JSON: {error}") from error
    if not isinstance(document, dict):
        raise CorruptError(f"{path} does not hold a JSON object")
    schema = document.pop("schema", None)
    if isinstance(schema, int) and schema > SCHEMA:
        raise SchemaError(
            f"{path} has schema {schema}; this dale reads up to {SCHEMA}: "
            "a newer dale wrote it"
        )
    found, digest = document.pop("kind", None), document.pop("digest", None)
    if digest != _digest(str(found), document) or schema != SCHEMA:
        raise CorruptError(f"{path} was altered: its content does not match its seal")
    if found != kind:
        raise StoreError(f"{path} is a {found} file; expected a {kind} file")
    return document


def _digest(kind: str, content: Mapping[str, Any]) -> str:
    text = json.dumps([kind, content], sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()
