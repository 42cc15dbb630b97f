"""How often the class with the largest logit is the target.

Shapes: N examples, C classes.
"""

import torch
from torch import Tensor

from dale.metrics.check import checked


def correct_N(logits_NC: Tensor, targets_N: Tensor) -> Tensor:
    """Whether each example is classified correctly.

    Among equal largest logits the lowest class index is the prediction.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).

    Returns:
        Boolean, shape (N,).

    Raises:
        InputError: Wrong types, shapes, labels, or NaN.

    Example:
        >>> correct_N(torch.tensor([[2.0, 1.0], [0.0, 0.0]]), torch.tensor([0, 1]))
        tensor([ True, False])
    """
    logits_NC, targets_N = checked(logits_NC, targets_N)
    return logits_NC.argmax(dim=1) == targets_N


def accuracy(logits_NC: Tensor, targets_N: Tensor) -> float:
    """Share of examples whose largest logit is the target's.

    ``accuracy = mean_i [argmax_c z_ic = y_i]``, in [0, 1].

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).

    Returns:
        A float in [0, 1].

    Raises:
        InputError: Wrong types, shapes, labels, or NaN.

    Example:
        >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0]))
        0.5
    """
    hits_N = correct_N(logits_NC, targets_N)
    return int(hits_N.sum()) / len(hits_N)


def error(logits_NC: Tensor, targets_N: Tensor) -> float:
    """Share of examples whose largest logit is not the target's: 1 - accuracy.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).

    Returns:
        A float in [0, 1].

    Raises:
        InputError: Wrong types, shapes, labels, or NaN.

    Example:
        >>> error(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 1]))
        0.0
    """
    misses_N = torch.logical_not(correct_N(logits_NC, targets_N))
    return int(misses_N.sum()) / len(misses_N)
