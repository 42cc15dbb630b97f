"""A result in the making, beside its name, that survives its maker.

The folder ``.NAME.partial`` holds the files as far as they are written, and a journal:
a line that says what is being made, and a line for each tensor that is whole. A merge
that was killed goes on from there when the same one is asked for again.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

from dale.errors import DiskError, InputError, StoreError
from dale.files import PARTIAL, sweep
from dale.merge.place import unfinished_at
from dale.store.lock import writing

FILES = "files"
"""The folder in it that takes the final name."""
_JOURNAL = "journal.jsonl"


class Journal:
    """Which tensors are whole.

    Args:
        path: The file.
        plan: Digest of what is being made; None if that cannot be known.

    Attributes:
        known: Hash of every tensor that was whole when an earlier process ended.
        mine: Whether there was a journal of the same.
        stale: Whether there was one of something else.
    """

    def __init__(self, path: Path, plan: str | None) -> None:
        self._path, self._lock = path, Lock()
        lines = _lines(path)
        mine = plan is not None and bool(lines) and lines[0] == {"plan": plan}
        self.known = {x["name"]: x["sha256"] for x in lines[1:]} if mine else {}
        self.mine, self.stale = mine, path.exists() and not mine
        self._plan = plan

    def begin(self) -> None:
        """Start anew, with what is known."""
        lines: list[dict[str, Any]] = [{"plan": self._plan}]
        lines += [{"name": n, "sha256": h} for n, h in self.known.items()]
        fresh = self._path.with_suffix(".new")
        fresh.write_text("".join(_sealed(line) for line in lines), encoding="utf-8")
        os.replace(fresh, self._path)

    def note(self, name: str, hashed: str) -> None:
        """A tensor is whole. The line is there when this returns."""
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(_sealed({"name": name, "sha256": hashed}))
            self.known[name] = hashed


def refuse_unfinished(folder: Path) -> None:
    """Tell a result that is being made, or was when its maker ended, from one.

    Args:
        folder: The final name, or the folder of what is being made.

    Raises:
        StoreError: There is no such result, but an unfinished one.
    """
    home = folder if folder.name.endswith(PARTIAL) else unfinished_at(folder)
    if (home / _JOURNAL).is_file() and (home == folder or not folder.exists()):
        raise StoreError(
            f"{folder} is not finished: what is done lies in {home}, and the same "
            "merge goes on"
        )


@contextmanager
def unfinished(out: Path, plan: str | None) -> Iterator[tuple[Path, Journal]]:
    """The folder of a result in the making.

    It is gone when the block has ended well. If the block raises it is kept, unless
    what is being made cannot be known again or cannot be made.

    Args:
        out: The final name.
        plan: Digest of what is being made; None if that cannot be known.

    Yields:
        The folder for the files, and the journal.

    Raises:
        InputError: From the block; the folder is gone then.
        LockedError: Another process makes the same.
        DiskError: The folder cannot be made.
        OSError: Likewise.
    """
    home = unfinished_at(out)
    with _held(home):
        over = False
        try:
            journal = Journal(home / _JOURNAL, plan)
            if not journal.mine:
                shutil.rmtree(home / FILES, ignore_errors=True)
            (home / FILES).mkdir(exist_ok=True)
            sweep(home / FILES)
            journal.begin()
            yield home / FILES, journal
            over = True
        except InputError:
            over = True
            raise
        finally:
            if over or plan is None:
                shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _held(home: Path) -> Iterator[None]:
    """A folder, made and locked; one that ends may take it away in between."""
    with ExitStack() as stack:
        while True:
            home.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(writing(home))
                break
            except DiskError:
                if home.exists():
                    raise
        yield


def _sealed(line: dict[str, Any]) -> str:
    text = json.dumps(line, sort_keys=True)
    return f"{sha256(text.encode()).hexdigest()[:16]} {text}\n"


def _lines(path: Path) -> list[dict[str, Any]]:
    """The lines up to the first that is not whole."""
    found: list[dict[str, Any]] = []
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return found
    for line in text.splitlines(keepends=True):
        body = line[17:].rstrip("\n")
        if (
            not line.endswith("\n")
            or line[:16] != sha256(body.encode()).hexdigest()[:16]
        ):
            break
        found.append(json.loads(body))
    return found
