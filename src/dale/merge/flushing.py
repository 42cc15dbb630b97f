"""Bringing files to the disk while they are being written."""

import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from dale.files import flush

_STEP = 1 << 26
"""So many bytes of a file are left to the operating system before it is flushed."""


class Flusher:
    """Flushes files in a thread of its own, as they grow.

    The disk works while tensors are made, so that little is left to wait for when the
    files must be there. Close them after the end of the block, not before.

    Example:
        >>> handle = os.open("large", os.O_RDWR | os.O_CREAT)
        >>> with Flusher() as flusher:
        ...     flusher.wrote(handle, os.pwrite(handle, b"whole", 0))
        ...     flusher.finish(handle)
        >>> os.close(handle)
    """

    def __init__(self) -> None:
        self._pool, self._lock = ThreadPoolExecutor(1), Lock()
        self._waiting: dict[int, int] = {}
        self._pending: list[Future[None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def wrote(self, handle: int, size: int) -> None:
        """So many bytes more were written; returns at once."""
        with self._lock:
            self._waiting[handle] = self._waiting.get(handle, 0) + size
            if self._waiting[handle] >= _STEP:
                self._waiting[handle] = 0
                self._pending.append(self._pool.submit(os.fsync, handle))

    def finish(self, handle: int) -> None:
        """Wait until all that was written to a file is on the disk.

        Raises:
            OSError: The disk refused some of it, now or earlier.
        """
        for future in self._pending:
            future.result()
        os.fsync(handle)


def put(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write small files, and flush them and the folders that they lie in.

    Args:
        folder: Where they lie.
        files: Content by path, relative to it.

    Raises:
        OSError: The disk refused a write.
    """
    places = {folder}
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        flush(path)
        places |= {place for place in path.parents if folder in place.parents}
        places.add(path.parent)
    for place in sorted(places, reverse=True):
        flush(place)
