"""How many independent networks an ensemble is worth."""

from collections.abc import Callable, Sequence
from itertools import combinations, pairwise
from math import comb, inf, isnan
from random import Random

from dale.errors import InputError
from dale.keys import key


def scores_by_size(
    members: int,
    score: Callable[[Sequence[int]], float],
    most: int = 32,
    seed: int = 0,
) -> list[list[float]]:
    """Scores of the ensembles of every size that can be made of some members.

    Args:
        members: Number of members M >= 1.
        score: Takes the places, from 0, of the members of an ensemble.
        most: Of each size no more than so many ensembles are scored; where there are
            more, they are drawn at random without repetition.
        seed: Of the draws.

    Returns:
        M lists: the scores of the ensembles of 1, 2, ..., M members.

    Raises:
        InputError: A number below 1.

    Example:
        >>> scores_by_size(3, lambda places: float(len(places)))
        [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [3.0]]
    """
    if members < 1 or most < 1:
        raise InputError(f"expected numbers >= 1, got {members=} and {most=}")
    return [
        [score(places) for places in _ensembles(members, size, most, seed)]
        for size in range(1, members + 1)
    ]


def deep_ensemble_equivalent(score: float, independent: Sequence[float]) -> float:
    """The number of independently trained networks that do as well as an ensemble.

    The smallest l >= 1 for which the score of l independent networks reaches that of
    the ensemble, with straight lines between whole numbers.

    Args:
        score: Of the ensemble; higher is better. Take the calibrated log-likelihood,
            the negative of the NLL after temperature scaling: without calibration the
            comparison is one of temperatures.
        independent: The mean score of 1, 2, ... independent networks.

    Returns:
        From 1 to ``len(independent)``; 1 where one network already does as well, and
        infinity where all of them do not.

    Raises:
        InputError: Nothing to compare with, or NaN.

    Example:
        >>> deep_ensemble_equivalent(-0.50, [-0.60, -0.52, -0.48, -0.46])
        2.5
        >>> deep_ensemble_equivalent(-0.40, [-0.60, -0.52, -0.48, -0.46])
        inf

    Reference:
        A. Ashukha, A. Lyzhov, D. Molchanov, D. Vetrov, Pitfalls of In-Domain
        Uncertainty Estimation and Ensembling in Deep Learning, 2020, arXiv 2002.06470.
    """
    if not independent:
        raise InputError("independent: expected at least one score, got none")
    if isnan(score) or any(isnan(value) for value in independent):
        raise InputError("deep-ensemble equivalent: expected scores, got NaN")
    if independent[0] >= score:
        return 1.0
    for size, (low, high) in enumerate(pairwise(independent), start=1):
        if high >= score:
            return size + (score - low) / (high - low)
    return inf


def _ensembles(members: int, size: int, most: int, seed: int) -> list[tuple[int, ...]]:
    if comb(members, size) <= most:
        return list(combinations(range(members), size))
    draws = Random(key(seed, "ensembles", str(size)))
    found: dict[tuple[int, ...], None] = {}
    while len(found) < most:
        found[tuple(sorted(draws.sample(range(members), size)))] = None
    return list(found)
