"""How differently the members of an ensemble predict.

Shapes: M members, N examples, C classes.
"""

import torch
from torch import Tensor

from dale.errors import InputError
from dale.metrics.check import checked_members, checked_targets


def disagreement_MM(logits_MNC: Tensor) -> Tensor:
    """Share of examples on which each two members predict different classes.

    ``d_ij = mean_n [argmax_c z_inc != argmax_c z_jnc]``: symmetric, zero diagonal, in
    [0, 1]. Among equal largest logits the lowest class index is the prediction.

    Args:
        logits_MNC: Floating, shape (M, N, C).

    Returns:
        Float64, shape (M, M).

    Raises:
        InputError: Wrong type or shape, or NaN.

    Example:
        >>> logits = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])
        >>> disagreement_MM(logits)
        tensor([[0.0000, 0.5000],
                [0.5000, 0.0000]], dtype=torch.float64)

    Reference:
        S. Fort, H. Hu, B. Lakshminarayanan, Deep Ensembles: A Loss Landscape
        Perspective, 2019, arXiv 1912.02757.
    """
    logits_MNC = checked_members(logits_MNC)
    classes_MN = logits_MNC.argmax(dim=2).to(torch.int32)
    # row by row: M x N booleans at a time instead of M x M x N
    rows = [(classes_MN != row_N).sum(dim=1) for row_N in classes_MN]
    return torch.stack(rows).double() / classes_MN.shape[1]


def mean_disagreement(logits_MNC: Tensor) -> float:
    """Mean of `disagreement_MM` over the M (M - 1) / 2 pairs of members.

    Args:
        logits_MNC: Floating, shape (M, N, C) with M >= 2.

    Returns:
        A float in [0, 1].

    Raises:
        InputError: Wrong type or shape, NaN, or a single member.

    Example:
        >>> logits = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 1.0]]])
        >>> round(mean_disagreement(logits), 4)
        0.6667

    Reference:
        Fort, Hu, Lakshminarayanan, 2019, as for `disagreement_MM`.
    """
    pairs_MM = disagreement_MM(logits_MNC)
    members = len(pairs_MM)
    if members < 2:
        raise InputError("logits_MNC: expected M >= 2 members to compare, got 1")
    return float(pairs_MM.sum()) / (members * (members - 1))


def normalised_disagreement(logits_MNC: Tensor, targets_N: Tensor) -> float:
    """Mean disagreement divided by the members' mean error.

    ``mean_{i<j} d_ij / mean_m error_m``. Two members with error e disagree at most on
    2 e of the examples, so the value lies in [0, 2]; members whose errors are
    independent come close to the upper end when e is small. It is 0 when no member
    errs, because they then agree everywhere.

    The paper divides each member's disagreement with one reference by that member's
    error; here both are averaged first, which stays finite when one member is perfect.

    Args:
        logits_MNC: Floating, shape (M, N, C) with M >= 2.
        targets_N: Integer classes in [0, C), shape (N,).

    Returns:
        A float in [0, 2].

    Raises:
        InputError: Wrong types, shapes, labels, NaN, or a single member.

    Example:
        >>> logits = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
        >>> normalised_disagreement(logits, torch.tensor([0]))
        2.0

    Reference:
        Fort, Hu, Lakshminarayanan, 2019, as for `disagreement_MM`.
    """
    disagreement = mean_disagreement(logits_MNC)
    targets_N = checked_targets(targets_N, logits_MNC[0])
    wrong_MN = logits_MNC.argmax(dim=2) != targets_N
    mean_error = int(wrong_MN.sum()) / wrong_MN.numel()
    return disagreement / mean_error if mean_error else 0.0
