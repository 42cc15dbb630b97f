"""Fusions that look at weights alone, or at a score of them."""

from dataclasses import asdict
from typing import Any

from dale.errors import InputError
from dale.merge import (
    average,
    contribution,
    contributions,
    greedy_soup,
    merge,
    over_names,
    random_subsets,
    subspace_coefficients,
    suffix,
    uniform_soup,
)
from dale.recipes.fusion.pot import Fused, Pot, scan_details


def direct(pot: Pot, method: str, settings: dict[str, Any]) -> Fused:
    """A method of `dale.merge.METHODS` as it is."""
    models, base = pot.weights_K, pot.base
    return pot.chosen(lambda **own: merge(models, method, base=base, **own), settings)


def uniform(pot: Pot, *, last: int | None = None) -> Fused:
    """Mean of all members, or of the last few, read one after the other."""
    sources = pot.sources()
    if last is not None and not 1 <= last <= len(sources):
        raise InputError(f"last must be from 1 to {len(sources)} models, got {last}")
    sources = sources if last is None else sources[-last:]
    mean = uniform_soup(read() for _, read in sources)
    return Fused(mean, tuple(label for label, _ in sources))


def weighted(pot: Pot, *, coefficients: list[float]) -> Fused:
    """Weighted mean."""
    found = dict(zip(pot.labels, coefficients, strict=True))
    mean = average(pot.weights_K, coefficients=coefficients)
    return Fused(mean, pot.labels, {"weights": coefficients, "coefficients": found})


def greedy(pot: Pot, *, strict: bool = False) -> Fused:
    """Mean of the members that do not lower a score."""
    soup = greedy_soup(pot.sources(), pot.climb, strict=strict, refresh=pot.refresh)
    decisions = [asdict(decision) for decision in soup.decisions]
    details = {"score": pot.score, "decisions": decisions}
    return Fused(soup.weights, soup.labels, details, True)


def suffixes(pot: Pot) -> Fused:
    """Mean of the last few members, as many as score best."""
    readers = [read for _, read in pot.sources()]
    found = suffix(readers, pot.climb, refresh=pot.refresh)
    details = scan_details(pot, "last", found)
    parents = pot.labels[-int(found.value) :]
    return Fused(found.weights, parents, details, True)


def subsets(pot: Pot, *, size: int = 2, draws: int = 10, shuffle: int = 0) -> Fused:
    """Best mean of random subsets of the members."""
    found = random_subsets(
        pot.sources(), size, draws, seed=shuffle, score=pot.climb, refresh=pot.refresh
    )
    tried = [[", ".join(subset.labels), subset.score] for subset in found]
    details = {
        "score": pot.score,
        "setting": "members",
        "value": tried[0][0],
        "tried": tried,
    }
    return Fused(found[0].weights, found[0].labels, details, True)


def in_subspace(pot: Pot, *, rank: int | None = None, variance: float = 0.9) -> Fused:
    """Mean projected on the main directions in which the members moved."""
    models, base = pot.weights_K, pot.base
    given = {"rank": rank, "variance": variance}
    fused = pot.chosen(lambda **own: merge(models, "subspace", base=base, **own), given)
    if pot.scan is not None:
        given[pot.scan[0]] = fused.details["value"]
    *shares, _ = subspace_coefficients(models, base, **given)
    found = dict(zip(pot.labels, shares, strict=True))
    details = {**fused.details, "coefficients": found}
    return Fused(fused.weights, fused.parents, details, fused.fresh)


def by_contribution(pot: Pot, *, temperature: float = 0.1) -> Fused:
    """Mean by contributions, a softmax of the members' scores."""
    mean = over_names(
        contribution, pot.weights_K, scores=pot.alone, temperature=temperature
    )
    shares = contributions(pot.alone, temperature)
    details = {
        "score": pot.score,
        "scores": dict(zip(pot.labels, pot.alone, strict=True)),
        "coefficients": dict(zip(pot.labels, shares, strict=True)),
    }
    return Fused(mean, pot.labels, details)
