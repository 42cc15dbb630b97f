"""Folders of images, one folder for each class."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch

from dale.data.assemble import Part, assemble
from dale.data.data import Data
from dale.data.folder import Fit, FolderReader, header, in_threads
from dale.errors import DataError

_FOLDERS = {
    "train": ("train",),
    "val": ("val", "valid", "validation"),
    "test": ("test",),
}
_ENDINGS = frozenset(
    ".bmp .gif .jpeg .jpg .pbm .pgm .png .ppm .tif .tiff .webp".split()
)

Files = dict[str, list[Path]]
"""Class name to its image files."""


def images(
    path: str | Path,
    size: int | tuple[int, int] | None = None,
    fit: Fit = "crop",
    color: Literal["auto", "rgb", "grey"] = "auto",
    val: int | float = 0.1,
    test: int | float = 0.1,
    train_limit: int | None = None,
    labelled: int | float | None = None,
    memory_mb: int = 1000,
    seed: int = 0,
) -> Data:
    """A folder of images: ``train/<class>/<image>``, and perhaps ``val`` and ``test``.

    The classes are the folders in ``train`` in the order of their names. ``val`` may be
    called ``valid`` or ``validation``. A missing split is taken from the training
    images. Images in ``unlabelled``, which has no class folders, are training images
    without a label. Files with other endings and what is hidden are passed over; an
    image that lies anywhere else than in a class folder itself is refused.

    Files are decoded by Pillow when batches ask for them, turned upright as their EXIF
    data say, and scaled with an anti-aliasing bilinear filter.

    Args:
        path: The folder.
        size: Height and width in pixels; one number for squares. None takes the size
            that all images have.
        fit: ``"crop"`` scales the short side and cuts out the centre; ``"stretch"``
            scales both sides.
        color: ``"rgb"`` for 3 channels, ``"grey"`` for 1; ``"auto"`` is grey where
            every image is.
        val: Size of a made validation split: a number of examples or a share.
        test: The same for the test split.
        train_limit: Keep this many training images, stratified; all if None.
        labelled: Keep the labels of this many training images, or of this share,
            stratified; of all if None.
        memory_mb: Where all decoded images of a split's folder fit in so many 10⁶
            bytes, each is decoded once.
        seed: Of the stratified splits.

    Returns:
        A data set of shape ``(3, H, W)`` or ``(1, H, W)`` with raw bytes.

    Raises:
        DataError: A folder is missing or has no classes, a class has no images, an
            image lies in another place or cannot be read, sizes differ and none was
            given, or another split has a class that training lacks.

    Example:
        >>> images("nowhere")
        Traceback (most recent call last):
        dale.errors.DataError: no folder nowhere
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise DataError(f"no folder {path}")
    if fit not in ("crop", "stretch"):
        raise DataError(f"fit is {fit!r}; expected 'crop' or 'stretch'")
    if memory_mb < 0:
        raise DataError(f"memory_mb is {memory_mb}; expected 0 or more")
    found = _splits(folder)
    names = tuple(found["train"])
    for split, files in found.items():
        for unseen in sorted(set(files) - set(names)):
            raise DataError(
                f"{folder}: {split} has class {unseen!r}, which train lacks"
            )
    unlabelled = _unlabelled(folder)
    everything = [p for files in found.values() for ps in files.values() for p in ps]
    everything += unlabelled
    headers = dict(zip(everything, in_threads(header, everything), strict=True))
    chosen = _size(headers, size)
    mode = _mode(headers, color)
    parts = {}
    for split, files in found.items():
        paths = tuple(p for ps in files.values() for p in ps)
        targets = [names.index(name) for name, ps in files.items() for _ in ps]
        if split == "train":
            paths, targets = (*paths, *unlabelled), targets + len(unlabelled) * [-1]
        reader = FolderReader(paths, chosen, fit, mode, memory_mb)
        parts[split] = Part(reader, torch.tensor(targets))
    return assemble(
        str(folder), parts, names, val, test, train_limit, seed, labelled=labelled
    )


def _splits(folder: Path) -> dict[str, Files]:
    found = {}
    for split, names in _FOLDERS.items():
        there = [folder / name for name in names if (folder / name).is_dir()]
        if len(there) > 1:
            raise DataError(f"{there[0]} and {there[1]} both exist; expected one")
        if there:
            found[split] = _files(there[0])
    if "train" not in found:
        raise DataError(f"{folder} has no folder train; expected train/<class>/<image>")
    return found


def _unlabelled(folder: Path) -> list[Path]:
    """Training images without a label; they lie in one folder."""
    place = folder / "unlabelled"
    if not place.is_dir():
        return []
    own, deeper = _walked(place)
    if deeper or not own:
        found = f"{deeper[0]} lies in a folder" if deeper else "it has none"
        raise DataError(f"{place}: expected images directly in it; {found}")
    return own


def _files(folder: Path) -> Files:
    files: Files = {}
    strays = _images(folder, os.listdir(folder))
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir() and not entry.name.startswith("."):
            files[entry.name], deeper = _walked(entry)
            strays += deeper
    if strays:
        more = f" and {len(strays) - 1} more" if len(strays) > 1 else ""
        verb = "lie" if more else "lies"
        raise DataError(
            f"{strays[0]}{more} {verb} in no class folder; expected "
            f"{folder}/<class>/<image>, without folders inside a class"
        )
    for name, paths in files.items():
        if not paths:
            endings = " ".join(sorted(_ENDINGS))
            raise DataError(f"{folder / name} has no images ({endings})")
    if not files:
        raise DataError(f"{folder} has no class folders; expected one for each class")
    return files


def _walked(folder: Path) -> tuple[list[Path], list[Path]]:
    """Images in a folder itself, and those in folders inside it."""
    own: list[Path] = []
    deeper: list[Path] = []
    for place, inside, names in os.walk(folder):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        found = own if Path(place) == folder else deeper
        found += _images(Path(place), names)
    return own, deeper


def _images(folder: Path, names: list[str]) -> list[Path]:
    """Those of a folder's entries that are image files by their names, sorted."""
    return sorted(
        folder / name
        for name in names
        if Path(name).suffix.lower() in _ENDINGS and not name.startswith(".")
    )


def _size(
    headers: Mapping[Path, tuple[tuple[int, int], bool]],
    size: int | tuple[int, int] | None,
) -> tuple[int, int]:
    if size is None:
        first, *others = headers
        for other in others:
            if headers[other][0] != headers[first][0]:
                raise DataError(
                    f"{first} is {_text(headers[first][0])} and {other} "
                    f"{_text(headers[other][0])} (height × width); say which size to "
                    "use"
                )
        return headers[first][0]
    sides = tuple(size) if isinstance(size, tuple | list) else (size, size)
    whole = all(isinstance(side, int) and side > 0 for side in sides)
    if len(sides) != 2 or not whole:
        raise DataError(
            f"size is {size!r}; expected a whole number or a pair of them, height and "
            "width in pixels"
        )
    return sides[0], sides[1]


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def _mode(
    headers: Mapping[Path, tuple[tuple[int, int], bool]], color: str
) -> Literal["RGB", "L"]:
    if color not in ("auto", "rgb", "grey"):
        raise DataError(f"color is {color!r}; expected 'auto', 'rgb' or 'grey'")
    if color == "auto":
        return "L" if all(grey for _, grey in headers.values()) else "RGB"
    return "L" if color == "grey" else "RGB"
