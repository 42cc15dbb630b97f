"""Data sources: three splits of examples, normalised, with augmentation on raw values.

Shape suffixes: N examples.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dale.data.assemble import from_arrays
from dale.data.augment import AUGMENTATIONS, augmentation, compose
from dale.data.corrupt import CORRUPTIONS, SEVERITIES, Corruption, corruption
from dale.data.data import SPLITS, Augment, Data, Split
from dale.data.digits import digits
from dale.data.drifted import Corrupted, corrupted
from dale.data.factory import factory
from dale.data.folds import fold_size, leave_out, make_folds
from dale.data.idx import idx
from dale.data.images import images
from dale.data.joined import UNKNOWN, Joined, training_split
from dale.data.logits import (
    LOGIT_SUFFIXES,
    Logits,
    is_logits_file,
    read_logits,
    write_logits,
)
from dale.data.npz import npz
from dale.data.shift import Novelty, hold_out_classes, resample_priors
from dale.data.splits import make_splits
from dale.errors import DataError, nearest

__all__ = [
    "AUGMENTATIONS",
    "CORRUPTIONS",
    "LOGIT_SUFFIXES",
    "SEVERITIES",
    "SOURCES",
    "SPLITS",
    "UNKNOWN",
    "Augment",
    "Corrupted",
    "Corruption",
    "Data",
    "Joined",
    "Logits",
    "Novelty",
    "Source",
    "Split",
    "augmentation",
    "compose",
    "corrupted",
    "corruption",
    "digits",
    "factory",
    "fold_size",
    "from_arrays",
    "hold_out_classes",
    "idx",
    "images",
    "is_logits_file",
    "leave_out",
    "load",
    "make_folds",
    "make_splits",
    "npz",
    "read_logits",
    "resample_priors",
    "training_split",
    "write_logits",
]


@dataclass(frozen=True)
class Source:
    """One row of `SOURCES`.

    Args:
        function: Takes settings, ``path`` first where it needs one; returns `Data`.
        summary: What it reads, in one line.
        needs_path: Whether it has a setting ``path`` that must be given.
        reference: Where the data or the format was published, or empty.
    """

    function: Callable[..., Data]
    summary: str
    needs_path: bool
    reference: str


SOURCES = {
    "digits": Source(
        digits,
        "1797 handwritten digits of 8×8 pixels, from scikit-learn",
        False,
        "Alpaydin and Kaynak 1998, UCI Machine Learning Repository",
    ),
    "idx": Source(
        idx,
        "a folder of IDX files, such as MNIST and Fashion-MNIST",
        True,
        "LeCun, Cortes and Burges 1998; Xiao et al. 2017, arXiv:1708.07747",
    ),
    "images": Source(
        images, "a folder of image files, train/<class>/<image>", True, ""
    ),
    "npz": Source(npz, "a NumPy archive with x_train, y_train and so on", True, ""),
    "factory": Source(
        factory, "what a function of yours returns: module:function", False, ""
    ),
}
"""Name of a source to what reads it."""


def load(source: str, **settings: Any) -> Data:
    """Read a data source of `SOURCES` by name.

    Args:
        source: A key of `SOURCES`.
        settings: Keyword arguments of the row's function.

    Returns:
        The data set.

    Raises:
        DataError: The source or a setting is unknown, a needed setting is missing, or
            the data are not as the source expects.

    Example:
        >>> data = load("digits", seed=1)
        >>> data.shape, data.classes
        ((1, 8, 8), 10)
        >>> load("digit")
        Traceback (most recent call last):
        dale.errors.DataError: unknown data source 'digit'; did you mean 'digits'?
    """
    if source not in SOURCES:
        raise DataError(f"unknown data source {source!r}; {nearest(source, SOURCES)}")
    function = SOURCES[source].function
    parameters = inspect.signature(function).parameters
    for setting in settings:
        if setting not in parameters:
            hint = nearest(setting, parameters)
            raise DataError(f"{source} has no setting {setting!r}; {hint}")
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in settings:
            raise DataError(f"{source} needs the setting {name!r}")
    return function(**settings)
