"""Arrays of the user's, checked and brought into the form that readers hold.

Shape suffixes: N examples, C channels, H height, W width, F features.
"""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from dale.errors import DataError

Layout = Literal["NCHW", "NHWC", "NHW", "NF"]
Labelled = int | float | Literal["known"] | None
"""How many training examples keep their label, a share of them; ``"known"`` for all
whose target is not -1; None for all."""


def as_inputs(values: Any, where: str, layout: Layout | None = None) -> Tensor:
    """Inputs as uint8 or float32, ``(N, C, H, W)`` or ``(N, F)``.

    Bytes stay bytes; every other real type becomes float32.

    Args:
        values: An array or a tensor.
        where: Name for messages.
        layout: Meaning of the axes. None means NF, NHW or NCHW for two, three or four
            axes; four axes whose last alone looks like channels are refused then.

    Returns:
        A contiguous tensor, which shares memory with `values` where it can.

    Raises:
        DataError: The type is not real, the axes do not fit, it is empty, or a value is
            NaN or infinite.

    Example:
        >>> as_inputs(np.zeros((5, 28, 28), np.uint8), "x_train").shape
        torch.Size([5, 1, 28, 28])
    """
    tensor = _real(values, where)
    given = tuple(tensor.shape)
    if layout is None:
        layout = _by_axes(given, where)
    if len(given) != len(layout):
        raise DataError(
            f"{where} has shape {given}; layout {layout} has {len(layout)} axes"
        )
    if 0 in given:
        lacking = "one example" if given[0] == 0 else "one value in each example"
        raise DataError(f"{where} has shape {given}; expected at least {lacking}")
    if layout == "NHW":
        tensor = tensor.unsqueeze(1)
    if layout == "NHWC":
        tensor = tensor.permute(0, 3, 1, 2)
    if tensor.dtype != torch.uint8:
        tensor = tensor.to(torch.float32)
        if not tensor.isfinite().all():
            bad = int((~tensor.isfinite()).flatten(1).any(1).nonzero()[0])
            raise DataError(f"{where} has NaN or infinite values, first in row {bad}")
    return tensor.contiguous()


def as_targets(values: Any, where: str, count: int, unknown: bool = False) -> Tensor:
    """Classes as int64 ``(N,)``.

    Args:
        values: An array or a tensor of an integer type.
        where: Name for messages.
        count: Number of inputs they belong to.
        unknown: Whether -1 may stand for a class that is not known.

    Returns:
        A new tensor.

    Raises:
        DataError: The type is not an integer's, the shape is not ``(count,)``, or a
            class is negative.

    Example:
        >>> as_targets(np.array([0, 2], np.uint8), "y_train", 2)
        tensor([0, 2])
    """
    tensor = _real(values, where, "integer classes")
    if tensor.is_floating_point() or tensor.dtype == torch.bool:
        hint = ""
        if tensor.is_floating_point() and torch.equal(tensor, tensor.round()):
            cast = ".long()" if isinstance(values, Tensor) else ".astype(int)"
            hint = f" (all are whole numbers: convert with {cast})"
        raise DataError(
            f"{where} has type {tensor.dtype}; expected integer classes{hint}"
        )
    if tuple(tensor.shape) != (count,):
        raise DataError(
            f"{where} has shape {tuple(tensor.shape)}; expected ({count},), one class "
            "for each input"
        )
    targets_N = tensor.to(torch.int64, copy=True)
    least, lowest = -1 if unknown else 0, int(targets_N.min()) if count else 0
    if lowest < least:
        hint = " (labelled: known takes -1 for no label)" if lowest == -1 else ""
        raise DataError(f"{where} has class {lowest}; expected 0 or more{hint}")
    return targets_N


def _real(values: Any, where: str, expected: str = "real numbers") -> Tensor:
    if isinstance(values, Tensor):
        tensor = values.detach().cpu()
    else:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            kind = {"U": "text", "S": "bytes"}.get(array.dtype.kind, array.dtype)
            raise DataError(f"{where} has type {kind}; expected {expected}")
        # torch takes native byte order, forward strides and memory it may write to
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        tensor = torch.from_numpy(np.require(native, requirements=["C", "W"]))
    if tensor.is_complex():
        raise DataError(f"{where} has type {tensor.dtype}; expected {expected}")
    return tensor


def _by_axes(given: tuple[int, ...], where: str) -> Layout:
    layouts: dict[int, Layout] = {2: "NF", 3: "NHW", 4: "NCHW"}
    if len(given) not in layouts:
        raise DataError(f"{where} has shape {given}; expected 2, 3 or 4 axes")
    if len(given) == 4 and given[1] > 4 >= given[3]:
        raise DataError(
            f"{where} has shape {given}: as NCHW it would have {given[1]} channels; "
            "say layout='NHWC' or layout='NCHW'"
        )
    return layouts[len(given)]
