"""By what weights in files are recognised later, without reading their tensors."""

import os
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from dale.errors import WeightsError
from dale.weights.match import Weights

Stamp = dict[str, Any]
"""Plain values, for JSON. Equal stamps are taken for equal content."""
_END = 1 << 20


def stamp_of_files(files: Iterable[Path], **how: Any) -> Stamp:
    """Of each file its size, its time of change and a digest of both of its ends.

    The ends, a mebibyte each, hold the header of a safetensors file, and the list of
    records of a PyTorch file with a checksum of each.

    Args:
        files: What the weights are read from.
        how: More that their values depend on, where it is not None.

    Raises:
        WeightsError: A file is gone or cannot be read.

    Example:
        >>> import os
        >>> path = Path("w.pt")
        >>> _ = path.write_bytes(b"abc")
        >>> os.utime(path, ns=(0, 0))
        >>> ((name, (size, changed, ends)),) = stamp_of_files([path]).items()
        >>> Path(name).name, size, changed, ends[:8]
        ('w.pt', 3, 0, 'ba7816bf')
    """
    found = {str(path.resolve()): _of_file(path) for path in files}
    return found | {name: value for name, value in how.items() if value is not None}


def _of_file(path: Path) -> list[int | str]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            changed = path.stat().st_mtime_ns
            file.seek(0)
            hashed = sha256(file.read(_END))
            file.seek(max(file.tell(), size - _END))
            hashed.update(file.read(_END))
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error
    return [size, changed, hashed.hexdigest()]


def altered(stamp: Stamp) -> Iterator[str]:
    """Files of a stamp whose size or time of change is another by now.

    Yields:
        Their paths.

    Example:
        >>> path = Path("w.pt")
        >>> _ = path.write_bytes(b"abc")
        >>> stamp = stamp_of_files([path])
        >>> [*altered(stamp)]
        []
        >>> _ = path.write_bytes(b"abcd")
        >>> [Path(name).name for name in altered({"view": "cut", "of": [stamp]})]
        ['w.pt']
    """
    for name, value in stamp.items():
        if name == "of":
            for below in value:
                yield from altered(below)
        elif isinstance(value, dict):
            yield from altered(value)
        elif os.path.isabs(name):
            try:
                state = os.stat(name)
            except OSError:
                yield name
                continue
            if [state.st_size, state.st_mtime_ns] != value[:2]:
                yield name


def stamp_of_view(view: str, weights: Sequence[Weights], **how: Any) -> Stamp | None:
    """For weights that are made of others when they are asked for.

    Args:
        view: What is done to them.
        weights: What they are made of.
        how: Everything else that they depend on, in plain values.

    Returns:
        The stamp; None if some of the weights have none, as those in memory have not.

    Example:
        >>> stamp_of_view("truncated", [{}], rows=5) is None
        True
    """
    stamps = [getattr(each, "stamp", None) for each in weights]
    if any(stamp is None for stamp in stamps):
        return None
    return {"view": view, "of": stamps, **how}
