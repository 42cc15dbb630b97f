"""One writer for each run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dale.errors import DiskError, LockedError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has no fcntl
    fcntl = None  # type: ignore[assignment]


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold the run for writing until the block ends.

    The lock belongs to the process: the system releases it when the process ends,
    however it ends, so a killed run is never left locked.

    Args:
        folder: The run folder.

    Yields:
        Nothing.

    Raises:
        LockedError: Another process holds the run; its number is named.
        DiskError: The lock file cannot be made.
    """
    handle = _taken(folder)
    try:
        yield
    finally:
        os.close(handle)


def _taken(folder: Path) -> int:
    """The lock file, open and locked, which nobody has removed meanwhile."""
    path = folder / ".lock"
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise DiskError(f"could not write {path}: {error.strerror}") from error
        try:
            _acquire(handle, folder)
        except BaseException:
            os.close(handle)
            raise
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)


def _acquire(handle: int, folder: Path) -> None:
    if fcntl is None:  # pragma: no cover - Windows
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
        raise LockedError(
            f"{folder} is being written by another process (number {holder}); "
            "wait for it or use another folder"
        ) from error
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
    except OSError:
        pass  # the number only serves the message above; a full disk may refuse it
