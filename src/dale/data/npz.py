"""NumPy archives."""

from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from dale.data.arrays import Labelled, Layout
from dale.data.assemble import from_arrays
from dale.data.data import SPLITS, Data
from dale.errors import DataError
from dale.factories import one_line


def npz(
    path: str | Path,
    layout: Layout | None = None,
    val: int | float = 0.1,
    test: int | float = 0.1,
    train_limit: int | None = None,
    labelled: Labelled = None,
    class_names: tuple[str, ...] | None = None,
    seed: int = 0,
    white: float | None = None,
) -> Data:
    """A NumPy archive with inputs ``x_train`` and classes ``y_train``.

    Its keys are ``x_train``, ``y_train`` and perhaps ``x_val``, ``y_val``, ``x_test``,
    ``y_test``; or ``x`` and ``y`` alone. Missing splits are taken from the training
    examples. Nothing is unpickled.

    Args:
        path: The file.
        layout: Meaning of the inputs' axes. None means NF, NHW or NCHW for two, three
            or four axes; an array that has this likely wrong is refused.
        val: Size of a made validation split: a number of examples or a share.
        test: The same for the test split.
        train_limit: Keep this many training examples, stratified; all if None.
        labelled: Keep the labels of this many training examples, or of this share,
            stratified; of all if None. With ``"known"`` those whose ``y_train`` is -1
            have none.
        class_names: One for each class; ``"0"``, ``"1"``, … if None.
        seed: Of the stratified splits.
        white: Raw value of white in images; 255 for bytes if None.

    Returns:
        The data set. Bytes stay bytes; other types become float32.

    Raises:
        DataError: The file cannot be read, has other keys, or an array does not fit:
            NaN, other lengths, classes that are not whole numbers in range.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "data.npz"
        >>> np.savez(file, x=np.zeros((20, 3)), y=np.arange(20) % 2)
        >>> {name: len(split) for name, split in npz(file).splits.items()}
        {'train': 16, 'val': 2, 'test': 2}
    """
    held = read_archive(Path(path).expanduser())
    pairs = {"train": ("x", "y")} if "x" in held or "y" in held else {}
    pairs |= {
        split: (f"x_{split}", f"y_{split}")
        for split in SPLITS
        if f"x_{split}" in held or f"y_{split}" in held
    }
    used = {key for pair in pairs.values() for key in pair}
    if used != set(held) or "train" not in pairs or {"x", "x_train"} <= set(held):
        raise DataError(
            f"{path} holds {', '.join(sorted(held)) or 'nothing'}; expected x_train, "
            "y_train and perhaps x_val, y_val, x_test, y_test, or x and y alone"
        )
    arrays = {split: (held[x], held[y]) for split, (x, y) in pairs.items()}
    return from_arrays(
        arrays,
        str(path),
        layout,
        class_names=class_names,
        val=val,
        test=test,
        train_limit=train_limit,
        labelled=labelled,
        seed=seed,
        white=white,
    )


def read_archive(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a NumPy archive by name; nothing is unpickled.

    Raises:
        DataError: No such file, or it is no archive of numbers.
    """
    if not path.is_file():
        raise DataError(f"no file {path}")
    try:
        # NumPy leaves a file of its own opening open when it is damaged
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise DataError(f"{path} holds one array; expected a .npz archive")
            return {key: _array(archive, key, path) for key in archive.files}
    except DataError:
        raise
    except (OSError, ValueError, EOFError, BadZipFile) as cause:
        why = "it is no NumPy archive" if _pickled(cause) else one_line(cause)
        raise DataError(f"cannot read {path}: {why}") from cause


def _array(archive: Mapping[str, np.ndarray], key: str, path: Path) -> np.ndarray:
    try:
        return archive[key]
    except ValueError as cause:
        if not _pickled(cause):
            raise
        raise DataError(
            f"{path}: {key} holds Python objects; expected an array of numbers"
        ) from cause


def _pickled(cause: Exception) -> bool:
    """Whether NumPy advises to unpickle, which runs whatever code the file holds."""
    return "allow_pickle" in str(cause)
