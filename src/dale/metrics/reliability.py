"""Reliability diagrams: does a confidence of 0.8 mean correct in 8 of 10 cases?

Shapes: N examples, C classes, B bins. For edges and ties see `dale.metrics.bins`.
"""

from dataclasses import asdict, dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor

from dale.errors import InputError
from dale.metrics.bins import Spacing, check_bins, edges_of, index_of, sums_of
from dale.metrics.ranking import Ranking, ranked


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
        return self._mean([abs(gap) for _, gap, _ in self._used()])

    @property
    def mce(self) -> float:
        """Maximum calibration error: the largest ``|gap|`` over the bins in use."""
        return max(abs(gap) for _, gap, _ in self._used())

    @property
    def square(self) -> float:
        """Squared calibration error: sum over bins of ``(count / N) gap^2``."""
        return self._mean([gap * gap for _, gap, _ in self._used()])

    @property
    def debiased_square(self) -> float:
        """The same less what chance alone adds to it; may be negative.

        ``sum_b (n_b / N) (gap_b^2 - a_b (1 - a_b) / (n_b - 1))`` with a_b the
        accuracy: the second term estimates the variance of a_b. A bin with one
        example tells nothing of its variance and adds nothing.
        """
        return self._mean(
            [
                gap * gap - share * (1 - share) / (count - 1) if count > 1 else 0.0
                for count, gap, share in self._used()
            ]
        )

    def intervals(self, level: float = 0.95) -> tuple[tuple[float, float] | None, ...]:
        """Wilson's interval of the accuracy in each bin; None where it is empty.

        Args:
            level: Coverage, in (0, 1).

        Returns:
            B pairs of a lower and an upper end in [0, 1].

        Raises:
            InputError: The level is not in (0, 1).

        Example:
            >>> drawn = reliability(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]), 1)
            >>> [round(end, 3) for end in drawn.intervals()[0]]
            [0.301, 0.954]

        Reference:
            E. B. Wilson, Probable Inference, the Law of Succession, and Statistical
            Inference, 1927.
        """
        if not 0 < level < 1:
            raise InputError(f"level: expected a number in (0, 1), got {level!r}")
        z = NormalDist().inv_cdf(0.5 + level / 2)
        return tuple(
            None if share is None else _wilson(share, count, z)
            for share, count in zip(self.accuracy, self.counts, strict=True)
        )

    def to_dict(self) -> dict[str, Any]:
        """The fields as lists, numbers and None: ready for JSON."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    def _used(self) -> list[tuple[int, float, float]]:
        """Count, gap and accuracy of the bins that are not empty."""
        return [
            (count, share - sure, share)
            for count, sure, share in zip(
                self.counts, self.confidence, self.accuracy, strict=True
            )
            if sure is not None and share is not None
        ]

    def _mean(self, values: list[float]) -> float:
        counts = [count for count, _, _ in self._used()]
        total = sum(n * value for n, value in zip(counts, values, strict=True))
        return total / sum(counts)


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
    check_bins(bins, spacing)
    return diagram(ranked(logits_NC, targets_N), bins, spacing)


def diagram(
    ranking: Ranking, bins: int = 15, spacing: Spacing = "width"
) -> Reliability:
    """The diagram of examples that are sorted already. See `reliability`.

    Args:
        ranking: What `ranked` gave.
        bins: Number of bins B >= 1.
        spacing: ``width`` (equal widths) or ``mass`` (equal counts).

    Returns:
        The diagram.

    Raises:
        InputError: An impossible setting.

    Example:
        >>> diagram(ranked(torch.zeros(3, 2), torch.tensor([0, 0, 1])), bins=2).counts
        (3, 0)
    """
    check_bins(bins, spacing)
    edges = edges_of(ranking.level_N, bins, spacing)
    index_N = index_of(ranking.level_N, edges)
    counts = torch.bincount(index_N, minlength=bins).tolist()
    return Reliability(
        spacing=spacing,
        edges=tuple(edges.tolist()),
        counts=tuple(counts),
        confidence=_means(index_N, ranking.confidence_N, counts),
        accuracy=_means(index_N, ranking.correct_N, counts),
    )


def _means(
    index_N: Tensor, values_N: Tensor, counts: list[int]
) -> tuple[float | None, ...]:
    sums = sums_of(index_N, values_N, len(counts)).tolist()
    return tuple(s / n if n else None for s, n in zip(sums, counts, strict=True))


def _wilson(share: float, count: int, z: float) -> tuple[float, float]:
    spread = z * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    middle, scale = share + z * z / (2 * count), 1 + z * z / count
    # at the ends the two terms are equal on paper and not in the last bit
    low = 0.0 if share == 0.0 else (middle - spread) / scale
    return low, 1.0 if share == 1.0 else (middle + spread) / scale
