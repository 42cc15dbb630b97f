"""Folders of ``torch.distributed.checkpoint``, read by one process, name by name."""

import io
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dale.errors import CorruptError, WeightsError
from dale.weights.checkpoint import chosen, plain
from dale.weights.layout import Entry, Layout, role_of
from dale.weights.match import listing
from dale.weights.stamp import Stamp, stamp_of_files

METADATA = ".metadata"
_ROOM = "torch.distributed."


class DistributedWeights(Mapping[str, Tensor]):
    """A folder that ``torch.distributed.checkpoint.save`` wrote, as a mapping.

    Opening reads the table of contents alone. Asking for a name puts its parts
    together, whatever the number of processes that wrote them; no process group is
    needed. The table is a pickle: it is read as plain records, and one that names
    anything but the classes of such tables is refused.

    Args:
        path: The folder, with a file ``.metadata``.
        key: Which entry holds the weights, as for `dale.weights.read_checkpoint`.

    Raises:
        WeightsError: No weights in it, several candidates, or an encoding that is not
            known.
        CorruptError: The table or a file of parts is truncated or missing.

    Attributes:
        path: As given.
        header: Empty; such folders carry no words.
        ties: Empty; tied tensors are stored under each of their names.

    Example:
        >>> import tempfile, warnings
        >>> import torch.distributed.checkpoint as dcp
        >>> folder = tempfile.mkdtemp()
        >>> content = {"model": {"w": torch.ones(2)}, "epoch": 3}
        >>> with warnings.catch_warnings(action="ignore"):
        ...     _ = dcp.save(content, checkpoint_id=folder, no_dist=True)
        >>> dict(DistributedWeights(folder))
        {'w': tensor([1., 1.])}
    """

    def __init__(self, path: str | Path, key: str | None = None) -> None:
        self.path = Path(path)
        self.header: dict[str, str] = {}
        self.ties: dict[str, str] = {}
        content = _contents(self.path)
        self._stored: dict[str, _Stored] = plain(
            chosen(content, key, self.path, _Stored), self.path
        )
        parts = [part for stored in self._stored.values() for part in stored.parts]
        files = sorted({part.file for part in parts})
        self._files, self._key = [METADATA, *files], key
        absent = [name for name in files if not (self.path / name).is_file()]
        if absent:
            raise CorruptError(f"{self.path}: files missing: {listing(absent)}")
        sizes = {name: (self.path / name).stat().st_size for name in files}
        cut = sorted({p.file for p in parts if p.start + p.length > sizes[p.file]})
        if cut:
            raise CorruptError(f"{self.path}: files cut short: {listing(cut)}")

    def __getitem__(self, name: str) -> Tensor:
        return self._stored[name].read(self.path, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def __contains__(self, name: object) -> bool:
        return name in self._stored

    @cached_property
    def layout(self) -> Layout:
        """Shapes, types and roles; no tensor is read."""
        return Layout(
            {
                name: Entry(stored.shape, stored.dtype, role_of(name, stored.dtype))
                for name, stored in self._stored.items()
            }
        )

    @cached_property
    def stamp(self) -> Stamp:
        """What it is recognised by later; see `dale.weights.stamp`."""
        return stamp_of_files((self.path / n for n in self._files), key=self._key)

    def close(self) -> None:
        """Nothing is held open."""


@dataclass(frozen=True)
class _Part:
    """A block of one tensor, and where its bytes are."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    file: str
    start: int
    length: int


@dataclass(frozen=True)
class _Stored:
    """One tensor as the table describes it."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    parts: tuple[_Part, ...]

    def read(self, folder: Path, name: str) -> Tensor:
        blocks = [self._block(folder, name, part) for part in self.parts]
        if len(blocks) == 1 and blocks[0].shape == self.shape:
            return blocks[0]
        whole = torch.empty(self.shape, dtype=self.dtype)
        for part, block in zip(self.parts, blocks, strict=True):
            window = zip(part.offsets, part.sizes, strict=True)
            whole[tuple(slice(at, at + size) for at, size in window)] = block
        return whole

    def _block(self, folder: Path, name: str, part: _Part) -> Tensor:
        path = folder / part.file
        try:
            with path.open("rb") as file:
                file.seek(part.start)
                content = file.read(part.length)
            block = torch.load(
                io.BytesIO(content), map_location="cpu", weights_only=True
            )
        except MemoryError:
            raise
        except Exception as error:  # damaged bytes fail in any way at all
            reason = str(error).split("\n", 1)[0]
            raise CorruptError(f"{path}: {name!r} is not whole: {reason}") from error
        found = (tuple(block.shape), block.dtype)
        if found != (part.sizes, self.dtype):
            raise CorruptError(
                f"{path}: {name!r} must have shape {part.sizes} and type {self.dtype}, "
                f"has {found[0]} and {found[1]}"
            )
        return block.detach()


def _contents(folder: Path) -> dict[str, Any]:
    """Stored tensors by name, in the dictionaries that were saved."""
    path = folder / METADATA
    try:
        table = _Reader(path).load().state
        places = {
            (index.state["fqn"], tuple(index.state.get("offset") or ())): info.state
            for index, info in table["storage_data"].items()
        }
        rows = {
            name: _stored(name, row.state, places, path)
            for name, row in table["state_dict_metadata"].items()
        }
        ways = table.get("planner_data") or {}
        return _nested(rows, {n: ways.get(n) or (n,) for n in rows})
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except (WeightsError, MemoryError):
        raise
    except Exception as error:  # damaged bytes fail in any way at all
        raise CorruptError(f"{path}: not a whole table of contents: {error}") from error


def _stored(
    name: str, row: dict[str, Any], places: Mapping[tuple, dict], path: Path
) -> "_Stored | None":
    if "chunks" not in row:
        return None
    parts = []
    for chunk in row["chunks"]:
        offsets = tuple(chunk.state["offsets"])
        info = places[name, offsets]
        if info.get("transform_descriptors"):
            how = listing(info["transform_descriptors"])
            raise WeightsError(f"{path}: {name!r} is stored by {how}, which is unknown")
        sizes, file = tuple(chunk.state["sizes"]), str(info["relative_path"])
        if Path(file).name != file:
            raise WeightsError(f"{path}: files must lie beside it: {file!r}")
        parts.append(_Part(offsets, sizes, file, info["offset"], info["length"]))
    dtype = row["properties"].state[0]
    return _Stored(tuple(row["size"]), dtype, tuple(parts))


def _nested(rows: Mapping[str, Any], ways: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, row in rows.items():
        *above, last = (str(step) for step in ways[name])
        place = tree
        for step in above:
            place = place.setdefault(step, {})
        place[last] = row
    return tree


class _Record:
    """Stands for an object of the table: what it was made of, and nothing that runs."""

    state: Any = ()

    def __init__(self, *values: Any) -> None:
        self.state = values

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Reader(pickle.Unpickler):
    """Reads a table of contents as records, tuples, numbers and text."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.BytesIO(path.read_bytes()))
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the table becomes; never anything that could do harm."""
        if module.startswith(_ROOM) and "." not in name:
            return _Record
        if module.partition(".")[0] == "pathlib":
            return _Record
        if (module, name) == ("torch.serialization", "_get_layout"):
            return _Record
        if (module, name) == ("torch", "Size"):
            return tuple
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        found = getattr(torch, name, None) if module == "torch" else None
        if isinstance(found, torch.dtype):
            return found
        raise WeightsError(
            f"{self._path}: a table of contents that names {module}.{name}, which dale "
            "never runs"
        )
