"""The Brier score taken apart: how honest, how sharp, how hard.

Shapes: N examples, C classes, B bins. For edges and ties see `dale.metrics.bins`.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from dale.metrics.bins import Spacing, check_bins, sums_of
from dale.metrics.check import checked
from dale.metrics.classwise import class_bins


@dataclass(frozen=True)
class BrierParts:
    """Five terms whose signed sum is the Brier score.

    ``brier = reliability - resolution + uncertainty + within_variance -
    within_covariance``.

    Args:
        reliability: Squared distance of what was forecast from what happened, per
            bin. In [0, 2]; 0 is calibrated.
        resolution: Squared distance of what happened per bin from what happens
            overall. In [0, 1]; higher is better.
        uncertainty: Variance of the targets, the score of always forecasting the
            shares of the classes. In [0, 1]; a property of the data.
        within_variance: Variance of the probabilities inside their bins.
        within_covariance: Twice their covariance with the targets inside the bins.

    Example:
        >>> parts = brier_parts(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]))
        >>> parts.reliability, parts.resolution, parts.uncertainty, parts.brier
        (0.125, 0.0, 0.375, 0.5)
    """

    reliability: float
    resolution: float
    uncertainty: float
    within_variance: float
    within_covariance: float

    @property
    def brier(self) -> float:
        """The Brier score itself, to within rounding whatever the bins."""
        return self.reliability - self.generalised_resolution + self.uncertainty

    @property
    def generalised_resolution(self) -> float:
        """Resolution together with what bins hide: RES - WBV + WBC."""
        return self.resolution - self.within_variance + self.within_covariance

    def to_dict(self) -> dict[str, float]:
        """The five terms by name: ready for JSON."""
        return asdict(self)


def brier_parts(
    logits_NC: Tensor,
    targets_N: Tensor,
    bins: int = 15,
    spacing: Spacing = "width",
) -> BrierParts:
    """Reliability, resolution, uncertainty and the two terms inside the bins.

    For each class c the examples are binned by p_c; with p_bc the mean probability,
    o_bc the share of class c in the bin and o_c its share overall,

    ``REL = sum_c sum_b (n_bc / N) (p_bc - o_bc)^2``,
    ``RES = sum_c sum_b (n_bc / N) (o_bc - o_c)^2``, ``UNC = sum_c o_c (1 - o_c)``,
    ``WBV = sum_c (1/N) sum_i (p_ic - p_bc)^2`` and
    ``WBC = sum_c (2/N) sum_i (p_ic - p_bc) [y_i = c]``, b being the bin of p_ic.

    The familiar three terms alone give the Brier score only if every bin holds a
    single probability; with the last two the sum is exact for any bins.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        bins: Number of bins B >= 1 for each class.
        spacing: ``width`` (equal widths) or ``mass`` (equal counts in each class).

    Returns:
        The five terms.

    Raises:
        InputError: Wrong types, shapes, labels, NaN, or an impossible setting.

    Example:
        >>> from dale.metrics import brier
        >>> logits = torch.tensor([[1.0, 0.0], [0.2, 0.0], [0.0, 2.0]])
        >>> parts = brier_parts(logits, torch.tensor([0, 1, 1]), bins=2)
        >>> abs(parts.brier - brier(logits, torch.tensor([0, 1, 1]))) < 1e-15
        True

    Reference:
        A. H. Murphy, A New Vector Partition of the Probability Score, 1973; D. B.
        Stephenson, C. A. S. Coelho, I. T. Jolliffe, Two Extra Components in the Brier
        Score Decomposition, 2008. Theirs is for one event; here the classes are
        summed, as in the Brier score.
    """
    check_bins(bins, spacing)
    logits_NC, targets_N = checked(logits_NC, targets_N)
    total = torch.zeros(5, dtype=torch.float64)
    for p_N, is_N, index_N in class_bins(logits_NC, targets_N, bins, spacing):
        total += _of_class(p_N, is_N, index_N, bins)
    return BrierParts(*(total / len(targets_N)).tolist())


def _of_class(p_N: Tensor, is_N: Tensor, index_N: Tensor, bins: int) -> Tensor:
    """The five terms of one class, N times as large."""
    counts = torch.bincount(index_N, minlength=bins).double()
    divisor = counts.clamp(min=1.0)
    sure, share = (sums_of(index_N, x_N, bins) / divisor for x_N in (p_N, is_N))
    overall = is_N.mean()
    within_N = p_N - sure[index_N]
    return torch.stack(
        [
            (counts * (sure - share).square()).sum(),
            (counts * (share - overall).square()).sum(),
            len(is_N) * overall * (1 - overall),
            within_N.square().sum(),
            2 * (within_N * (is_N - share[index_N])).sum(),
        ]
    ).cpu()


def brier_reliability(
    logits_NC: Tensor,
    targets_N: Tensor,
    bins: int = 15,
    spacing: Spacing = "width",
) -> float:
    """The reliability term of the Brier score: 0 when calibrated. See `brier_parts`.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        bins: Number of bins B >= 1 for each class.
        spacing: ``width`` (equal widths) or ``mass`` (equal counts in each class).

    Returns:
        A float in [0, 2].

    Raises:
        InputError: Wrong types, shapes, labels, NaN, or an impossible setting.

    Example:
        >>> brier_reliability(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]))
        0.125
    """
    return brier_parts(logits_NC, targets_N, bins, spacing).reliability


def brier_resolution(
    logits_NC: Tensor,
    targets_N: Tensor,
    bins: int = 15,
    spacing: Spacing = "width",
) -> float:
    """The resolution term of the Brier score: 0 when uninformative. See `brier_parts`.

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
        >>> brier_resolution(torch.tensor([[9.0, 0], [0, 9.0]]), torch.tensor([0, 1]))
        0.5
    """
    return brier_parts(logits_NC, targets_N, bins, spacing).resolution
