"""Any checkpoint as a read-only mapping: which reader a path needs."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Self

from torch import Tensor

from dale.errors import CorruptError, InputError, WeightsError
from dale.weights.checkpoint import SUFFIXES, plain, read_checkpoint
from dale.weights.dcp import METADATA, DistributedWeights
from dale.weights.layout import Layout, layout_of_weights
from dale.weights.lazy import INDEX, LazyWeights, indexed
from dale.weights.match import listing, ties_of

BIN = "pytorch_model.bin"
BIN_INDEX = "pytorch_model.bin.index.json"
ADAPTER = "adapter_config.json"


class MappedWeights(Mapping[str, Tensor]):
    """Tensors of PyTorch files, left there until they are used.

    Args:
        tensors: Named tensors, backed by their files.
        header: Words found beside them.
        path: Where they are from.

    Attributes:
        path: As given.
        header: As given.
        ties: Names that share the tensor of an earlier name, and that name.

    Example:
        >>> import tempfile, torch
        >>> path = Path(tempfile.mkdtemp()) / "net.pt"
        >>> torch.save({"w": torch.ones(2)}, path)
        >>> MappedWeights.read([path]).layout["w"].shape
        (2,)
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], header: Mapping[str, str], path: Path
    ) -> None:
        self._tensors = dict(tensors)
        self.header = dict(header)
        self.path = path
        self.ties = ties_of(self._tensors)

    @classmethod
    def read(cls, files: list[Path], key: str | None = None) -> Self:
        """Open one file, or several that hold different names.

        Raises:
            WeightsError: No such file, or content that is not named tensors.
            CorruptError: A truncated file, or one name in two of them.
        """
        tensors: dict[str, Tensor] = {}
        header: dict[str, str] = {}
        for file in files:
            found, words = read_checkpoint(file, key, mapped=True)
            if twice := found.keys() & tensors.keys():
                names = listing(sorted(twice))
                raise CorruptError(f"{file}: names of another shard: {names}")
            tensors |= found
            header |= words
        return cls(tensors, header, files[0] if len(files) == 1 else files[0].parent)

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    @cached_property
    def layout(self) -> Layout:
        """Shapes, types, roles and ties; no value is read."""
        return layout_of_weights(self._tensors)

    def close(self) -> None:
        """Let go of the files. Tensors already read stay valid."""
        self._tensors = {}


Opened = LazyWeights | MappedWeights | DistributedWeights
"""Weights in files: a mapping with a layout, ties, a header and `close`."""


def open_weights(path: str | Path, key: str | None = None) -> Opened:
    """Open any checkpoint; its tensors stay in their files until they are asked for.

    A folder is opened by the first of these that it holds: the index of safetensors
    shards, ``model.safetensors``, the index of PyTorch shards, ``pytorch_model.bin``,
    the table of ``torch.distributed.checkpoint``, one single safetensors file, one
    single PyTorch file.

    Args:
        path: A safetensors file, a PyTorch file, an index of either, or a folder.
        key: Which entry of a PyTorch file or a distributed checkpoint holds the
            weights, dots for nested ones, when several could.

    Returns:
        A read-only mapping from names to tensors.

    Raises:
        WeightsError: Nothing readable at this path, entries that are not tensors,
            several candidates, or an adapter, which is no model by itself.
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
    if reader.name.endswith(".bin.index.json"):
        return _sharded(reader, key)
    if reader.suffix in SUFFIXES:
        return MappedWeights.read([reader], key)
    if key is not None:
        raise InputError(f"{path}: safetensors have no entries; got the key {key!r}")
    return LazyWeights(reader)


def _in_folder(folder: Path) -> Path:
    """The file that a folder is opened by."""
    known = (INDEX, "model.safetensors", BIN_INDEX, BIN, METADATA)
    for name in known:
        if (folder / name).is_file():
            return folder / name
    if (folder / ADAPTER).is_file():
        raise WeightsError(
            f"{folder}: an adapter, which is no model by itself; give it with its base"
        )
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


def _sharded(index: Path, key: str | None) -> MappedWeights:
    files, promised, words = indexed(index)
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        raise WeightsError(f"{index}: shards missing: {listing(absent)}")
    opened = MappedWeights.read(files, key)
    expected = plain(promised, index)
    if expected.keys() != opened.keys():
        lost, extra = expected.keys() - opened.keys(), opened.keys() - expected.keys()
        faults = [f"names in no shard: {listing(sorted(lost))}"] if lost else []
        faults += [f"names not in the index: {listing(sorted(extra))}"] if extra else []
        raise CorruptError(f"{index}: {'; '.join(faults)}")
    return MappedWeights(opened, words | opened.header, index.parent)
