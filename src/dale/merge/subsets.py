"""Averages of random subsets. Shape suffix: K, models."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from torch import Tensor

from dale.errors import InputError
from dale.keys import key
from dale.merge.soup import Score, Source, read
from dale.weights import RunningMean, Weights


@dataclass(frozen=True)
class Subset:
    """An average of some of the models.

    Attributes:
        labels: Which, in the order of the candidates.
        weights: Their mean, refreshed if asked.
        score: Of the mean; NaN if nothing scored it.
    """

    labels: tuple[str, ...]
    weights: dict[str, Tensor]
    score: float


def random_subsets(
    candidates: Sequence[tuple[str, Source]],
    size: int,
    draws: int = 10,
    *,
    seed: int = 0,
    score: Score | None = None,
    refresh: Callable[[Weights], Weights] | None = None,
) -> list[Subset]:
    """Average random subsets of models, each subset once.

    As many averages as draws, that are more alike than the models and better than
    most: members of an ensemble, or candidates to choose the best from.

    Args:
        candidates: Pairs of a label and weights, or a function that reads them. Those
            of one subset are read one after the other.
        size: Models in a subset, from 1 to all of them.
        draws: How many subsets, 1 or more; at most as many as there are.
        seed: Of the choice.
        score: If given, of every average; higher is better.
        refresh: Applied to every average, to re-estimate normalisation statistics.

    Returns:
        Every subset, the best first if there is a score (NaN last), else as drawn.

    Raises:
        InputError: A number out of range, or a label twice.
        WeightsError: Names, shapes or kinds differ.

    Example:
        >>> import torch
        >>> pool = [(name, {"w": torch.tensor(value)})
        ...         for name, value in [("a", 0.0), ("b", 1.0), ("c", 8.0)]]
        >>> best, *others = random_subsets(
        ...     pool, 2, score=lambda weights: -abs(weights["w"].item()))
        >>> best.labels, best.weights, len(others)
        (('a', 'b'), {'w': tensor(0.5000)}, 2)

    References:
        Breiman (1996), Bagging predictors, for sampling; Wortsman et al. (2022), arXiv
        2203.05482, for averaging.
    """
    chosen = drawn(len(candidates), size, draws, seed)
    labels = [label for label, _ in candidates]
    if len({*labels}) < len(labels):
        raise InputError(f"labels must be unique, got {labels}")
    found = []
    for places in chosen:
        mean = RunningMean()
        for place in places:
            mean.update(read(candidates[place][1]))
        fresh = mean.value() if refresh is None else dict(refresh(mean.value()))
        value = math.nan if score is None else float(score(fresh))
        found.append(Subset(tuple(labels[place] for place in places), fresh, value))
    return found if score is None else sorted(found, key=_badness)


def _badness(subset: Subset) -> float:
    return math.inf if math.isnan(subset.score) else -subset.score


def drawn(count: int, size: int, draws: int, seed: int) -> list[tuple[int, ...]]:
    """Random subsets of so many things, none twice.

    Raises:
        InputError: A number out of range.

    Example:
        >>> sorted(drawn(3, 2, 10, 0))
        [(0, 1), (0, 2), (1, 2)]
    """
    if not 1 <= size <= count:
        raise InputError(f"size must be from 1 to {count} models, got {size}")
    if draws < 1:
        raise InputError(f"draws must be 1 or more, got {draws}")
    wanted, random = min(draws, math.comb(count, size)), Random(key(seed, "subsets"))
    found: dict[tuple[int, ...], None] = {}
    while len(found) < wanted:
        found[tuple(sorted(random.sample(range(count), size)))] = None
    return [*found]


def best_subset(
    weights_K: Sequence[Weights],
    *,
    score: Score,
    size: int = 2,
    draws: int = 10,
    shuffle: int = 0,
    refresh: Callable[[Weights], Weights] | None = None,
) -> dict[str, Tensor]:
    """The weights of the best of `random_subsets` of models without labels.

    Args:
        weights_K: Models with the same names and shapes.
        score: Higher is better.
        size: Models in a subset; no more than there are.
        draws: How many subsets.
        shuffle: Seed of the choice.
        refresh: Applied to every average before it is scored.

    Returns:
        The best average.

    Raises:
        InputError: Numbers out of range, or no score that is a number.
        WeightsError: Names, shapes or kinds differ.

    Example:
        >>> import torch
        >>> models = [{"w": torch.tensor(value)} for value in (0.0, 1.0, 8.0)]
        >>> best_subset(models, score=lambda weights: weights["w"].item())
        {'w': tensor(4.5000)}
    """
    pool = [(str(k), weights) for k, weights in enumerate(weights_K)]
    size = min(size, len(pool))
    best, *_ = random_subsets(
        pool, size, draws, seed=shuffle, score=score, refresh=refresh
    )
    if math.isnan(best.score):
        raise InputError("no average of a subset has a numeric score")
    return best.weights
