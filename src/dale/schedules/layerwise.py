"""Rates by layer: factors of the schedule's rate, one for each layer.

Layers are counted from the input to the head; L is their number. A factor times a
`Schedule` is the layer's rate, whatever the schedule: see `dale.schedules.scale`.
"""

import math
from collections.abc import Sequence
from statistics import median
from typing import Literal

from dale.errors import InputError
from dale.schedules._numbers import finite, positive, whole


def discriminative_rates(layers: int, factor: float = 1 / 2.6) -> list[float]:
    """Rates that shrink by the same factor from the head back: ``f^(L−1−ℓ)``.

    Args:
        layers: L, at least 1.
        factor: f > 0; 1 is one rate for all, and above 1 the first layers learn
            fastest.

    Returns:
        L factors; that of the head is 1.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> discriminative_rates(3, factor=0.5)
        [0.25, 0.5, 1.0]

    Reference:
        Howard and Ruder 2018, Universal language model fine-tuning, arXiv 1801.06146,
        where the rate of a layer is that of the next one divided by 2.6.
    """
    whole("layers", layers, least=1)
    positive("factor", factor)
    return [factor**depth for depth in range(layers - 1, -1, -1)]


def equalised_rates(
    gradients: Sequence[float],
    targets: Sequence[float] | None = None,
    of: Literal["mean", "largest"] = "mean",
    limit: float = 100.0,
) -> list[float]:
    """Rates with which every layer's expected update has the size it should have.

    ``α_ℓ ∝ u_ℓ / E‖g_ℓ‖``, so that ``α_ℓ E‖g_ℓ‖`` is the same share of the target
    ``u_ℓ`` in every layer.

    Args:
        gradients: Mean norm of each layer's gradient, at least 0.
        targets: Wanted sizes ``u_ℓ`` > 0, up to a common factor; all equal if left
            out.
        of: Which factor is 1: the mean of all, or the largest.
        limit: No ``α_ℓ`` is more than so many times the median, nor less than that
            part of it, so that a layer whose gradient vanishes takes no rate that
            the others need. At least 1.

    Returns:
        One factor for each layer; all 1 where no gradient is above 0.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> equalised_rates([1.0, 2.0, 4.0], of="largest")
        [1.0, 0.5, 0.25]
        >>> equalised_rates([1.0, 2.0, 4.0], targets=[1.0, 2.0, 4.0])
        [1.0, 1.0, 1.0]
    """
    norms = _norms("gradients", gradients)
    sizes = [1.0] * len(norms) if targets is None else _norms("targets", targets)
    if len(sizes) != len(norms) or not all(sizes):
        raise InputError(f"expected {len(norms)} targets above 0, got {targets!r}")
    if not finite("limit", limit) >= 1:
        raise InputError(f"limit must be at least 1, got {limit:g}")
    if of not in ("mean", "largest"):
        raise InputError(f"of must be 'mean' or 'largest', got {of!r}")
    wanted = [u / g if g else math.inf for u, g in zip(sizes, norms, strict=True)]
    known = [rate for rate in wanted if rate < math.inf]
    if not known:
        return [1.0] * len(norms)
    middle = median(known)
    bounded = [min(max(rate, middle / limit), middle * limit) for rate in wanted]
    unit = max(bounded) if of == "largest" else math.fsum(bounded) / len(bounded)
    return [rate / unit for rate in bounded]


def signal_ratios(gradients: Sequence[float], decays: Sequence[float]) -> list[float]:
    """How strongly the data pull at a layer, against how strongly decay does.

    ``E‖∇_ℓ data‖ / (wd ‖w_ℓ‖)``: below 1, weight decay moves the layer more than the
    examples do.

    Args:
        gradients: Mean norm of each layer's gradient of the data loss, at least 0.
        decays: Norm of each layer's decay ``wd · w``, at least 0.

    Returns:
        One ratio for each layer; infinite where nothing decays.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> signal_ratios([0.5, 0.001], [0.01, 0.1])
        [50.0, 0.01]
    """
    norms, pulls = _norms("gradients", gradients), _norms("decays", decays)
    if len(norms) != len(pulls):
        raise InputError(f"expected {len(norms)} decays, got {len(pulls)}")
    return [g / d if d else math.inf for g, d in zip(norms, pulls, strict=True)]


def _norms(name: str, values: Sequence[float]) -> list[float]:
    if not values:
        raise InputError(f"{name}: expected at least one layer")
    found = [finite(f"{name}[{place}]", value) for place, value in enumerate(values)]
    if min(found) < 0:
        raise InputError(f"{name}: expected numbers >= 0, got {min(found):g}")
    return found
