"""Checkpoints: everything a resume needs, as named tensors and JSON.

A state is a nested structure of mappings, lists, tensors and JSON values. `pack`
takes the tensors out and leaves their names behind, so that the file is a
safetensors file; nothing is ever unpickled. The file is sealed with digests and
replaced atomically: a resume reads the state of one moment or none.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from dale import weights as w
from dale.errors import CorruptError

_TENSOR, _ITEMS = "tensor", "items"


def pack(state: Any) -> tuple[dict[str, Tensor], Any]:
    """Split a state into named tensors and a JSON skeleton.

    Args:
        state: Mappings (with string or integer keys), lists, tensors, JSON values.

    Returns:
        The tensors by path, and the skeleton that refers to them.

    Example:
        >>> import torch
        >>> tensors, skeleton = pack({"a": [torch.ones(2), 3]})
        >>> list(tensors)
        ['a.0']
        >>> unpack(tensors, skeleton)
        {'a': [tensor([1., 1.]), 3]}
    """
    tensors: dict[str, Tensor] = {}

    def take(value: Any, path: str) -> Any:
        if isinstance(value, Tensor):
            tensors[path] = value
            return {_TENSOR: path}
        if isinstance(value, Mapping):
            # pairs, not an object: JSON would turn integer keys into text
            return {
                _ITEMS: [
                    [name, take(item, f"{path}.{name}" if path else str(name))]
                    for name, item in value.items()
                ]
            }
        if isinstance(value, (list, tuple)):
            return [take(item, f"{path}.{i}") for i, item in enumerate(value)]
        return value

    return tensors, take(state, "")


def unpack(tensors: Mapping[str, Tensor], skeleton: Any) -> Any:
    """The inverse of `pack`."""

    def put(value: Any) -> Any:
        if isinstance(value, list):
            return [put(item) for item in value]
        if isinstance(value, dict):
            if _TENSOR in value:
                return tensors[value[_TENSOR]]
            return {name: put(item) for name, item in value[_ITEMS]}
        return value

    return put(skeleton)


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state atomically.

    Args:
        path: The file.
        state: What to keep; see `pack`.
    """
    tensors, skeleton = pack(state)
    w.save(path, tensors, {"state": json.dumps(skeleton)})


def load_state(path: Path) -> dict[str, Any] | None:
    """Read a state.

    Args:
        path: The file.

    Returns:
        The state, or None when there is no file.

    Raises:
        CorruptError: The file is truncated or altered.
    """
    if not path.exists():
        return None
    tensors, header = w.load(path)
    if "state" not in header:
        raise CorruptError(f"{path} is not a saved state")
    return unpack(tensors, json.loads(header["state"]))
