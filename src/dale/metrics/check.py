"""What every metric asks of its inputs, and the blocks it works in.

Shapes: M members, N examples, C classes.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from dale.errors import InputError

_BLOCK_ELEMENTS = 2**22


def checked(logits_NC: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and targets, or an error that says what is wrong with them.

    The logits come back detached, in their own dtype; the targets as int64 on the
    device of the logits. Values of -inf are logits (probability zero); NaN, +inf and
    a row that is -inf throughout are not.

    Args:
        logits_NC: Floating, shape (N, C) with N >= 1 and C >= 2.
        targets_N: Integer class indices in [0, C), shape (N,).

    Returns:
        The pair of tensors.

    Raises:
        InputError: A type, shape or value is not as described.

    Example:
        >>> logits, targets = checked(torch.zeros(2, 3), torch.tensor([0, 2]))
        >>> targets.dtype
        torch.int64
    """
    logits_NC = checked_logits(logits_NC)
    return logits_NC, checked_targets(targets_N, logits_NC)


def checked_logits(logits_NC: Tensor) -> Tensor:
    """Detached logits of shape (N, C). Conditions and errors as in `checked`."""
    check_shape(logits_NC, "logits_NC")
    logits_NC = logits_NC.detach()
    _check_values(logits_NC.amax(dim=1), "example")
    return logits_NC


def checked_members(logits_MNC: Tensor, targets_N: Tensor | None = None) -> Tensor:
    """Detached logits of shape (M, N, C), M >= 1. Otherwise as `checked`.

    Args:
        logits_MNC: Floating, shape (M, N, C).
        targets_N: Where given, checked against N and C too.

    Returns:
        The logits.

    Raises:
        InputError: A type, shape or value is not as described.
    """
    check_shape(logits_MNC, "logits_MNC")
    logits_MNC = logits_MNC.detach()
    for member, top_N in enumerate(logits_MNC.amax(dim=2)):
        _check_values(top_N, f"member {member}, example")
    if targets_N is not None:
        checked_targets(targets_N, logits_MNC[0])
    return logits_MNC


def checked_targets(targets_N: Tensor, logits_NC: Tensor) -> Tensor:
    """Targets as int64, checked against logits that are known to be sound."""
    count, classes = logits_NC.shape
    if not isinstance(targets_N, Tensor) or _is_not_integer(targets_N):
        raise InputError(
            f"targets_N: expected an integer tensor, got {_kind(targets_N)}"
        )
    if targets_N.shape != (count,):
        raise InputError(
            f"targets_N: expected shape ({count},) to go with logits of "
            f"{count} examples, got {tuple(targets_N.shape)}"
        )
    targets_N = targets_N.detach().to(logits_NC.device, torch.int64)
    low, high = int(targets_N.min()), int(targets_N.max())
    if low < 0 or high >= classes:
        raise InputError(
            f"targets_N: expected classes in [0, {classes}), got values from "
            f"{low} to {high}"
        )
    return targets_N


def check_shape(logits: Tensor, name: str) -> None:
    """Refuse what is not a floating tensor of the shape that the name's suffix tells.

    Reads no values, so it costs nothing on an accelerator and can be traced.

    Args:
        logits: The tensor to look at.
        name: Its name with the shape suffix: ``logits_NC`` or ``logits_MNC``.

    Raises:
        InputError: Wrong type, number of axes, an empty axis, or fewer than 2 classes.
    """
    axes = name.rpartition("_")[2]
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        raise InputError(f"{name}: expected a floating tensor, got {_kind(logits)}")
    if logits.layout != torch.strided:
        kind = str(logits.layout).removeprefix("torch.")
        raise InputError(f"{name}: expected a dense tensor, got {kind}")
    if logits.ndim != len(axes):
        raise InputError(
            f"{name}: expected {len(axes)} axes ({', '.join(axes)}), got shape "
            f"{tuple(logits.shape)}"
        )
    for axis, size in zip(axes, logits.shape, strict=True):
        least = 2 if axis == "C" else 1
        if size < least:
            raise InputError(
                f"{name}: expected {axis} >= {least}, got shape {tuple(logits.shape)}"
                f"{one_column(axis == 'C' and size == 1)}"
            )


def one_column(found: bool) -> str:
    """What to do with one logit for two classes, where that was found."""
    if not found:
        return ""
    return "; for a binary head of one logit z pass the two columns 0 and z"


def blocks(
    logits_NC: Tensor, targets_N: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of checked logits in float64, a bounded number at a time.

    Args:
        logits_NC: Any floating dtype, shape (N, C).
        targets_N: Integer, shape (N,); zeros when left out.

    Yields:
        Consecutive (logits, targets) with at most about four million logits each.

    Example:
        >>> [part.shape[0] for part, _ in blocks(torch.zeros(5, 2**21))]
        [2, 2, 1]
    """
    count, classes = logits_NC.shape
    if targets_N is None:
        targets_N = torch.zeros(count, dtype=torch.int64, device=logits_NC.device)
    rows = max(1, _BLOCK_ELEMENTS // classes)
    for start in range(0, count, rows):
        part = slice(start, start + rows)
        yield logits_NC[part].double(), targets_N[part]


def _check_values(top_N: Tensor, what: str) -> None:
    # the maximum of a row is NaN, +inf or -inf exactly when the row is unusable
    if bool(top_N.isfinite().all()):
        return
    index = int((~top_N.isfinite()).nonzero()[0])
    value = float(top_N[index])
    reason = {
        float("inf"): "+inf",
        float("-inf"): "-inf for every class",
    }.get(value, "NaN")
    raise InputError(f"{what} {index}: expected logits below +inf, got {reason}")


def _is_not_integer(tensor: Tensor) -> bool:
    kind = tensor.dtype
    return kind.is_floating_point or kind.is_complex or kind == torch.bool


def _kind(thing: object) -> str:
    return str(thing.dtype) if isinstance(thing, Tensor) else type(thing).__name__
