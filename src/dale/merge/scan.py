"""One number chosen by a score: interpolation, extrapolation, suffixes.

Shape suffix: K, models.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from dale.errors import InputError
from dale.merge.arithmetic import extrapolate
from dale.merge.soup import Score, Source, read
from dale.merge.steps import each
from dale.weights import RunningMean, Weights, linear

TENTHS = tuple(k / 10 for k in range(11))
"""From one end of a path to the other in ten steps."""


@dataclass(frozen=True)
class Scan:
    """The best of several weights that one number tells apart.

    Attributes:
        weights: The best.
        value: Its number.
        score: Its score.
        scores: Every number and its score, in the order in which they were tried.
    """

    weights: dict[str, Tensor]
    value: float
    score: float
    scores: tuple[tuple[float, float], ...]


def scan(
    make: Callable[[float], Weights],
    values: Sequence[float],
    score: Score,
    *,
    refresh: Callable[[Weights], Weights] | None = None,
) -> Scan:
    """Make weights for every value of a setting and keep the best.

    Args:
        make: From a value to weights; the best and the last are in memory.
        values: To be tried, in this order. Of equal scores the first counts.
        score: On held-out data; higher is better, NaN counts as the worst.
        refresh: Applied to all weights before they are scored, to re-estimate
            normalisation statistics; see `dale.weights.reestimate`.

    Returns:
        The best, and all scores. Judge it on other data than those of the score.

    Raises:
        InputError: No values, or none with a score that is a number.

    Example:
        >>> import torch
        >>> found = scan(lambda c: {"w": torch.tensor(c)}, (0.0, 1.0, 2.0),
        ...              lambda weights: -abs(weights["w"].item() - 1.2))
        >>> found.value, [round(score, 1) for _, score in found.scores]
        (1.0, [-1.2, -0.2, -0.8])
    """
    best: tuple[dict[str, Tensor], float, float] | None = None
    scores: list[tuple[float, float]] = []
    for value in values:
        fresh = make(value) if refresh is None else refresh(make(value))
        found = float(score(fresh))
        scores.append((value, found))
        if not math.isnan(found) and (best is None or found > best[2]):
            best = dict(fresh), value, found
    if best is None:
        raise InputError(f"none of {len(values)} values has a numeric score")
    return Scan(*best, tuple(scores))


def robust(
    base: Weights,
    tuned: Weights,
    score: Score,
    *,
    values: Sequence[float] = TENTHS,
    refresh: Callable[[Weights], Weights] | None = None,
) -> Scan:
    """WiSE-FT: the best point between a model and what fine-tuning made of it.

    ::

        (1 − α) base + α tuned        α of the largest score

    Args:
        base: The model before fine-tuning, such as a zero-shot one.
        tuned: The model after it.
        score: On held-out data; one of a shifted distribution finds the robust point.
        values: Of α; beyond 1 for extrapolation, below 0 to unlearn.
        refresh: Applied to all weights before they are scored.

    Returns:
        The best point, and the scores along the path.

    Raises:
        InputError: No values, or none with a score that is a number.
        WeightsError: Names or shapes differ.

    Example:
        >>> import torch
        >>> robust({"w": torch.tensor(0.0)}, {"w": torch.tensor(2.0)},
        ...        lambda weights: -abs(weights["w"].item() - 1.4)).value
        0.7

    References:
        Wortsman et al. (2022), Robust fine-tuning of zero-shot models, arXiv
        2109.01903. Beyond 1: Zheng et al. (2024), arXiv 2404.16792.
    """
    return scan(lambda a: extrapolate(base, tuned, a), values, score, refresh=refresh)


def suffix(
    sources_K: Sequence[Source],
    score: Score,
    *,
    refresh: Callable[[Weights], Weights] | None = None,
) -> Scan:
    """The best average of the last few models, for every number of them.

    Args:
        sources_K: Models in order of training, or functions that read them.
        score: On held-out data; higher is better.
        refresh: Applied to every average before it is scored.

    Returns:
        The best average; its value is how many models are in it. Every model is read
        once, and averaged from the last to the first in one running mean.

    Raises:
        InputError: No models, or no score that is a number.
        WeightsError: Names or shapes differ.

    Example:
        >>> import torch
        >>> path = [{"w": torch.tensor(value)} for value in (9.0, 4.0, 2.0, 1.0)]
        >>> found = suffix(path, lambda weights: -abs(weights["w"].item() - 1.4))
        >>> found.value, found.weights
        (2, {'w': tensor(1.5000)})

    References:
        Rakhlin, Shamir and Sridharan (2012), arXiv 1109.5647, on suffix averaging.
    """
    mean = RunningMean()

    def make(last: float) -> Weights:
        mean.update(read(sources_K[-int(last)]))
        return mean.value()

    return scan(make, range(1, len(sources_K) + 1), score, refresh=refresh)


def wise_ft(tensors_K: Sequence[Tensor], base: Tensor, *, alpha: float = 0.5) -> Tensor:
    """A point between the base and the fine-tuned model, or their mean.

    ::

        (1 − α) base + α mean(x)

    Args:
        tensors_K: Tensors of one shape.
        base: That of the model before fine-tuning.
        alpha: 0 at the base, 1 at the fine-tuned model, beyond for more of the same;
            finite.

    Returns:
        The result, in float32 or wider; bit for bit the ends at 0 and, of one model,
        at 1.

    Raises:
        InputError: `alpha` is not finite.

    Example:
        >>> import torch
        >>> wise_ft([torch.tensor(2.0)], torch.tensor(0.0), alpha=0.7)
        tensor(1.4000)

    References:
        Wortsman et al. (2022), Robust fine-tuning of zero-shot models, arXiv
        2109.01903; `robust` chooses α by a score.
    """
    (alpha,) = each("alpha", alpha, 1)
    count = len(tensors_K)
    return linear([*tensors_K, base], [*[alpha / count] * count, 1 - alpha])


def expo(
    tensors_K: Sequence[Tensor], base: Tensor, *, extrapolation: float = 0.1
) -> Tensor:
    """Beyond the fine-tuned model, or the mean of several, away from the base.

    ::

        mean(x) + e (mean(x) − base)

    Args:
        tensors_K: Tensors of one shape.
        base: That of the model before fine-tuning.
        extrapolation: e, as a share of the way that was gone; finite.

    Returns:
        The result, in float32 or wider.

    Raises:
        InputError: `extrapolation` is not finite.

    Example:
        >>> import torch
        >>> expo([torch.tensor(2.0)], torch.tensor(1.0), extrapolation=0.5)
        tensor(2.5000)

    References:
        Zheng et al. (2024), Weak-to-strong extrapolation expedites alignment, arXiv
        2404.16792.
    """
    (extrapolation,) = each("extrapolation", extrapolation, 1)
    return wise_ft(tensors_K, base, alpha=1 + extrapolation)
