"""From readers and targets to `Data`: missing splits are made, classes are checked.

Shape suffixes: N examples.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dale.data.arrays import Labelled, Layout, as_inputs, as_targets
from dale.data.data import SPLITS, Data
from dale.data.examples import Examples, Scaling
from dale.data.joined import UNKNOWN
from dale.data.readers import ArrayReader, Reader
from dale.data.splits import make_splits
from dale.errors import DataError


class Part(NamedTuple):
    """What a source has for one split.

    Args:
        reader: Raw inputs.
        targets_N: int64 class of each row of the reader; in training -1 for a row
            whose class is not known.
    """

    reader: Reader
    targets_N: Tensor


def assemble(
    name: str,
    parts: Mapping[str, Part],
    class_names: tuple[str, ...] | None = None,
    val: int | float = 0.1,
    test: int | float = 0.1,
    train_limit: int | None = None,
    seed: int = 0,
    white: float | None = None,
    labelled: Labelled = None,
) -> Data:
    """Make a data set of what a source has.

    Args:
        name: Of the source, for messages.
        parts: ``"train"`` and perhaps ``"val"`` and ``"test"``. A missing one is taken
            from the training part by `make_splits`, test before val.
        class_names: One for each class, all different; without them the classes are
            numbered up to the largest in training.
        val: Size of a made validation split: a number of examples or a share.
        test: The same for the test split.
        train_limit: Keep this many training examples, stratified.
        seed: Of the splits, and of what `train_limit` and `labelled` keep.
        white: As in `dale.data.Data`.
        labelled: Keep the labels of this many training examples, or of this share of
            them, stratified; the others become the data set's ``unlabelled``. Those
            whose target is -1 are among these in any case.

    Returns:
        The data set, normalised by all that is left for training, labelled or not.

    Raises:
        DataError: There is no training part, shapes differ, a class is out of range
            or has no training example, given or left, or more are to be ``labelled``
            than are there.

    Example:
        >>> reader = ArrayReader(torch.arange(20.0).reshape(20, 1))
        >>> part = Part(reader, torch.arange(20) % 2)
        >>> data = assemble("numbers", {"train": part}, val=4, test=0.2)
        >>> {name: len(split) for name, split in data.splits.items()}
        {'train': 12, 'val': 4, 'test': 4}
    """
    _check_shapes(name, parts)
    train = parts["train"]
    sizes = {"test": test, "val": val}
    missing = {key: size for key, size in sizes.items() if key not in parts}
    targets = {key: part.targets_N for key, part in parts.items()}
    names = _class_names(name, targets, class_names)
    known_N, unknown_N = _known(train.targets_N)
    made = make_splits(train.targets_N[known_N], missing, seed)
    rows = {key: known_N[places] for key, places in made.items()}
    _check_left(name, names, train.targets_N, rows["train"], " and ".join(missing))
    rows["train"] = torch.cat([rows["train"], unknown_N]).sort().values
    if train_limit is not None:
        rows["train"] = _kept(name, train.targets_N, rows["train"], train_limit, seed)
        cause = f"train_limit {train_limit}"
        _check_left(name, names, train.targets_N, rows["train"], cause)
    scaling = Scaling(train.reader, rows["train"])
    rows["train"], hidden_N = _labelled(
        name, train.targets_N, rows["train"], labelled, seed
    )
    cause = f"labelled {labelled}"
    _check_left(name, names, train.targets_N, rows["train"], cause)
    splits, unlabelled = {}, None
    for key in SPLITS:
        part = parts.get(key, train)
        rows_N = rows.get(key, torch.arange(len(part.targets_N)))
        splits[key] = Examples(part.reader, rows_N, part.targets_N[rows_N], scaling)
    if len(hidden_N):
        unknown = torch.full((len(hidden_N),), UNKNOWN)
        unlabelled = Examples(train.reader, hidden_N, unknown, scaling)
    shape = train.reader.shape
    return Data(name, shape, len(names), names, splits, white, unlabelled)


def from_arrays(
    arrays: Mapping[str, tuple[Any, Any]],
    name: str = "arrays",
    layout: Layout | None = None,
    **settings: Any,
) -> Data:
    """A data set of arrays or tensors in memory.

    Args:
        arrays: ``"train"`` and perhaps ``"val"`` and ``"test"`` to inputs and targets.
        name: Of the data set, for messages.
        layout: Meaning of the inputs' axes, as for `as_inputs`.
        settings: ``class_names``, ``val``, ``test``, ``train_limit``, ``seed``,
            ``white`` and ``labelled`` of `assemble`.

    Returns:
        The data set.

    Raises:
        DataError: As `as_inputs`, `as_targets` and `assemble`.

    Example:
        >>> x, y = torch.rand(10, 4), torch.arange(10) % 2
        >>> from_arrays({"train": (x, y)}, val=2, test=2).shape
        (4,)
    """
    parts = {}
    for split, (inputs, targets) in arrays.items():
        values = as_inputs(inputs, f"{name}: inputs of {split}", layout)
        unknown = split == "train" and settings.get("labelled") == "known"
        where = f"{name}: targets of {split}"
        targets_N = as_targets(targets, where, len(values), unknown)
        parts[split] = Part(ArrayReader(values), targets_N)
    return assemble(name, parts, **settings)


def _check_shapes(name: str, parts: Mapping[str, Part]) -> None:
    strange = sorted(set(parts) - set(SPLITS))
    if strange:
        raise DataError(
            f"{name} has splits named {', '.join(strange)}; expected train, val, test"
        )
    if "train" not in parts:
        raise DataError(f"{name} has no training split; it has {sorted(parts)}")
    shape = parts["train"].reader.shape
    for key, part in parts.items():
        if part.reader.shape != shape:
            raise DataError(
                f"{name}: inputs of {key} have shape {part.reader.shape}; expected "
                f"{shape} as in train"
            )


def _kept(
    name: str, targets_N: Tensor, rows_N: Tensor, limit: int, seed: int
) -> Tensor:
    if limit < 1:
        raise DataError(f"{name}: train_limit is {limit}; expected 1 or more")
    if limit >= len(rows_N):
        return rows_N
    return rows_N[make_splits(targets_N[rows_N], {"kept": limit}, seed)["kept"]]


def _known(targets_N: Tensor) -> tuple[Tensor, Tensor]:
    """Rows whose class is known, and the others."""
    known = targets_N != UNKNOWN
    return known.nonzero().flatten(), (~known).nonzero().flatten()


def _labelled(
    name: str, targets_N: Tensor, rows_N: Tensor, size: Labelled, seed: int
) -> tuple[Tensor, Tensor]:
    """Training rows that keep their label, and those without one."""
    known, unknown = _known(targets_N[rows_N])
    if isinstance(size, int) and size > len(known):
        raise DataError(
            f"{name}: labelled is {size}; expected at most {len(known)}, as many "
            "training examples have a label"
        )
    if isinstance(size, float) or (isinstance(size, int) and size < len(known)):
        made = make_splits(targets_N[rows_N[known]], {"labelled": size}, seed)
        known, hidden = known[made["labelled"]], known[made["train"]]
        unknown = torch.cat([unknown, hidden]).sort().values
    return rows_N[known], rows_N[unknown]


def check_classes(name: str, targets_N: Tensor, classes: int | None = None) -> int:
    """The number of classes, each of which must have a training example.

    Args:
        name: Of the data set, for messages.
        targets_N: Of the training examples, >= 0.
        classes: How many there should be; None for the largest target + 1.

    Returns:
        The number of classes C.

    Raises:
        DataError: A class in [0, C) has no example, or a target is C or larger.

    Example:
        >>> check_classes("numbers", torch.tensor([0, 2, 1]))
        3
    """
    # compared as they are found: numbering up to a stray label may not fit in memory
    found = targets_N.unique().tolist()
    count = classes or found[-1] + 1
    if found[-1] >= count:
        raise DataError(
            f"{name}: train has class {found[-1]}; expected 0 to {count - 1}"
        )
    if len(found) < count:
        lacking = next((c for c, target in enumerate(found) if c != target), len(found))
        raise DataError(
            f"{name}: class {lacking} has no training example, where targets go from "
            f"{found[0]} to {found[-1]}; expected classes 0 to C-1, each with at least "
            "one training example"
        )
    return count


def _class_names(
    name: str, targets: Mapping[str, Tensor], given: tuple[str, ...] | None
) -> tuple[str, ...]:
    targets = {**targets, "train": targets["train"][targets["train"] != UNKNOWN]}
    if not len(targets["train"]):
        raise DataError(f"{name}: no training example has a label")
    known = set(targets["train"].unique().tolist())
    count = len(given) if given else max(known) + 1
    for key, targets_N in targets.items():
        found = set(targets_N.unique().tolist())
        strange = sorted(c for c in found if not 0 <= c < count)
        if strange:
            raise DataError(
                f"{name}: {key} has class {strange[0]}; expected 0 to {count - 1}"
            )
        unseen = sorted(found - known)
        if unseen:
            label = given[unseen[0]] if given else str(unseen[0])
            raise DataError(f"{name}: {key} has class {label!r}, which train lacks")
    check_classes(name, targets["train"], count)
    return given or tuple(map(str, range(count)))


def _check_left(
    name: str, names: tuple[str, ...], targets_N: Tensor, rows_N: Tensor, cause: str
) -> None:
    """Raise where what is left for training lacks a class."""
    left = set(targets_N[rows_N].unique().tolist())
    for target, label in enumerate(names):
        if target not in left:
            raise DataError(
                f"{name}: {cause} left no training example of class {label!r} but "
                f"{len(rows_N)} of {len(targets_N)} in all; expected at least one of "
                f"each of the {len(names)} classes"
            )
