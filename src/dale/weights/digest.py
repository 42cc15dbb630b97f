"""A content digest of weights: equal exactly when names, types, shapes and bytes are.

The digest has two levels, one hash for each tensor and one over the sorted table of
them, so that a file written tensor by tensor, in any order, can be digested on the way.
"""

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256

import torch
from torch import Tensor

from dale.errors import WeightsError
from dale.weights.match import Weights


def digest(weights: Weights) -> str:
    """SHA-256 over the sorted table of (name, type, shape, hash of the bytes).

    Neither the order of the names, nor the device, nor memory layout, nor ties play a
    part; negative zero differs from zero and NaN payloads count, as bytes do.

    Args:
        weights: Named dense tensors of any type. Read one at a time.

    Returns:
        64 hexadecimal digits.

    Raises:
        WeightsError: A tensor is sparse, quantised or without data.

    Example:
        >>> weights = {"b": torch.zeros(1), "a": torch.ones(2)}
        >>> digest(weights) == digest(dict(sorted(weights.items())))
        True
        >>> digest(weights) == digest(weights | {"a": -weights["a"]})
        False
    """
    return digest_rows(row_of(name, weights[name]) for name in weights)


def digest_arrays(*tensors: Tensor) -> str:
    """SHA-256 of tensors without names, in the order given.

    Args:
        tensors: Dense tensors of any type.

    Returns:
        64 hexadecimal digits.

    Raises:
        WeightsError: A tensor is sparse, quantised or without data.

    Example:
        >>> digest_arrays(torch.zeros(2)) == digest_arrays(torch.zeros(1, 2))
        False
    """
    return digest({f"{position:09d}": t for position, t in enumerate(tensors)})


def row_of(name: str, tensor: Tensor) -> str:
    """One line of the table that `digest` hashes."""
    try:
        hashed = sha256(raw(tensor)).hexdigest()
    except WeightsError as error:
        raise WeightsError(f"{name!r}: {error}") from None
    return row(name, tensor.dtype, tensor.shape, hashed)


def row(name: str, dtype: torch.dtype, shape: Sequence[int], hashed: str) -> str:
    """The same of a tensor whose bytes have this hash."""
    return json.dumps([name, str(dtype).split(".")[1], [*shape], hashed])


def digest_rows(rows: Iterable[str]) -> str:
    """The digest of the weights whose tensors gave these rows, in any order."""
    return sha256("\n".join(sorted(rows)).encode()).hexdigest()


def raw(tensor: Tensor) -> memoryview:
    r"""The bytes of a tensor in row-major order, without a copy where possible.

    Args:
        tensor: A dense tensor on any device.

    Returns:
        Read the view before the tensor changes: it may share the memory.

    Raises:
        WeightsError: The tensor is sparse, quantised or without data.

    Example:
        >>> bytes(raw(torch.tensor([1, 2], dtype=torch.uint8)))
        b'\x01\x02'
    """
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise WeightsError(f"a dense tensor is needed, this one is {tensor.layout}")
    if tensor.device.type == "meta":
        raise WeightsError("a tensor with data is needed, this one is on 'meta'")
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    # a single element may have any stride and still be contiguous
    flat = plain.as_strided((plain.numel(),), (1,))
    return flat.view(torch.uint8).numpy().data
