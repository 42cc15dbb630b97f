"""Weights that stay on the disk until a name is asked for."""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from safetensors import SafetensorError, safe_open
from torch import Tensor

from dale.errors import CorruptError, WeightsError
from dale.weights.container import DTYPES, Sealed, unseal
from dale.weights.digest import digest_rows, row_of
from dale.weights.layout import Entry, Layout, Role, role_of
from dale.weights.match import Weights, listing
from dale.weights.stamp import Stamp, stamp_of_files

INDEX = "model.safetensors.index.json"


class LazyWeights(Mapping[str, Tensor]):
    """A safetensors file, or a folder of shards, as a read-only mapping.

    Opening reads headers only. Asking for a name gives a tensor that the operating
    system pages in from the file, on the CPU; asking again reads again, so memory is
    bounded by what the caller keeps. Writing to such a tensor never reaches the file.

    Args:
        path: A ``.safetensors`` file, or a folder with ``model.safetensors``, with
            shards and their ``model.safetensors.index.json``, or with one single
            safetensors file.

    Raises:
        WeightsError: Nothing to read at this path.
        CorruptError: A file is truncated, altered, or not what the index promises.
        SchemaError: A newer version of dale wrote the file.

    Attributes:
        path: As given.
        header: Text entries of the file, or of the index and the first shard.
        ties: Names that are stored once under another name, and that name.

    Example:
        >>> import tempfile, torch
        >>> from dale.weights import save
        >>> path = Path(tempfile.mkdtemp()) / "net.safetensors"
        >>> _ = save(path, {"w": torch.ones(2)}, {"made": "by hand"})
        >>> lazy = LazyWeights(path)
        >>> lazy["w"], lazy.header, lazy.layout["w"].shape
        (tensor([1., 1.]), {'made': 'by hand'}, (2,))
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        files, promised, words = _files(self.path)
        self._shards = [_Shard(file) for file in files]
        self._home = {n: shard for shard in self._shards for n in shard.stored}
        _check_index(self.path, promised, self._shards)
        self.ties: dict[str, str] = {}
        for shard in self._shards:
            self.ties |= shard.sealed.ties
        first = self._shards[0].sealed.header if self._shards else {}
        self.header = first | words
        self._names = self._order()

    def _order(self) -> list[str]:
        known = [s.sealed.layout for s in self._shards if s.sealed.layout is not None]
        names = dict.fromkeys(name for layout in known for name in layout)
        return list(names | dict.fromkeys(sorted([*self._home, *self.ties])))

    def __getitem__(self, name: str) -> Tensor:
        stored = self.ties.get(name, name)
        return self._home[stored].read(stored)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._home or name in self.ties

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def file_of(self, name: str) -> Path:
        """The file that holds a tensor."""
        return self._home[self.ties.get(name, name)].path

    def close(self) -> None:
        """Let go of the files. Tensors already read stay valid."""
        for shard in self._shards:
            shard.handle = None

    @cached_property
    def layout(self) -> Layout:
        """Shapes, types, roles and ties; no tensor is read."""
        known: dict[str, Entry] = {}
        for shard in self._shards:
            known |= shard.sealed.layout or {}
        leaders = set(self.ties.values())
        entries = {}
        for name in self._names:
            stored = self.ties.get(name, name)
            tie = stored if stored in leaders else None
            role = known[name].role if name in known else None
            entries[name] = self._home[stored].entry(name, stored, tie, role)
        return Layout(entries)

    @cached_property
    def stamp(self) -> Stamp:
        """What it is recognised by later; see `dale.weights.stamp`."""
        return stamp_of_files(shard.path for shard in self._shards)

    def verify(self, weights: Weights | None = None) -> None:
        """Compare the content with the digest that each file carries, if it does.

        Args:
            weights: What was read from here, when it was; read again otherwise.

        Raises:
            CorruptError: The content is not what was written.
        """
        weights = self if weights is None else weights
        for shard in self._shards:
            expected = shard.sealed.digest
            if expected is None:
                continue
            names = [*shard.stored, *shard.sealed.ties]
            actual = digest_rows(row_of(name, weights[name]) for name in names)
            if actual != expected:
                raise CorruptError(
                    f"{shard.path}: the content was altered; digest {actual[:12]}, "
                    f"expected {expected[:12]}"
                )


class _Shard:
    """One open safetensors file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handle: Any = _open(path)
        self.stored: list[str] = list(self.handle.keys())
        self.sealed: Sealed = unseal(self.handle.metadata() or {}, path)
        lost = {*self.sealed.ties.values()} - {*self.stored}
        if lost:
            raise CorruptError(f"{path}: tied names not stored: {listing(lost)}")

    def read(self, name: str) -> Tensor:
        if self.handle is None:
            raise WeightsError(f"{self.path} was closed; {name!r} cannot be read")
        try:
            return self.handle.get_tensor(name)
        except SafetensorError as error:
            raise CorruptError(f"{self.path}: {name!r}: {error}") from error

    def entry(
        self, name: str, stored: str, tie: str | None, role: Role | None
    ) -> Entry:
        if self.handle is None:
            raise WeightsError(f"{self.path} was closed; {name!r} cannot be read")
        part = self.handle.get_slice(stored)
        dtype = DTYPES.get(part.get_dtype())
        if dtype is None:
            raise WeightsError(f"{self.path}: {name!r} has type {part.get_dtype()}")
        kind = role_of(name, dtype) if role is None else role
        return Entry(tuple(part.get_shape()), dtype, kind, tie)


