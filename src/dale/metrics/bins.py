"""Where the edges of bins lie, and which bin a value falls in.

Shapes: N values, B bins.

Conventions, the same wherever dale bins a probability. Bin b is the half-open interval
(lo_b, hi_b], as in Guo et al. (2017); a value of 0 belongs to the first bin and one of
exactly 1 to the last: there is never an extra bin. Empty bins count nothing. Values
and edges are compared after rounding to 12 decimals, so that the last bit of a
softmax, which depends on the order of the classes, decides neither a tie nor the side
of an edge.
"""

from typing import Literal

import torch
from torch import Tensor

from dale.errors import InputError

Spacing = Literal["width", "mass"]
_DECIMALS = 12


def rounded(values: Tensor) -> Tensor:
    """Values as they are compared with edges and with each other: to 12 decimals."""
    return values.round(decimals=_DECIMALS)


def edges_of(sorted_N: Tensor, bins: int, spacing: Spacing) -> Tensor:
    """The B + 1 edges from 0 to 1, not decreasing.

    ``width``: at b/B. ``mass``: the inner edges are the values of rank ceil(b N / B),
    so that without ties the counts differ by at most one.

    Args:
        sorted_N: `rounded` values in [0, 1], ascending, N >= 1.
        bins: Number of bins B >= 1.
        spacing: ``width`` or ``mass``.

    Returns:
        Float64, shape (B + 1,).

    Example:
        >>> edges_of(torch.tensor([0.1, 0.2, 0.6, 0.7]).double(), 2, "mass")
        tensor([0.0000, 0.2000, 1.0000], dtype=torch.float64)
    """
    steps = torch.arange(bins + 1, device=sorted_N.device)
    if spacing == "width":
        return steps.double() / bins
    count = len(sorted_N)
    ranks = (steps[1:-1] * count + bins - 1) // bins  # ceil(b N / B), from 1
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64, device=sorted_N.device)
    return torch.cat([ends[:1], sorted_N[ranks - 1], ends[1:]])


def index_of(rounded_N: Tensor, edges: Tensor) -> Tensor:
    """The bin of each value, from 0.

    Args:
        rounded_N: `rounded` values in [0, 1], in any order.
        edges: What `edges_of` gave.

    Returns:
        Int64, shape (N,), each in [0, B).

    Example:
        >>> index_of(torch.tensor([0.0, 0.5, 0.51, 1.0]), torch.tensor([0, 0.5, 1.0]))
        tensor([0, 0, 1, 1])
    """
    # right=False: an edge itself belongs to the bin below it
    return torch.bucketize(rounded_N, rounded(edges[1:-1]), right=False)


def sums_of(index_N: Tensor, values_N: Tensor, bins: int) -> Tensor:
    """Sum of the values in each bin, float64, shape (B,)."""
    return torch.bincount(index_N, weights=values_N, minlength=bins)


def check_bins(bins: int, spacing: str) -> None:
    """Refuse an impossible number of bins or an unknown spacing.

    Args:
        bins: To be an integer >= 1.
        spacing: To be ``width`` or ``mass``.

    Raises:
        InputError: One of them is not.
    """
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise InputError(f"bins: expected an integer >= 1, got {bins!r}")
    if spacing not in ("width", "mass"):
        raise InputError(f"spacing: expected 'width' or 'mass', got {spacing!r}")
