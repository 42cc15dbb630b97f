"""The training log: a file of JSON lines whose beginning a saved state vouches for."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from dale.errors import CorruptError, DiskError
from dale.store.sealed import finite


class Log:
    """A file of JSON lines that can be cut back to an earlier length.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def digest(self) -> str:
        """SHA-256 of all bytes."""
        return sha256(self._bytes()).hexdigest()

    def check(self, size: int, digest: str | None = None) -> None:
        """Hold the beginning of the log against what was known of it.

        Args:
            size: Bytes that it had.
            digest: Their SHA-256, or None where it was not recorded.

        Raises:
            CorruptError: The log is missing or shorter, or these bytes were altered.
        """
        found = self._bytes()[:size]
        if len(found) < size:
            how = f"was cut: it has {len(found)} bytes of at least {size}"
            if not self.path.exists():
                how = "is missing"
            raise CorruptError(f"{self.path} {how}")
        if digest is not None and sha256(found).hexdigest() != digest:
            raise CorruptError(
                f"{self.path} was altered: its first {size} bytes do not match their "
                "digest"
            )

    def before(self, trajectory: str) -> int:
        """Bytes before the first line that is of this trajectory, or is no record."""
        size = 0
        for line in self._bytes().splitlines(keepends=True):
            if _trajectory(line) in (None, trajectory):
                break
            size += len(line)
        return size

    def cut(self, size: int) -> None:
        """Forget what was written after an earlier length."""
        if size < self.size:
            with self._open("r+b") as file:
                file.truncate(size)

    def add(self, record: Mapping[str, Any]) -> None:
        """Append one line."""
        with self._open("ab") as file:
            file.write(json.dumps(finite(record)).encode() + b"\n")

    def sync(self) -> None:
        """Make sure that the lines so far are on the disk."""
        if self.path.exists():
            with self._open("ab") as file:
                os.fsync(file.fileno())

    def _bytes(self) -> bytes:
        return self.path.read_bytes() if self.path.exists() else b""

    @contextmanager
    def _open(self, mode: str) -> Iterator[IO[bytes]]:
        try:
            with open(self.path, mode) as file:
                yield file
        except OSError as error:
            raise DiskError(f"could not write {self.path}: {error.strerror}") from error


def _trajectory(line: bytes) -> str | None:
    """Whose line it is; None when it is half-written or no record of training."""
    try:
        return json.loads(line)["trajectory"] if line.endswith(b"\n") else None
    except (ValueError, TypeError, KeyError):
        return None
