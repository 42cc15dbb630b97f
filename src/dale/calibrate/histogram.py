"""Histogram binning: a step function of each class's probability.

Shapes: N examples, C classes, B bins. For edges and ties see `dale.metrics.bins`.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dale.calibrate.calibrator import checked_to_fit
from dale.calibrate.fitted import Facts, Fitted, ruled_out, settled, unchanged
from dale.metrics import blocks
from dale.metrics.bins import (
    Spacing,
    check_bins,
    edges_of,
    index_of,
    rounded,
    sums_of,
)

_TINY = 1e-300  # a mean probability may underflow to 0, and its logarithm must not


@dataclass(frozen=True, eq=False)
class Histogram(Fitted):
    """A step function of each class's probability.

    Args:
        facts: How the fit went.
        edges: Inner edges of the bins (lo, hi], float64, shape (C, B - 1).
        value: Probability in each bin, float64, shape (C, B).
    """

    name: ClassVar[str] = "histogram"
    edges: Tensor
    value: Tensor

    def _map(self, logits_NC: Tensor) -> Tensor:
        self._check_classes(logits_NC, len(self.value))
        probs_CN = rounded(logits_NC.softmax(dim=1)).T.contiguous()
        edges_CB, value_CB = (x.to(logits_NC.device) for x in (self.edges, self.value))
        index_CN = torch.searchsorted(edges_CB, probs_CN)
        log_q_NC = value_CB.gather(1, index_CN).T.clamp(min=_TINY).log()
        return ruled_out(logits_NC, log_q_NC).log_softmax(dim=1)


def fit_histogram(
    logits_NC: Tensor,
    targets_N: Tensor,
    bins: int = 15,
    spacing: Spacing = "mass",
) -> Histogram:
    """For each class the share of it in each bin of its probability.

    ``q_kb = (hits + mean p) / (n + 1)``: the n examples of the bin and one more that
    is worth what the bin's mean probability says, so that no class gets probability 0;
    an empty bin keeps its middle. The q are then divided by their sum, which can
    change the arg-max.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        bins: Number of bins B >= 1 for each class.
        spacing: ``width`` (equal widths) or ``mass`` (equal counts in each class).

    Returns:
        The fitted calibrator.

    Raises:
        InputError: An impossible setting; or as `fit_isotonic`.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]]).repeat(50, 1)
        >>> fitted = fit_histogram(logits, (torch.arange(100) % 10 > 7).long(), bins=4)
        >>> fitted.facts.nll_after < fitted.facts.nll_before
        True

    Reference:
        B. Zadrozny, C. Elkan, Obtaining Calibrated Probability Estimates from Decision
        Trees and Naive Bayesian Classifiers, 2001. The added example is ours.
    """
    check_bins(bins, spacing)
    logits_NC, targets_N = checked_to_fit(logits_NC, targets_N)
    probs_NC = torch.cat([part.softmax(dim=1) for part, _ in blocks(logits_NC)])
    rows = []
    for k, p_N in enumerate(probs_NC.unbind(dim=1)):
        rows.append(_steps(p_N, (targets_N == k).double(), bins, spacing))
    edges_CB, value_CB = (torch.stack(part).cpu() for part in zip(*rows, strict=True))

    def make(facts: Facts) -> Histogram:
        return Histogram(facts, edges_CB, value_CB)

    return settled(make, unchanged(logits_NC, targets_N), logits_NC, targets_N)


def _steps(
    p_N: Tensor, is_N: Tensor, bins: int, spacing: Spacing
) -> tuple[Tensor, Tensor]:
    """Inner edges and smoothed shares of one class."""
    level_N = rounded(p_N)
    edges = edges_of(level_N.sort().values, bins, spacing)
    index_N = index_of(level_N, edges)
    counts, hits, mass = (
        sums_of(index_N, x_N, bins) for x_N in (torch.ones_like(p_N), is_N, p_N)
    )
    middle = 0.5 * (edges[:-1] + edges[1:])
    expected = torch.where(counts > 0, mass / counts.clamp(min=1), middle)
    return rounded(edges[1:-1]), (hits + expected) / (counts + 1)
