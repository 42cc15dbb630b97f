"""Any checkpoint as a read-only mapping: which reader a path needs."""

from pathlib import Path

from dale.errors import InputError, WeightsError
from dale.weights.checkpoint import SUFFIXES
from dale.weights.dcp import METADATA, DistributedWeights
from dale.weights.lazy import INDEX, LazyWeights
from dale.weights.lora import ADAPTER, AdaptedWeights, adapter_base
from dale.weights.mapped import MappedWeights, read_shards
from dale.weights.match import Weights, listing

BIN = "pytorch_model.bin"
BIN_INDEX = "pytorch_model.bin.index.json"


Opened = LazyWeights | MappedWeights | DistributedWeights | AdaptedWeights
"""Weights in files: a mapping with a layout, ties, a header and `close`."""


def open_weights(path: str | Path, key: str | None = None) -> Opened:
    """Open any checkpoint; its tensors stay in their files until they are asked for.

    A folder is opened by the first of these that it holds: the index of safetensors
    shards, ``model.safetensors``, the index of PyTorch shards, ``pytorch_model.bin``,
    the table of ``torch.distributed.checkpoint``, an adapter, one single safetensors
    file, one single PyTorch file. An adapter is added to the base that its
    configuration names, if that is a local path; `adapted` adds it to any other.

    Args:
        path: A safetensors file, a PyTorch file, an index of either, or a folder.
        key: Which entry of a PyTorch file or a distributed checkpoint holds the
            weights, dots for nested ones, when several could.

    Returns:
        A read-only mapping from names to tensors.

    Raises:
        WeightsError: Nothing readable at this path, entries that are not tensors,
            several candidates, or an adapter whose base is elsewhere.
        InputError: A key for safetensors, which have no entries.
        CorruptError: Truncated, altered or not what the name says.
        SchemaError: A newer version of dale wrote the file.

    Example:
        >>> import tempfile, torch
        >>> path = Path(tempfile.mkdtemp()) / "net.ckpt"
        >>> torch.save({"state_dict": {"module.w": torch.ones(2)}, "epoch": 3}, path)
        >>> weights = open_weights(path)
        >>> weights.layout["w"].shape, weights["w"]
        ((2,), tensor([1., 1.]))
    """
    path = Path(path)
    reader = _in_folder(path) if path.is_dir() else path
    if reader.name == METADATA:
        return DistributedWeights(reader.parent, key)
    if reader.name == ADAPTER:
        return AdaptedWeights(open_weights(adapter_base(path), key), path)
    if reader.name.endswith(".bin.index.json"):
        return read_shards(reader, key)
    if reader.suffix in SUFFIXES:
        return MappedWeights.read([reader], key)
    if key is not None:
        raise InputError(f"{path}: safetensors have no entries; got the key {key!r}")
    return LazyWeights(reader)


def _in_folder(folder: Path) -> Path:
    """The file that a folder is opened by."""
    known = (INDEX, "model.safetensors", BIN_INDEX, BIN, METADATA, ADAPTER)
    for name in known:
        if (folder / name).is_file():
            return folder / name
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for suffixes in ({".safetensors"}, SUFFIXES):
        found = [path for path in files if path.suffix in suffixes]
        if len(found) == 1:
            return found[0]
        if found:
            raise WeightsError(
                f"{folder}: expected model.safetensors, {INDEX} or one file of weights,"
                f" found {listing(path.name for path in found)}"
            )
    held = listing(path.name for path in files) or "none"
    raise WeightsError(f"{folder}: expected a file of weights, found {held}")


def adapted(base: Weights | str | Path, adapter: str | Path) -> AdaptedWeights:
    """A model and a LoRA adapter as one model; see `AdaptedWeights`.

    Args:
        base: Named tensors, or the path of a checkpoint of any kind.
        adapter: A folder that PEFT wrote.

    Raises:
        WeightsError: Nothing readable at a path, or an adapter that does not fit the
            base or cannot be merged.
        CorruptError: A file is truncated or altered.
    """
    opened = open_weights(base) if isinstance(base, str | Path) else base
    return AdaptedWeights(opened, adapter)