def _open(path: Path) -> Any:
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise CorruptError(f"{path}: the file is empty")
    try:
        return safe_open(str(path), framework="pt", device="cpu")
    except SafetensorError as error:
        raise CorruptError(f"{path}: not a whole safetensors file: {error}") from error
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error}") from error


def _files(path: Path) -> tuple[list[Path], dict[str, str], dict[str, str]]:
    """Files to open, the file that an index promises for each name, its metadata."""
    if path.name.endswith(".index.json"):
        return indexed(path)
    if not path.is_dir():
        return [path], {}, {}
    if (path / INDEX).is_file():
        return indexed(path / INDEX)
    found = sorted(path.glob("*.safetensors"))
    one = [file for file in found if file.name == "model.safetensors"] or found
    if len(one) != 1:
        raise WeightsError(
            f"{path}: expected model.safetensors, {INDEX} or one safetensors file, "
            f"found {listing(file.name for file in found) or 'none'}"
        )
    return one, {}, {}


def indexed(path: Path) -> tuple[list[Path], dict[str, str], dict[str, str]]:
    """Shards of an index, the shard that it promises for each name, its metadata.

    Raises:
        WeightsError: No such file, or shards that lie elsewhere.
        CorruptError: Not an index of shards.
    """
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        promised = {str(n): str(file) for n, file in index["weight_map"].items()}
        words = {str(k): str(v) for k, v in index.get("metadata", {}).items()}
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptError(f"{path}: not an index of shards: {error!r}") from error
    names = sorted(set(promised.values()))
    outside = [name for name in names if Path(name).name != name]
    if outside:
        raise WeightsError(f"{path}: shards must lie beside it: {listing(outside)}")
    return [path.parent / name for name in names], promised, words


def _check_index(path: Path, promised: dict[str, str], shards: list[_Shard]) -> None:
    if not promised:
        return
    held = {(n, s.path.name) for s in shards for n in (*s.stored, *s.sealed.ties)}
    lost = sorted(promised.items() - held)
    if lost:
        raise CorruptError(
            f"{path}: names not in the shard that the index says: "
            f"{listing(f'{name} in {file}' for name, file in lost)}"
        )
    extra = {n for s in shards for n in s.stored} - promised.keys()
    if extra:
        raise CorruptError(f"{path}: names not in the index: {listing(sorted(extra))}")
