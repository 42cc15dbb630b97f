"""Majority voting.

Shapes: M members, N examples, C classes.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from dale.ensemble.average import MemberWeights, normalised, widened
from dale.errors import InputError


def hard_vote(
    logits_MNC: Tensor, weights_M: MemberWeights = None, smoothing: float = 1.0
) -> Tensor:
    """Log of the smoothed shares of the members' votes.

    Each member votes for the class of its largest logit (the lowest index among equal
    ones). With v_c the weighted share of votes for class c and n the number of votes,

    ``p_c = (n v_c + smoothing / C) / (n + smoothing)``.

    So ``smoothing`` votes, one by default, are spread evenly over the classes: the
    winner is unchanged and the NLL of a class without votes stays finite. Under
    unequal weights n is the effective number of votes ``1 / sum_m w_m^2``: M for equal
    weights, 1 for a single positive one. Not differentiable.

    Args:
        logits_MNC: Floating, shape (M, N, C).
        weights_M: Non-negative, M numbers with a positive sum; normalised here.
            Equal weights when left out.
        smoothing: Number of votes added, >= 0. With 0 a class without votes has a
            log-probability of -inf.

    Returns:
        Log-probabilities, shape (N, C).

    Raises:
        InputError: Wrong type or shape, impossible weights or smoothing.

    Example:
        >>> logits = torch.tensor([[[3.0, 0.0]], [[1.0, 0.0]], [[0.0, 9.0]]])
        >>> hard_vote(logits).exp()  # (2 + 1/2) / 4 and (1 + 1/2) / 4
        tensor([[0.6250, 0.3750]])

    Reference:
        L. K. Hansen, P. Salamon, Neural Network Ensembles, 1990; additive smoothing
        is Laplace's.
    """
    if not 0 <= smoothing < float("inf"):
        raise InputError(f"smoothing: expected a finite number >= 0, got {smoothing}")
    weights_M = normalised(weights_M, logits_MNC)
    classes = logits_MNC.shape[2]
    chosen_MN = widened(logits_MNC).argmax(dim=2)
    votes_MNC = one_hot(chosen_MN, classes).to(weights_M.dtype)
    # arg-max takes NaN for the largest: a vote that would hide it
    votes_MNC = votes_MNC.masked_fill(logits_MNC.isnan(), torch.nan)
    shares_NC = (weights_M[:, None, None] * votes_MNC).sum(dim=0)
    votes = 1 / weights_M.square().sum()
    smoothed_NC = (votes * shares_NC + smoothing / classes) / (votes + smoothing)
    # rounding of the shares would leave the sum a little off 1
    return (smoothed_NC / smoothed_NC.sum(dim=1, keepdim=True)).log()
