"""Files that are either wholly there or not there at all."""

import errno
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from dale.errors import DiskError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
PARTIAL = ".partial"
"""Ending of a file that is still being written, or whose writer was killed."""

_UMASK = os.umask(0)
os.umask(_UMASK)
_MODE = 0o666 & ~_UMASK


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write beside `path`, then rename: readers see the old file or the new one.

    The file is flushed to the disk before the rename. If the block raises, the
    temporary file is removed and `path` is as it was.

    Args:
        path: File to create or replace. Its folder is created when missing.

    Yields:
        A temporary path in the same folder, to be written by the block.

    Raises:
        DiskError: The disk is full, read-only or otherwise refuses the write.

    Example:
        >>> import tempfile, pathlib
        >>> target = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
        >>> with replacing(target) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    path = Path(path)
    temporary: Path | None = None
    outcome = "nothing was lost"
    try:
        if path.exists():
            outcome = "the previous content is intact"
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        flush(temporary)
        os.chmod(temporary, _MODE)
        os.replace(temporary, path)
        temporary = None
        outcome = "the new content is there, but a power cut may still undo it"
        flush(path.parent)
    except Exception as error:
        reason = _refusal(error)
        if reason is None:
            raise
        raise DiskError(f"could not write {path}: {reason}; {outcome}") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()


def sweep(folder: str | os.PathLike[str]) -> None:
    """Remove what killed writers left behind; call it when nobody is writing."""
    for path in Path(folder).rglob(f".*{PARTIAL}"):
        with suppress(OSError):
            path.unlink()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace a text file atomically (UTF-8). Raises as `replacing` does."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_together(texts: Mapping[Path, str]) -> None:
    """Replace text files that belong together: all are written before any is renamed.

    A disk that is too full for one of them leaves every one as it was.

    Args:
        texts: Files and what they shall hold (UTF-8).

    Raises:
        DiskError: The disk refuses a write.

    Example:
        >>> import tempfile, pathlib
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> write_together({folder / "a.txt": "one", folder / "b.txt": "two"})
        >>> sorted(path.name for path in folder.iterdir())
        ['a.txt', 'b.txt']
    """
    with ExitStack() as stack:
        for path, text in texts.items():
            temporary = stack.enter_context(replacing(path))
            temporary.write_text(text, encoding="utf-8")
            # a full disk may be noticed only now, and must be before the renames
            flush(temporary)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk.

    Raises:
        OSError: The disk refused it.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refusal(error: Exception) -> str | None:
    """The operating system's reason, when that is what stopped a write."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    # safetensors reports what the system said as text, with its number
    text = str(error)
    if any(f"os error {code}" in text for code in (*_FULL, errno.EROFS, errno.EACCES)):
        return text
    return None
