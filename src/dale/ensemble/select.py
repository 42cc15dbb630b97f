"""Choice of members by forward selection with replacement.

Shapes: M members, N examples, C classes, S steps of the selection.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, log
from typing import Literal

import torch
from torch import Tensor

from dale.errors import InputError
from dale.metrics import blocks, checked_members, checked_targets

_TIE = 1e-12  # scores closer than this are told apart by rounding only


@dataclass(frozen=True)
class Choice:
    """The outcome of a selection.

    Args:
        weights_M: How often each member is in the best prefix, divided by its length:
            weights for `mean_probability`.
        order: The members in the order they were added, all S of them.
        scores: Score of the mean probability after each addition; lower is better.
        best: Length of the best prefix of ``order``, from 1.

    Example:
        >>> Choice((0.5, 0.5), (1, 0, 0), (0.3, 0.2, 0.25), 2).members
        (0, 1)
    """

    weights_M: tuple[float, ...]
    order: tuple[int, ...]
    scores: tuple[float, ...]
    best: int

    @property
    def members(self) -> tuple[int, ...]:
        """Indices of the members with a positive weight."""
        return tuple(m for m, weight in enumerate(self.weights_M) if weight > 0)


def greedy(
    logits_MNC: Tensor,
    targets_N: Tensor,
    size: int = 50,
    metric: Literal["nll", "error"] = "nll",
) -> Choice:
    """Add, S times, the member that most improves the mean probability.

    Members may be added again, so that their counts become weights. With s members
    chosen and P their sum of probabilities, candidate j scores

    ``nll: -mean_i log((P_i(y_i) + p_ij(y_i)) / (s + 1))``, which needs only the
    probability of each target: N x M numbers and one pass per step;

    ``error: mean_i [argmax_c (P_ic + p_ijc) != y_i]``, which needs all M N C.

    Scores within 1e-12 (relative above 1) of the best are ties. A tie goes to a member
    already chosen, then to the lowest index. The result is the best prefix of the
    trajectory, the shortest among equal ones; the first step picks the best single
    member, so on these examples the choice is never worse than it. On other examples
    it can be: score it on a split that the selection did not see.

    Args:
        logits_MNC: Floating, shape (M, N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        size: Number of additions S >= 1.
        metric: ``nll`` or ``error``.

    Returns:
        The choice.

    Raises:
        InputError: Wrong types, shapes, labels, NaN, or an impossible setting; every
            member has probability zero for some target.

    Example:
        >>> p = torch.tensor([[[0.9], [0.2]], [[0.3], [0.8]], [[0.4], [0.3]]])
        >>> logits = torch.cat([p, 1 - p], dim=2).log()
        >>> choice = greedy(logits, torch.tensor([0, 0]), size=2)
        >>> choice.order, choice.best, choice.weights_M
        ((1, 0), 2, (0.5, 0.5, 0.0))

    Reference:
        R. Caruana, A. Niculescu-Mizil, G. Crew, A. Ksikes, Ensemble Selection from
        Libraries of Models, 2004. Ours starts from the empty ensemble and uses no
        bagging; all candidates are scored at once.
    """
    logits_MNC = checked_members(logits_MNC)
    targets_N = checked_targets(targets_N, logits_MNC[0])
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise InputError(f"size: expected an integer >= 1, got {size!r}")
    if metric not in ("nll", "error"):
        raise InputError(f"metric: expected 'nll' or 'error', got {metric!r}")
    if metric == "nll":
        order, scores = _by_nll(logits_MNC, targets_N, size)
    else:
        order, scores = _by_error(logits_MNC, targets_N, size)
    best = _first_lowest(scores) + 1
    counts = [order[:best].count(m) for m in range(len(logits_MNC))]
    return Choice(
        weights_M=tuple(count / best for count in counts),
        order=tuple(order),
        scores=tuple(scores),
        best=best,
    )


def _by_nll(
    logits_MNC: Tensor, targets_N: Tensor, size: int
) -> tuple[list[int], list[float]]:
    logs_MN = torch.stack([_target_logs(member, targets_N) for member in logits_MNC])
    if not bool((logs_MN.mean(dim=1) > -torch.inf).any()):
        raise InputError(
            "logits_MNC: expected a member with a finite NLL, but each has a target of "
            "logit -inf; select by error, or smooth the members"
        )
    sum_N = torch.full_like(logs_MN[0], -torch.inf)

    def scores_of(step: int) -> list[float]:
        totals = torch.logaddexp(sum_N, logs_MN).mean(dim=1)
        return (log(step + 1) - totals).tolist()

    def add(member: int) -> None:
        torch.logaddexp(sum_N, logs_MN[member], out=sum_N)

    return _climb(scores_of, add, size)


def _by_error(
    logits_MNC: Tensor, targets_N: Tensor, size: int
) -> tuple[list[int], list[float]]:
    probs = [_probabilities(member) for member in logits_MNC]
    sum_NC = torch.zeros_like(probs[0], dtype=torch.float64)

    def scores_of(step: int) -> list[float]:
        wrong = [(sum_NC + p_NC).argmax(dim=1) != targets_N for p_NC in probs]
        return [int(wrong_N.sum()) / len(targets_N) for wrong_N in wrong]

    def add(member: int) -> None:
        sum_NC.add_(probs[member])

    return _climb(scores_of, add, size)


def _climb(
    scores_of: Callable[[int], list[float]], add: Callable[[int], None], size: int
) -> tuple[list[int], list[float]]:
    """Add the best-scoring member `size` times; ties go to members in use."""
    order: list[int] = []
    trajectory: list[float] = []
    for step in range(size):
        scores = scores_of(step)
        best = _ties(scores)
        used = [member for member in best if member in order]
        chosen = (used or best)[0]
        add(chosen)
        order.append(chosen)
        trajectory.append(scores[chosen])
    return order, trajectory


def _ties(scores: list[float]) -> list[int]:
    """Indices of the scores that are lowest up to rounding."""
    lowest = min(scores)
    limit = lowest + _TIE * max(1.0, abs(lowest)) if isfinite(lowest) else lowest
    return [index for index, score in enumerate(scores) if score <= limit]


def _first_lowest(scores: list[float]) -> int:
    return _ties(scores)[0]


def _target_logs(logits_NC: Tensor, targets_N: Tensor) -> Tensor:
    parts = [
        part.log_softmax(dim=1).gather(1, labels[:, None])[:, 0]
        for part, labels in blocks(logits_NC, targets_N)
    ]
    return torch.cat(parts)


def _probabilities(logits_NC: Tensor) -> Tensor:
    """Softmax in float64, kept in the logits' own width (float32 at least)."""
    dtype = torch.promote_types(logits_NC.dtype, torch.float32)
    parts = [part.softmax(dim=1).to(dtype) for part, _ in blocks(logits_NC)]
    return torch.cat(parts)
