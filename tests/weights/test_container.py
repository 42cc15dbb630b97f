"""The sealed header of a file."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load as read

from cases.weights import bits
from dale.errors import CorruptError, SchemaError
from dale.weights import digest, layout_of_weights
from dale.weights.container import Sealed, head, offsets, seal, unseal, write
from dale.weights.digest import raw

PATH = Path("net.safetensors")
WEIGHTS = {"b": torch.ones(3).bfloat16(), "a": torch.ones(2), "c": torch.ones(1).bool()}
SEALED = Sealed({"step": "1"}, {"head": "a"}, layout_of_weights(WEIGHTS), "0" * 64)


def test_unsealing_undoes_sealing() -> None:
    assert unseal(seal(SEALED), PATH) == SEALED


def test_files_of_others_have_no_seal() -> None:
    assert unseal({"format": "pt"}, PATH) == Sealed({"format": "pt"}, {}, None, None)


@pytest.mark.parametrize("name", sorted(seal(SEALED)))
@pytest.mark.parametrize("change", ["remove", "alter", "rename"])
def test_every_entry_is_under_the_seal(name: str, change: str) -> None:
    metadata = seal(SEALED)
    value = metadata.pop(name)
    if change == "alter":
        metadata[name] = value + " "
    elif change == "rename":
        metadata["x" + name] = value
    with pytest.raises(
        CorruptError, match=r"net.safetensors: the metadata was altered"
    ):
        unseal(metadata, PATH)


def test_a_schema_from_the_future() -> None:
    with pytest.raises(SchemaError, match="schema 12, but this version"):
        unseal(seal(SEALED) | {"dale.schema": "12"}, PATH)


def test_tensors_are_aligned_and_the_header_is_padded() -> None:
    file = io.BytesIO()
    write(file, WEIGHTS, {"b": "2", "a": "1"})
    content = file.getvalue()
    length = int.from_bytes(content[:8], "little")
    assert length % 8 == 0
    order = [content.index(text) for text in (b'"a":{', b'"b":{', b'"c":{')]
    assert order == sorted(order)
    assert bits(read(content)) == bits({name: WEIGHTS[name] for name in "abc"})


def test_a_file_can_be_written_in_any_order() -> None:
    whole, parts = io.BytesIO(), io.BytesIO()
    known = Sealed({"a": "1"}, {"head": "a"}, None, None)
    outline = {name: tensor.to("meta") for name, tensor in WEIGHTS.items()}
    start = len(head(outline, known))
    for name, place in reversed(offsets(outline).items()):
        parts.seek(start + place)
        parts.write(raw(WEIGHTS[name]))
    known = replace(known, digest=digest(WEIGHTS | {"head": WEIGHTS["a"]}))
    parts.seek(0)
    parts.write(head(outline, known))
    write(whole, WEIGHTS, seal(known))
    assert parts.getvalue() == whole.getvalue()
