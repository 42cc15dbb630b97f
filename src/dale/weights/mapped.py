"""Weights of PyTorch files, left there until they are used."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

from torch import Tensor

from dale.errors import CorruptError, WeightsError
from dale.weights.checkpoint import plain, read_checkpoint
from dale.weights.layout import Layout, layout_of_weights
from dale.weights.lazy import indexed
from dale.weights.match import listing, ties_of
from dale.weights.stamp import Stamp, stamp_of_files


class MappedWeights(Mapping[str, Tensor]):
    """Tensors of PyTorch files, left there until they are used.

    Args:
        tensors: Named tensors, backed by their files.
        header: Words found beside them.
        path: Where they are from.
        files: What is read when they are used.
        key: Which entry of the files holds them, if it was named.

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
        self,
        tensors: Mapping[str, Tensor],
        header: Mapping[str, str],
        path: Path,
        files: Sequence[Path] = (),
        key: str | None = None,
    ) -> None:
        self._tensors = dict(tensors)
        self.header = dict(header)
        self.path = path
        self._files, self._key = [*files], key
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
        path = files[0] if len(files) == 1 else files[0].parent
        return cls(tensors, header, path, files, key)

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

    @cached_property
    def stamp(self) -> Stamp | None:
        """What it is recognised by later; None if it is from no file."""
        return stamp_of_files(self._files, key=self._key) if self._files else None

    def close(self) -> None:
        """Let go of the files. Tensors already read stay valid."""
        self._tensors = {}


def read_shards(index: Path, key: str | None = None) -> MappedWeights:
    """Open the shards of an index such as ``pytorch_model.bin.index.json``.

    Raises:
        WeightsError: No such index, or a shard that is missing or lies elsewhere.
        CorruptError: A truncated shard, or names that are not those of the index.
    """
    files, promised, words = indexed(index)
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        raise WeightsError(f"{index}: shards missing: {listing(absent)}")
    if not files:
        raise CorruptError(f"{index}: an index without names")
    opened = MappedWeights.read(files, key)
    expected = plain(promised, index)
    if expected.keys() != opened.keys():
        lost, extra = expected.keys() - opened.keys(), opened.keys() - expected.keys()
        faults = [f"names in no shard: {listing(sorted(lost))}"] if lost else []
        faults += [f"names not in the index: {listing(sorted(extra))}"] if extra else []
        raise CorruptError(f"{index}: {'; '.join(faults)}")
    header = words | opened.header
    return MappedWeights(opened, header, index.parent, files, key)
