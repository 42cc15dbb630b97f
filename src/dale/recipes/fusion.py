"""Fusing a run's members into one network."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Literal

from dale.errors import InputError
from dale.merge import average, greedy_soup, uniform_soup
from dale.recipes.pooling import first_pool
from dale.recipes.workbench import Workbench, scores
from dale.store import Member
from dale.train import statistics_batches
from dale.weights import Weights, has_statistics, layout_of, load_into, reestimate

Method = Literal["uniform", "weighted", "greedy_soup"]

SCORES: dict[str, Callable[[dict[str, float]], float]] = {
    "accuracy": lambda found: 1.0 - found["error"],
    "nll": lambda found: -found["nll"],
}
"""What a greedy soup climbs on; higher is better."""


def fuse(
    bench: Workbench,
    method: Method,
    *,
    group: str | None = None,
    labels: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    score: Literal["accuracy", "nll"] = "accuracy",
    name: str | None = None,
) -> Member:
    """Average members of a run into one network and append it to the run.

    Normalisation statistics are re-estimated on the training examples, for every
    candidate average that is scored as well as for the result.

    Args:
        bench: The run.
        method: ``"uniform"``, ``"weighted"`` or ``"greedy_soup"``.
        group: Whose members; by default the first strategy with several.
        labels: These members instead.
        weights: One for each member, for the weighted average.
        score: What the greedy soup climbs on, on validation examples.
        name: Label of the new member.

    Returns:
        The new member; its details hold the coefficients and the decisions.

    Raises:
        InputError: Too few members, or weights that do not fit them.
    """
    members = bench.members(None if labels else group or first_pool(bench), labels)
    _check(method, members, weights)

    def refresh(taken: Weights) -> Weights:
        if not has_statistics(bench.model):
            return taken
        model, recipe = bench.model, bench.recipe
        walk = statistics_batches(bench.data, recipe, recipe.seed, model)
        return reestimate(model, [taken], walk)[0]

    def scored(taken: Weights) -> dict[str, float]:
        load_into(bench.model, taken)
        return scores(bench.model, bench.split("val"))

    details: dict[str, Any] = {"method": method}
    sources = [(member.label, _loader(bench, member)) for member in members]
    parents = tuple(label for label, _ in sources)
    if method == "greedy_soup":
        climb = SCORES[score]
        soup = greedy_soup(sources, lambda w: climb(scored(w)), refresh=refresh)
        result, parents = soup.weights, soup.labels
        details |= {"score": score, "decisions": [asdict(d) for d in soup.decisions]}
    elif method == "weighted":
        loaded = [read() for _, read in sources]
        result = refresh(average(loaded, coefficients=weights))
        details["weights"] = [float(value) for value in weights or ()]
    else:
        result = refresh(uniform_soup(read() for _, read in sources))
    base = members[0].group
    found = scored(result)
    with bench.run.lock():
        return bench.run.population.append(
            result,
            label=name or f"{method}-of-{base}",
            how=method,
            group=base,
            layout=layout_of(bench.model),
            parents=parents,
            scores={f"val_{key}": value for key, value in found.items()},
            details=details,
        )


def _check(
    method: Method, members: Sequence[Member], weights: Sequence[float] | None
) -> None:
    if len(members) < 2:
        raise InputError(f"{method} needs at least two members; got {len(members)}")
    if (weights is not None) != (method == "weighted"):
        raise InputError(
            "the method 'weighted' needs one weight for each member, and no other "
            f"method takes any; got the method {method!r}"
        )
    if weights is not None and len(weights) != len(members):
        raise InputError(
            f"{len(weights)} weights for {len(members)} members "
            f"({', '.join(m.label for m in members)}); expected one for each"
        )


def _loader(bench: Workbench, member: Member) -> Callable[[], Weights]:
    return lambda: bench.run.population.weights(member)
