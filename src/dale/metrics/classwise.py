"""Calibration errors that look at more than the predicted class.

Shapes: N examples, C classes, K classes of one block, B bins. For edges and ties see
`dale.metrics.bins`.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from dale.metrics import check
from dale.metrics.accuracy import correct_N
from dale.metrics.bins import (
    Spacing,
    check_bins,
    edges_of,
    index_of,
    rounded,
    sums_of,
)
from dale.metrics.check import blocks, checked
from dale.metrics.ranking import confidence_N


def classwise_ece(
    logits_NC: Tensor,
    targets_N: Tensor,
    bins: int = 15,
    spacing: Spacing = "width",
) -> float:
    """Expected calibration error of every class's probability, averaged over classes.

    ``(1/C) sum_c sum_b (n_bc / N) |share_bc - p_bc|``: for each class c the examples
    are binned by p_c, and the share that is of class c is compared with the mean p_c.
    With many classes nearly all p_c are close to 0, and so is the result: compare it
    between methods on the same data, never between data sets.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        bins: Number of bins B >= 1 for each class.
        spacing: ``width`` (equal widths) or ``mass`` (equal counts in each class).

    Returns:
        A float in [0, 1].

    Raises:
        InputError: Wrong types, shapes, labels, NaN, or an impossible setting.

    Example:
        >>> classwise_ece(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]))
        0.25

    Reference:
        M. Kull, M. Perello-Nieto, M. Kängsepp, T. Silva Filho, H. Song, P. Flach,
        Beyond Temperature Scaling, 2019, arXiv 1910.12656; J. Nixon et al., 2019, arXiv
        1904.01685 (static calibration error; with ``mass``, adaptive).
    """
    check_bins(bins, spacing)
    logits_NC, targets_N = checked(logits_NC, targets_N)
    total = 0.0
    for p_N, is_N, index_N in class_bins(logits_NC, targets_N, bins, spacing):
        total += float(sums_of(index_N, is_N - p_N, bins).abs().sum())
    return total / logits_NC.numel()


def top_label_ece(
    logits_NC: Tensor,
    targets_N: Tensor,
    bins: int = 15,
    spacing: Spacing = "width",
) -> float:
    """Expected calibration error within each predicted class.

    ``sum_l sum_b (n_lb / N) |accuracy_lb - confidence_lb|`` over the predicted classes
    l, each with bins of its own. Over-confidence in one class and under-confidence in
    another, which cancel in `ece`, add up here, so that it is never below `ece` with
    bins of equal width.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        bins: Number of bins B >= 1 for each predicted class.
        spacing: ``width`` (equal widths) or ``mass`` (equal counts in each class).

    Returns:
        A float in [0, 1].

    Raises:
        InputError: Wrong types, shapes, labels, NaN, or an impossible setting.

    Example:
        >>> from dale.metrics import ece
        >>> logits = torch.tensor([[0.0, 0.0], [0.0, 1e-20]])
        >>> targets = torch.tensor([0, 0])
        >>> ece(logits, targets), top_label_ece(logits, targets)
        (0.0, 0.5)

    Reference:
        C. Gupta, A. Ramdas, Top-label Calibration and Multiclass-to-binary Reductions,
        2022, arXiv 2107.08353.
    """
    check_bins(bins, spacing)
    logits_NC, targets_N = checked(logits_NC, targets_N)
    gaps_N = correct_N(logits_NC, targets_N).double() - confidence_N(logits_NC)
    predicted_N = logits_NC.argmax(dim=1)
    order_N = predicted_N.sort(stable=True).indices
    counts = torch.bincount(predicted_N).tolist()
    levels_N = rounded(confidence_N(logits_NC))
    total = 0.0
    for chosen in order_N.split(counts):
        if len(chosen):
            level_N = levels_N[chosen]
            edges = edges_of(level_N.sort().values, bins, spacing)
            index_N = index_of(level_N, edges)
            total += float(sums_of(index_N, gaps_N[chosen], bins).abs().sum())
    return total / len(targets_N)


def class_bins(
    logits_NC: Tensor, targets_N: Tensor, bins: int, spacing: Spacing
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Class by class, the probabilities, the truth, and the bins of the probabilities.

    The probabilities are made a bounded number of columns at a time.

    Args:
        logits_NC: Checked logits.
        targets_N: Checked targets.
        bins: Number of bins B >= 1.
        spacing: ``width`` or ``mass``, the latter over all N examples of a class.

    Yields:
        For each class p_N, ``[y = c]`` as float64, and the bin of p_N.
    """
    tops, spreads = [], []
    for part, _ in blocks(logits_NC):
        tops.append(part.amax(dim=1))
        # the largest logit apart, so that a huge one does not swallow the logarithm
        spreads.append((part - tops[-1][:, None]).logsumexp(dim=1))
    top_N1, spread_N1 = torch.cat(tops)[:, None], torch.cat(spreads)[:, None]
    count, classes = logits_NC.shape
    width = max(1, check._BLOCK_ELEMENTS // count)
    for first in range(0, classes, width):
        part_NK = logits_NC[:, first : first + width].double()
        probs_NK = ((part_NK - top_N1) - spread_N1).exp()
        for column, p_N in enumerate(probs_NK.unbind(dim=1)):
            level_N = rounded(p_N)
            ordered_N = level_N if spacing == "width" else level_N.sort().values
            index_N = index_of(level_N, edges_of(ordered_N, bins, spacing))
            yield p_N, (targets_N == first + column).double(), index_N
