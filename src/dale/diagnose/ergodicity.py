"""Does one run, looked at over time, see what many independent runs see?

Shapes: M members, N examples, C classes.
"""

from dataclasses import dataclass
from math import nan

import torch
from torch import Tensor

from dale.errors import InputError
from dale.keys import key


@dataclass(frozen=True)
class Ratio:
    """A ratio of two means over the same examples, with an interval.

    Args:
        value: The ratio; NaN where the lower mean is not positive.
        low: Lower end of the interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def ratio_of_means(
    above_N: Tensor,
    below_N: Tensor,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Ratio:
    """``mean(above) / mean(below)`` with a percentile interval of the bootstrap.

    Examples are drawn with replacement, each with both of its numbers. Where the lower
    mean is not positive in more than the share of draws that the interval leaves out,
    its ends are infinite: the ratio is not determined.

    Args:
        above_N: One number for each example.
        below_N: The same.
        resamples: Draws.
        level: Of the interval, in (0, 1).
        seed: Of the draws.

    Returns:
        The ratio.

    Raises:
        InputError: Different lengths, no examples, or numbers that are not finite.

    Example:
        >>> below = torch.tensor([1.0, 3.0, 2.0, 4.0])
        >>> ratio_of_means(below / 2, below)
        Ratio(value=0.5, low=0.5, high=0.5)

    References:
        Efron and Tibshirani 1993, An introduction to the bootstrap, chapter 13.
    """
    count = len(above_N)
    if count == 0 or above_N.shape != below_N.shape or above_N.dim() != 1:
        raise InputError(
            f"ratio of means: expected two rows of equal length, got shapes "
            f"{tuple(above_N.shape)} and {tuple(below_N.shape)}"
        )
    above_N, below_N = above_N.double(), below_N.double()
    if not bool(above_N.isfinite().all() and below_N.isfinite().all()):
        raise InputError("ratio of means: expected finite numbers")
    generator = torch.Generator().manual_seed(key(seed, "ratio of means"))
    found = []
    for _ in range(resamples):
        rows_N = torch.randint(count, (count,), generator=generator)
        means = above_N[rows_N].mean(), below_N[rows_N].mean()
        found.append(_ratio(*map(float, means)))
    kept = torch.tensor([value for value in found if value == value])
    value = _ratio(float(above_N.mean()), float(below_N.mean()))
    if len(kept) < level * resamples or value != value:
        return Ratio(value, -torch.inf, torch.inf)
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2])
    low, high = torch.quantile(kept, ends).tolist()
    return Ratio(value, low, high)


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else nan


def pair_disagreement(logits_MNC: Tensor) -> Tensor:
    """Share of pairs of members that predict different classes, example by example.

    Args:
        logits_MNC: Floating; two members or more.

    Returns:
        Float64 ``[N]``; its mean is the mean over pairs of the disagreement.

    Raises:
        InputError: There is one member only.

    Example:
        >>> one, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> round(pair_disagreement(torch.stack([one, one, other])).item(), 4)
        0.6667
    """
    members, _, classes = logits_MNC.shape
    if members < 2:
        raise InputError(f"disagreement: expected 2 members or more, got {members}")
    votes_NC = torch.nn.functional.one_hot(logits_MNC.argmax(dim=2), classes).sum(dim=0)
    same_N = (votes_NC * (votes_NC - 1)).sum(dim=1).double()
    return 1 - same_N / (members * (members - 1))


@dataclass(frozen=True)
class Ergodicity:
    """A time average against an ensemble average of as many networks.

    Args:
        gain: Share of the independent ensemble's gain over one network that members of
            one run recover: of NLL, in nats.
        disagreement: Their mean pairwise disagreement over that of independent ones.
    """

    gain: Ratio
    disagreement: Ratio


def ergodicity(
    single_N: Tensor,
    pooled_time_N: Tensor,
    pooled_independent_N: Tensor,
    time_MNC: Tensor,
    independent_MNC: Tensor,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Ergodicity:
    """Compare the members of one run with independent networks.

    ::

        gain         = (L(single) − L(time)) / (L(single) − L(independent))
        disagreement = D(time) / D(independent)

    Both are 1 where time and ensemble averages agree. Losses should be calibrated, each
    by a temperature fitted elsewhere; else the comparison is one of temperatures.

    Args:
        single_N: Loss of an independent network, by example; the mean over networks.
        pooled_time_N: Loss of the pooled members of one run.
        pooled_independent_N: Loss of as many pooled independent networks.
        time_MNC: Logits of the members.
        independent_MNC: Logits of the independent networks.
        resamples: Draws of the bootstrap.
        seed: Of the draws.

    Returns:
        Both ratios, with 95 % intervals over the examples. They say nothing of how
        other seeds would have come out.

    Raises:
        InputError: Shapes that do not fit.

    Example:
        >>> logits = torch.randn(3, 50, 4, generator=torch.Generator().manual_seed(0))
        >>> loss = torch.rand(50, generator=torch.Generator().manual_seed(1))
        >>> same = ergodicity(loss + 0.2, loss, loss, logits, logits)
        >>> same.gain.value, same.disagreement.value
        (1.0, 1.0)
    """
    if time_MNC.shape[1:] != independent_MNC.shape[1:]:
        raise InputError(
            f"ergodicity: expected the same examples and classes, got shapes "
            f"{tuple(time_MNC.shape)} and {tuple(independent_MNC.shape)}"
        )
    gain = ratio_of_means(
        single_N - pooled_time_N,
        single_N - pooled_independent_N,
        resamples=resamples,
        seed=seed,
    )
    disagreement = ratio_of_means(
        pair_disagreement(time_MNC),
        pair_disagreement(independent_MNC),
        resamples=resamples,
        seed=seed,
    )
    return Ergodicity(gain, disagreement)
