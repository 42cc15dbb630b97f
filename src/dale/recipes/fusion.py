"""Fusing a run's members into one network."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Literal

from dale.errors import InputError
from dale.merge import (
    Check,
    average,
    check,
    fisher_merge,
    greedy_soup,
    learned_soup,
    regmean,
    uniform_soup,
)
from dale.recipes.merge_check import write_in_run
from dale.recipes.pooling import first_pool
from dale.recipes.statistics import member_statistics, validation_epochs
from dale.recipes.workbench import Workbench, scores
from dale.store import Member
from dale.train import statistics_batches
from dale.weights import Weights, has_statistics, layout_of, load_into, reestimate

Method = Literal[
    "uniform", "weighted", "greedy_soup", "learned_soup", "fisher", "regmean"
]

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
    checked: bool = True,
) -> Member:
    """Average members of a run into one network and append it to the run.

    Normalisation statistics are re-estimated on the training examples, for every
    candidate average that is scored as well as for the result.

    Args:
        bench: The run.
        method: ``"uniform"``, ``"weighted"``, ``"greedy_soup"``; ``"learned_soup"``,
            whose shares are learned by layer on validation examples; ``"fisher"`` or
            ``"regmean"``, with statistics of training examples, which are kept in
            ``statistics/``.
        group: Whose members; by default the first strategy with several.
        labels: These members instead.
        weights: One for each member, for the weighted average.
        score: What the greedy soup climbs on, on validation examples.
        name: Label of the new member.
        checked: Compare the result with the members, losses halfway on validation
            examples included, and write a page into ``report/``.

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
    elif method == "uniform":
        result = refresh(uniform_soup(read() for _, read in sources))
    else:
        loaded = [read() for _, read in sources]
        result, facts = _informed(bench, method, members, loaded, weights)
        result, details = refresh(result), details | facts
    base = members[0].group
    found = scored(result)
    if checked:
        parts = [(m, read()) for m, (_, read) in zip(members, sources, strict=True)]
        judged = _judged(result, found, parts, lambda w: scored(refresh(w))["nll"])
        details["check"] = {"level": judged.level, "findings": list(judged.findings)}
    with bench.run.lock():
        made = bench.run.population.append(
            result,
            label=name or f"{method}-of-{base}",
            how=method,
            group=base,
            layout=layout_of(bench.model),
            parents=parents,
            scores={f"val_{key}": value for key, value in found.items()},
            details=details,
        )
        if checked:
            _, entry = write_in_run(bench.run.folder, made, judged)
            bench.run.write_result(entry, judged.to_dict() | {"label": made.label})
    return made


def _informed(
    bench: Workbench,
    method: Method,
    members: Sequence[Member],
    loaded: Sequence[Weights],
    weights: Sequence[float] | None,
) -> tuple[Weights, dict[str, Any]]:
    """Merge by given weights, by learned shares or by statistics."""
    if method == "weighted":
        given = [float(value) for value in weights or ()]
        return average(loaded, coefficients=given), {"weights": given}
    if method == "learned_soup":
        soup = learned_soup(bench.model, loaded, validation_epochs(bench))
        facts = {"shares": {name: [*row] for name, row in soup.shares.items()}}
        facts["losses"] = [*soup.losses]
        return soup.weights, facts | {"temperature": soup.temperature}
    if method == "fisher":
        known = [member_statistics(bench, member, "fisher") for member in members]
        return fisher_merge(loaded, known), {"examples": known[0].examples}
    known = [member_statistics(bench, member, "gram") for member in members]
    return regmean(loaded, known), {"examples": known[0].examples}


def _judged(
    result: Weights,
    found: dict[str, float],
    parts: Sequence[tuple[Member, Weights]],
    between: Callable[[Weights], float],
) -> Check:
    """Check a result; the losses of members and of the result are known already."""
    known = {id(result): found["nll"]}
    for member, weights in parts:
        if "val_nll" in member.scores:
            known[id(weights)] = float(member.scores["val_nll"])

    def loss(weights: Weights) -> float:
        return known[id(weights)] if id(weights) in known else between(weights)

    labels = [member.label for member, _ in parts]
    models = [weights for _, weights in parts]
    return check(result, models, loss=loss, labels=labels, points=3)


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
