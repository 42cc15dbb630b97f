"""The file itself: safetensors with a sealed header.

What dale adds to a safetensors file stands under ``dale.`` in its metadata: the schema
version, which names are tied, the layout when known, the content digest, and a seal
over all metadata. Any safetensors reader reads the file; equal content gives equal
bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from dale.errors import CorruptError, SchemaError, WeightsError
from dale.weights.digest import raw
from dale.weights.layout import Layout
from dale.weights.match import Weights, listing

SCHEMA = 1
_OURS = "dale."
_CODES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.complex64: "C64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e4m3fnuz: "F8_E4M3FNUZ",
    torch.float8_e5m2: "F8_E5M2",
    torch.float8_e5m2fnuz: "F8_E5M2FNUZ",
}
DTYPES = {code: dtype for dtype, code in _CODES.items()}


@dataclass(frozen=True)
class Sealed:
    """What the metadata of one file says.

    Attributes:
        header: The user's own words.
        ties: Names that are not stored, and the stored name whose tensor they share.
        layout: The layout, when it was stored.
        digest: Content digest, ties included; missing in files not written by dale.
    """

    header: dict[str, str]
    ties: dict[str, str]
    layout: Layout | None
    digest: str | None


def seal(sealed: Sealed) -> dict[str, str]:
    """Metadata of a file: the header, and dale's own entries.

    Raises:
        WeightsError: A header entry is not text or has a name of dale's own.
    """
    odd = [k for k, v in sealed.header.items() if not isinstance(v, str)]
    if odd or not all(isinstance(key, str) for key in sealed.header):
        raise WeightsError(f"header names and values must be text: {listing(odd)}")
    taken = [key for key in sealed.header if key.startswith(_OURS)]
    if taken:
        raise WeightsError(f"header names must not begin with {_OURS!r}: {taken}")
    metadata = dict(sealed.header) | {f"{_OURS}schema": str(SCHEMA)}
    if sealed.ties:
        metadata[f"{_OURS}ties"] = json.dumps(sealed.ties, sort_keys=True)
    if sealed.layout is not None:
        metadata[f"{_OURS}layout"] = sealed.layout.to_json()
    if sealed.digest is not None:
        metadata[f"{_OURS}digest"] = sealed.digest
    return metadata | {f"{_OURS}seal": _hash(metadata)}


def unseal(metadata: Mapping[str, str], path: Path) -> Sealed:
    """What `seal` was given, checked.

    Raises:
        SchemaError: A newer version of dale wrote the file.
        CorruptError: The metadata was altered.
    """
    header = {k: v for k, v in metadata.items() if not k.startswith(_OURS)}
    ours = {k.removeprefix(_OURS): v for k, v in metadata.items() if k not in header}
    if not ours:
        return Sealed(header, {}, None, None)
    schema = ours.get("schema", "")
    if schema.isdecimal() and int(schema) > SCHEMA:
        raise SchemaError(
            f"{path}: schema {schema}, but this version of dale reads {SCHEMA} or older"
        )
    rest = {k: v for k, v in metadata.items() if k != f"{_OURS}seal"}
    if ours.get("seal") != _hash(rest):
        raise CorruptError(f"{path}: the metadata was altered; its seal does not match")
    layout = Layout.from_json(ours["layout"]) if "layout" in ours else None
    return Sealed(header, json.loads(ours.get("ties", "{}")), layout, ours["digest"])


def _hash(metadata: Mapping[str, str]) -> str:
    return sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()


def write(file: BinaryIO, weights: Weights, metadata: Mapping[str, str]) -> None:
    """Write tensors in the safetensors format, one in memory at a time.

    Wider types come first, so that every tensor is aligned, and names are sorted.

    Args:
        file: Open for writing bytes, at its beginning.
        weights: Dense tensors.
        metadata: Text entries of the file's header.

    Raises:
        WeightsError: A name or a type cannot be stored.
    """
    file.write(_head(weights, metadata))
    for name in order(weights):
        file.write(raw(weights[name]))


def head(weights: Mapping[str, Tensor], sealed: Sealed) -> bytes:
    """The beginning of a file, of a length that its digest does not change.

    Args:
        weights: Shape and type of every stored tensor; values play no part.
        sealed: What the metadata says; a digest that is not known yet is held open.

    Raises:
        WeightsError: A name, a type or a header entry cannot be stored.
    """
    known = sealed.digest or "0" * 64
    return _head(weights, seal(replace(sealed, digest=known)))


def offsets(weights: Mapping[str, Tensor]) -> dict[str, int]:
    """Where the bytes of each tensor begin, counted from the end of the head."""
    found, end = {}, 0
    for name in order(weights):
        found[name] = end
        end += weights[name].numel() * weights[name].dtype.itemsize
    return found


def order(weights: Mapping[str, Tensor]) -> list[str]:
    """Names as they follow each other in a file."""
    return sorted(weights, key=lambda name: (-weights[name].dtype.itemsize, name))


def _head(weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    table: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for name in order(weights):
        tensor = weights[name]
        start, end = end, end + tensor.numel() * tensor.dtype.itemsize
        code = _code(name, tensor.dtype)
        shape = list(tensor.shape)
        table[name] = {"dtype": code, "shape": shape, "data_offsets": [start, end]}
    try:
        text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise WeightsError(f"a name or header entry is not Unicode: {error}") from None
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _code(name: str, dtype: torch.dtype) -> str:
    if name == "__metadata__":
        raise WeightsError("a tensor cannot be called '__metadata__' in safetensors")
    if dtype not in _CODES:
        raise WeightsError(f"{name!r}: safetensors has no type for {dtype}")
    return _CODES[dtype]
