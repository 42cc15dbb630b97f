"""Calibration by bins: does a confidence of 0.8 mean correct in 8 of 10 cases?

Shapes: N examples, C classes, B bins.

Conventions, the same in every function here. The confidence is the largest softmax
probability, in float64. Bin b is the half-open interval (lo_b, hi_b], as in Guo et
al. (2017); a confidence of 0 belongs to the first bin and one of exactly 1 to the
last: there is never an extra bin. Empty bins count nothing. Confidences and edges are
compared after rounding to 12 decimals, so that the last bit of a softmax, which
depends on the order of the classes, decides neither a tie nor the side of an edge.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from dale.errors import InputError
from dale.metrics.accuracy import correct_N
from dale.metrics.check import blocks, checked_logits

Spacing = Literal["width", "mass"]
_DECIMALS = 12


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram in numbers.

    Args:
        spacing: How the edges were placed: ``width`` or ``mass``.
        edges: B + 1 edges from 0 to 1, not decreasing; bin b is (edges[b],
            edges[b + 1]].
        counts: Examples per bin.
        confidence: Mean confidence per bin; None where the bin is empty.
        accuracy: Share classified correctly per bin; None where the bin is empty.

    Example:
        >>> diagram = reliability(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]), bins=2)
        >>> diagram.counts, diagram.accuracy, diagram.ece
        ((4, 0), (0.75, None), 0.25)
    """

    spacing: Spacing
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    confidence: tuple[float | None, ...]
    accuracy: tuple[float | None, ...]

    @property
    def gaps(self) -> tuple[float | None, ...]:
        """Accuracy minus mean confidence per bin; None where the bin is empty."""
        return tuple(
            None if a is None or c is None else a - c
            for a, c in zip(self.accuracy, self.confidence, strict=True)
        )

    @property
    def ece(self) -> float:
        """Expected calibration error: sum over bins of ``(count / N) |gap|``."""
        total = sum(
            count * abs(gap)
            for count, gap in zip(self.counts, self.gaps, strict=True)
            if gap is not None
        )
        return total / sum(self.counts)

    @property
    def mce(self) -> float:
        """Maximum calibration error: the largest ``|gap|`` over the bins in use."""
        return max(abs(gap) for gap in self.gaps if gap is not None)

    def to_dict(self) -> dict[str, Any]:
        """The fields as lists, numbers and None: ready for JSON."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }


def reliability(
    logits_NC: Tensor,
    targets_N: Tensor,
    bins: int = 15,
    spacing: Spacing = "width",
) -> Reliability:
    """Mean confidence and accuracy of the examples in each bin of confidence.

    ``width``: edges at b/B. ``mass``: the inner edges are the confidences of rank
    ceil(b N / B), so that without ties the counts differ by at most one. Examples of
    equal confidence always share a bin, the lower one where an edge meets them: a bin
    can then hold more, and another be empty.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        bins: Number of bins B >= 1.
        spacing: ``width`` (equal widths) or ``mass`` (equal counts).

    Returns:
        The diagram.

    Raises:
        InputError: Wrong types, shapes, labels, NaN, or an impossible setting.

    Example:
        >>> logits = torch.tensor([[0.0, 0.0], [800.0, 0.0]])
        >>> reliability(logits, torch.tensor([0, 0]), bins=2).counts
        (1, 1)

    Reference:
        M. H. DeGroot, S. E. Fienberg, The Comparison and Evaluation of Forecasters,
        1983.
    """
    _check_bins(bins, spacing)
    hits_N = correct_N(logits_NC, targets_N).double()
    confidences_N = confidence_N(logits_NC)
    rounded_N = confidences_N.round(decimals=_DECIMALS)
    edges = _edges(rounded_N, bins, spacing)
    # right=False: an edge itself belongs to the bin below it
    inner = edges[1:-1].round(decimals=_DECIMALS)
    index_N = torch.bucketize(rounded_N, inner, right=False)
    counts = torch.bincount(index_N, minlength=bins).tolist()
    return Reliability(
        spacing=spacing,
        edges=tuple(edges.tolist()),
        counts=tuple(counts),
        confidence=_means(index_N, confidences_N, counts),
        accuracy=_means(index_N, hits_N, counts),
    )


def ece(
    logits_NC: Tensor,
    targets_N: Tensor,
    bins: int = 15,
    spacing: Spacing = "width",
) -> float:
    """Expected calibration error of the predicted class.

    ``ece = sum_b (n_b / N) |accuracy_b - confidence_b|``, in [0, 1]. With
    ``spacing="mass"`` it is also known as the adaptive calibration error of the top
    class. Its value depends on the number of bins and it is biased upwards for small
    N: compare methods by `nll` after calibration, and read this one as a description.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        bins: Number of bins B >= 1.
        spacing: ``width`` (equal widths) or ``mass`` (equal counts).

    Returns:
        A float in [0, 1].

    Raises:
        InputError: Wrong types, shapes, labels, NaN, or an impossible setting.

    Example:
        >>> ece(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]))
        0.25

    Reference:
        M. P. Naeini, G. F. Cooper, M. Hauskrecht, Obtaining Well Calibrated
        Probabilities Using Bayesian Binning, 2015; C. Guo, G. Pleiss, Y. Sun, K. Q.
        Weinberger, On Calibration of Modern Neural Networks, 2017, arXiv 1706.04599.
    """
    return reliability(logits_NC, targets_N, bins, spacing).ece


def mce(
    logits_NC: Tensor,
    targets_N: Tensor,
    bins: int = 15,
    spacing: Spacing = "width",
) -> float:
    """Maximum calibration error: largest ``|accuracy - confidence|`` of a bin.

    One example alone in a bin can decide it, so it is unreliable on small sets.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        bins: Number of bins B >= 1.
        spacing: ``width`` (equal widths) or ``mass`` (equal counts).

    Returns:
        A float in [0, 1].

    Raises:
        InputError: Wrong types, shapes, labels, NaN, or an impossible setting.

    Example:
        >>> mce(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]))
        0.25

    Reference:
        M. P. Naeini, G. F. Cooper, M. Hauskrecht, 2015, as for `ece`.
    """
    return reliability(logits_NC, targets_N, bins, spacing).mce


def confidence_N(logits_NC: Tensor) -> Tensor:
    """Largest softmax probability of each example: float64 in [1/C, 1], shape (N,).

    Args:
        logits_NC: Floating, shape (N, C).

    Returns:
        Float64, shape (N,).

    Raises:
        InputError: Wrong type or shape, or NaN.

    Example:
        >>> confidence_N(torch.zeros(1, 4))
        tensor([0.2500], dtype=torch.float64)
    """
    logits_NC = checked_logits(logits_NC)
    parts = [part.softmax(dim=1).amax(dim=1) for part, _ in blocks(logits_NC)]
    return torch.cat(parts)


def _edges(rounded_N: Tensor, bins: int, spacing: Spacing) -> Tensor:
    steps = torch.arange(bins + 1, device=rounded_N.device)
    if spacing == "width":
        return steps.double() / bins
    count = len(rounded_N)
    ranks = (steps[1:-1] * count + bins - 1) // bins  # ceil(b N / B), from 1
    inner = rounded_N.sort().values[ranks - 1]
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64, device=inner.device)
    return torch.cat([ends[:1], inner, ends[1:]])


def _means(
    index_N: Tensor, values_N: Tensor, counts: list[int]
) -> tuple[float | None, ...]:
    sums = torch.bincount(index_N, weights=values_N, minlength=len(counts)).tolist()
    return tuple(s / n if n else None for s, n in zip(sums, counts, strict=True))


def _check_bins(bins: int, spacing: str) -> None:
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise InputError(f"bins: expected an integer >= 1, got {bins!r}")
    if spacing not in ("width", "mass"):
        raise InputError(f"spacing: expected 'width' or 'mass', got {spacing!r}")
