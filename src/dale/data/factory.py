"""A data set of the user's own, named by the function that makes it."""

from collections.abc import Mapping
from typing import Any

import torch

from dale import factories
from dale.data.arrays import Labelled, Layout, as_inputs, as_targets
from dale.data.assemble import Part, assemble, check_classes
from dale.data.data import Data
from dale.data.readers import ArrayReader, DatasetReader, read_item
from dale.errors import DataError


def factory(
    function: str,
    args: Mapping[str, Any] | None = None,
    layout: Layout | None = None,
    val: int | float = 0.1,
    test: int | float = 0.1,
    train_limit: int | None = None,
    labelled: Labelled = None,
    class_names: tuple[str, ...] | None = None,
    seed: int = 0,
) -> Data:
    """What a function of the user's returns; this runs the user's code.

    The function returns a `Data`, which is taken as it is, or a mapping from
    ``"train"`` and perhaps ``"val"`` and ``"test"`` to either ``(inputs, targets)`` as
    arrays or tensors, or a map-style torch dataset of ``(input, target)``. Missing
    splits are taken from the training examples.

    A dataset is read item by item when batches are made, and once in full at the start
    for its targets, unless it has them as ``targets`` (checked against three items).

    Args:
        function: ``module:function`` or ``path/to/file.py:function``.
        args: Its keyword arguments.
        layout: Meaning of the axes of arrays, as for `npz`.
        val: Size of a made validation split: a number of examples or a share.
        test: The same for the test split.
        train_limit: Keep this many training examples, stratified; all if None.
        labelled: Keep the labels of this many training examples, or of this share,
            stratified; of all if None. With ``"known"`` those whose target is -1 have
            none.
        class_names: One for each class; ``"0"``, ``"1"``, … if None.
        seed: Of the stratified splits.

    Returns:
        The data set.

    Raises:
        DataError: The function cannot be imported or fails, or what it returns does not
            fit; the message names the function.

    Example:
        >>> factory("math:floor", {"x": 1})
        Traceback (most recent call last):
        dale.errors.DataError: math:floor takes other settings: ...
    """
    made = factories.call(function, args or {}, error=DataError)
    if isinstance(made, Data):
        check_classes(function, made.splits["train"].targets_N, made.classes)
        return made
    if not isinstance(made, Mapping):
        raise DataError(
            f"{function} returned {type(made).__name__}; expected a Data or a mapping "
            "from split names to arrays or datasets"
        )
    parts = {
        str(split): _part(
            value,
            f"{function}: {split}",
            layout,
            split == "train" and labelled == "known",
        )
        for split, value in made.items()
    }
    return assemble(
        function,
        parts,
        class_names,
        val,
        test,
        train_limit,
        seed,
        labelled=labelled,
    )


def _part(value: Any, where: str, layout: Layout | None, unknown: bool) -> Part:
    if isinstance(value, tuple | list) and len(value) == 2:
        inputs = as_inputs(value[0], f"{where} inputs", layout)
        targets_N = as_targets(value[1], f"{where} targets", len(inputs), unknown)
        return Part(ArrayReader(inputs), targets_N)
    reader = DatasetReader.of(value, where)
    targets_N = as_targets(_targets(value, where), where, len(reader), unknown)
    return Part(reader, targets_N)


def _targets(dataset: Any, where: str) -> Any:
    """The dataset's own list where it agrees with the items, else the items' targets.

    Reading every item only for its class can take minutes. The list of torchvision's
    datasets ignores a `target_transform`, hence the check.
    """
    count, listed = len(dataset), getattr(dataset, "targets", None)
    if listed is not None and len(listed) == count:
        listed = torch.as_tensor(listed)
        probes = (0, count // 2, count - 1)
        if all(int(listed[i]) == read_item(dataset, i, where)[1] for i in probes):
            return listed
    return torch.tensor([read_item(dataset, i, where)[1] for i in range(count)])
