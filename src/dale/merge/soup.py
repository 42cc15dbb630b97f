"""Soups: averages of models that were chosen by a score. Shape suffix: K, models."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from dale.errors import InputError
from dale.weights import RunningMean, Weights

Source = Weights | Callable[[], Weights]
"""Weights, or a function that reads them when they are needed."""
Score = Callable[[Weights], float]
"""A score of weights on held-out data; higher is better."""


_FIRST = "the best alone"
_NOT_A_NUMBER = "its own score is not a number"


@dataclass(frozen=True)
class Decision:
    """What became of one candidate, and why.

    Attributes:
        label: The candidate.
        score_alone: Its own score.
        score_with: Score of the soup with it; NaN when that was not tried.
        kept: Whether it is part of the soup.
        reason: Why, in words.
    """

    label: str
    score_alone: float
    score_with: float
    kept: bool
    reason: str


@dataclass(frozen=True)
class Soup:
    """An average of chosen models.

    Attributes:
        weights: The average, as it was scored.
        labels: The chosen models, in the order in which they were added.
        decisions: One for each candidate, in the order in which they were tried.
        score: Score of the average.
    """

    weights: dict[str, Tensor]
    labels: tuple[str, ...]
    decisions: tuple[Decision, ...]
    score: float


def uniform_soup(weights_iter: Iterable[Weights]) -> dict[str, Tensor]:
    """Mean of all models, read one after the other.

    One model and one float32 accumulator are in memory, however many there are.

    Args:
        weights_iter: Models with the same names and shapes.

    Returns:
        The mean in the types of the first model. Counters come from the last, ties
        are kept.

    Raises:
        InputError: There are no models.
        WeightsError: Names, shapes or kinds differ.

    Example:
        >>> import torch
        >>> uniform_soup({"w": torch.tensor(float(value))} for value in (1, 2, 6))
        {'w': tensor(3.)}

    References:
        Wortsman et al. (2022), Model soups, arXiv 2203.05482.
    """
    mean = RunningMean()
    for weights in weights_iter:
        mean.update(weights)
    return mean.value()


def greedy_soup(
    candidates: Sequence[tuple[str, Source]],
    score: Score,
    *,
    strict: bool = False,
    refresh: Callable[[Weights], Weights] | None = None,
    known: Mapping[str, float] | None = None,
) -> Soup:
    """Average the models that do not make the average worse.

    Candidates are sorted by their own score, ties in the order given. The best one
    starts; each of the others is kept if the mean of the kept ones and itself scores at
    least as well as the mean without it. The score never falls below that of the best
    candidate, on the data of the score.

    Args:
        candidates: Pairs of a label and weights, or a function that reads them. Each
            is read once to be scored alone and once to be tried; one at a time is in
            memory, beside the running means.
        score: Higher is better. A score that is NaN counts as the worst.
        strict: Keep a model only if the score rises.
        refresh: Applied to every average before it is scored, to re-estimate
            normalisation statistics; see `dale.weights.reestimate`.
        known: Scores of candidates alone, by label, that need not be computed again.

    Returns:
        The soup and every decision. Integer counters come from the last kept model.

    Raises:
        InputError: No candidates, a label twice, a known score without a candidate, or
            no candidate with a score that is a number.
        WeightsError: Names, shapes or kinds differ.

    Example:
        >>> import torch
        >>> pool = [(name, {"w": torch.tensor(value)})
        ...         for name, value in [("a", 0.0), ("b", 1.5), ("c", 9.0)]]
        >>> soup = greedy_soup(pool, lambda weights: -abs(weights["w"].item() - 1.0))
        >>> soup.labels, soup.weights
        (('b', 'a'), {'w': tensor(0.7500)})
        >>> soup.decisions[-1].reason
        'the score would fall'

    References:
        Wortsman et al. (2022), Model soups, arXiv 2203.05482, Recipe 1. The paper keeps
        a model when the score does not fall (``strict=False``); its published code
        keeps it when the score rises (``strict=True``).
    """
    alone = _score_alone(candidates, score, known or {})
    ranked = sorted(candidates, key=lambda pair: _rank(alone[pair[0]]), reverse=True)
    (label, source), *others = ranked
    if math.isnan(alone[label]):
        raise InputError(f"none of {len(ranked)} candidates has a numeric score")
    mean = RunningMean()
    mean.update(read(source))
    best = alone[label]
    first = Decision(label, best, best, True, _FIRST)
    soup = Soup(mean.value(), (label,), (first,), best)
    for label, source in others:
        if math.isnan(alone[label]):
            decision = Decision(label, math.nan, math.nan, False, _NOT_A_NUMBER)
            soup = replace(soup, decisions=(*soup.decisions, decision))
            continue
        trial = mean.copy()
        trial.update(read(source))
        fresh = trial.value() if refresh is None else dict(refresh(trial.value()))
        value = float(score(fresh))
        kept, reason = _judge(value, soup.score, strict)
        decision = Decision(label, alone[label], value, kept, reason)
        soup = replace(soup, decisions=(*soup.decisions, decision))
        if kept:
            mean = trial
            soup = Soup(fresh, (*soup.labels, label), soup.decisions, value)
    return soup


def greedy(
    weights_K: Sequence[Weights],
    *,
    score: Score,
    strict: bool = False,
    refresh: Callable[[Weights], Weights] | None = None,
) -> dict[str, Tensor]:
    """The weights of a `greedy_soup` of models without labels.

    Args:
        weights_K: Models with the same names and shapes.
        score: Higher is better.
        strict: Keep a model only if the score rises.
        refresh: Applied to every average before it is scored.

    Returns:
        The average of the chosen models.

    Raises:
        InputError: No models, or none with a score that is a number.
        WeightsError: Names, shapes or kinds differ.

    Example:
        >>> import torch
        >>> models = [{"w": torch.tensor(value)} for value in (0.0, 1.5, 9.0)]
        >>> greedy(models, score=lambda weights: -abs(weights["w"].item() - 1.0))
        {'w': tensor(0.7500)}
    """
    pool = [(str(k), weights) for k, weights in enumerate(weights_K)]
    return greedy_soup(pool, score, strict=strict, refresh=refresh).weights


def _score_alone(
    candidates: Sequence[tuple[str, Source]], score: Score, known: Mapping[str, float]
) -> dict[str, float]:
    labels = [label for label, _ in candidates]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise InputError(f"labels must be unique, given more than once: {twice}")
    if unknown := sorted(known.keys() - {*labels}):
        raise InputError(f"known scores without a candidate: {unknown}; have {labels}")
    if not candidates:
        raise InputError("a soup needs 1 or more candidates, got 0")
    alone = {}
    for label, source in candidates:
        value = known[label] if label in known else score(read(source))
        alone[label] = float(value)
    return alone


def read(source: Source) -> Weights:
    """Weights that are given, or read by a function."""
    return source() if callable(source) else source


def _rank(score: float) -> tuple[bool, float]:
    return (False, 0.0) if math.isnan(score) else (True, score)


def _judge(value: float, best: float, strict: bool) -> tuple[bool, str]:
    if math.isnan(value):
        return False, "the score of the average is not a number"
    if value > best:
        return True, "the score rises"
    if value == best:
        return not strict, "the score stays"
    return False, "the score would fall"
