"""Whether a result can be made at a place, found out without touching anything."""

import os
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from dale.files import PARTIAL

_LONGEST = 255
"""Bytes in the name of a file, where the system does not say."""


def unfinished_at(out: Path) -> Path:
    """Where a result lies while it is being made."""
    return out.parent / f".{out.name}{PARTIAL}"


def place_problem(
    out: Path, inputs: Iterable[Path] = (), needed: int = 0, *, single: bool = False
) -> str | None:
    """What keeps a result from being made, if anything does.

    Args:
        out: Its folder.
        inputs: Folders that are read and must not be written to.
        needed: Bytes that it will hold.
        single: It is a file, which may be there already.

    Returns:
        A line; None if nothing is wrong.

    Example:
        >>> print(place_problem(Path("new")))
        None
        >>> _ = Path("taken").write_text("")
        >>> place_problem(Path("taken"))
        'taken must be a new or an empty folder'
        >>> place_problem(Path("taken/new"))
        'taken/new: taken is not a folder'
    """
    try:
        itself = _file(out) if single else _folder(out)
        return itself or _around(out) or _within(out, inputs) or _room(out, needed)
    except OSError as error:
        return f"{out}: {error.strerror}"


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    path = path.absolute()
    while not os.path.exists(path) and path != path.parent:
        path = path.parent
    return path


def _file(out: Path) -> str | None:
    return f"{out} is a folder; a file was expected" if out.is_dir() else None


def _folder(out: Path) -> str | None:
    if out.is_symlink():
        return f"{out} is a link; name the folder that it leads to"
    if not out.exists():
        return None
    if not out.is_dir() or any(out.iterdir()):
        return f"{out} must be a new or an empty folder"
    if out.samefile(Path()):
        return f"{out} is the folder that you are in; name another one"
    if os.path.ismount(out):
        return f"{out} is where a disk is mounted; name a folder in it"
    return None


def _around(out: Path) -> str | None:
    above = existing(out.parent)
    if not above.is_dir():
        return f"{out}: {_shown(above)} is not a folder"
    if not os.access(above, os.W_OK | os.X_OK):
        return f"{out}: {_shown(above)} cannot be written to"
    partial = unfinished_at(out)
    longest = getattr(os, "pathconf", lambda *_: _LONGEST)(above, "PC_NAME_MAX")
    if len(os.fsencode(partial.name)) > longest:
        return f"{out}: the name is too long"
    # looked at once: whoever makes it may take it away at any time
    with suppress(FileNotFoundError):
        if not stat.S_ISDIR(partial.lstat().st_mode):
            return f"{out}: {partial} is in the way"
    return None


def _within(out: Path, inputs: Iterable[Path]) -> str | None:
    whole = out.resolve()
    for folder in inputs:
        if folder.resolve() in whole.parents:
            return f"{out} lies inside {folder}, which is read"
    return None


def _room(out: Path, needed: int) -> str | None:
    # what an unfinished merge takes up is used again, or freed
    held = _taken_up(unfinished_at(out))
    free = shutil.disk_usage(existing(out)).free + held
    if needed > free:
        return f"{out}: {_bytes(needed)} are needed, {_bytes(free)} are free"
    return None


def _taken_up(folder: Path) -> int:
    """Bytes on the disk; files that another process takes away meanwhile are none."""
    held = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                held += os.lstat(os.path.join(place, name)).st_blocks * 512
    return held


def _bytes(number: int) -> str:
    return f"{number / 1e9:.2f} GB" if number >= 1e7 else f"{number:,} bytes"


def _shown(path: Path) -> Path:
    """As one would type it from here."""
    here = Path.cwd()
    return path.relative_to(here) if here in path.parents else path
