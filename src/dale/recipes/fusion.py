"""Fusing a run's members: into one network, or into one predictor."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Literal

from dale.calibrate import CALIBRATORS, check_disjoint, cross_fitted_score
from dale.ensemble import COMBINERS, greedy
from dale.errors import InputError, nearest
from dale.merge import average, greedy_soup, uniform_soup
from dale.metrics import ece, nll
from dale.recipes.evaluation import Predictor, chosen_pools, judge, predictors
from dale.recipes.workbench import Workbench, scores
from dale.store import Member
from dale.train import statistics_batches
from dale.weights import Weights, has_statistics, layout_of, load_into, reestimate

Method = Literal["uniform", "weighted", "greedy_soup"]
Choose = Literal["all", "greedy"]

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
    if len(members) < 2:
        raise InputError(f"{method} needs at least two members; got {len(members)}")
    if (weights is not None) != (method == "weighted"):
        raise InputError("weights go with the method 'weighted', and only with it")

    def refresh(taken: Weights) -> Weights:
        if not has_statistics(bench.model):
            return taken
        walk = statistics_batches(bench.data, bench.recipe, bench.recipe.seed)
        return reestimate(bench.model, [taken], walk)[0]

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


def pool(
    bench: Workbench,
    *,
    group: str | None = None,
    labels: Sequence[str] | None = None,
    combine: str = "mean_probability",
    choose: Choose = "all",
    size: int = 50,
    score: str = "test",
    name: str | None = None,
) -> dict[str, Any]:
    """Pool members' predictions into one predictor, judge it and remember it.

    Args:
        bench: The run.
        group: Whose members; by default the first strategy with several.
        labels: These members instead.
        combine: A combiner, such as ``"mean_probability"`` or ``"hard_vote"``.
        choose: ``"all"`` members, or ``"greedy"`` with replacement on validation
            examples (Caruana et al. 2004), which gives them weights.
        size: Additions that the greedy choice may make.
        score: Split to score on.
        name: For tables.

    Returns:
        Its line in the table, as JSON values.

    Raises:
        InputError: The combiner or a member is unknown.
    """
    if combine not in COMBINERS:
        raise InputError(f"unknown combiner {combine!r}; {nearest(combine, COMBINERS)}")
    members = bench.members(None if labels else group or first_pool(bench), labels)
    check_disjoint(bench.split("val").digest(), bench.split(score).digest())
    fitting = bench.predict("val", members)
    scoring = bench.predict(score, members)
    chosen, weights, note = tuple(m.label for m in members), None, ""
    if choose == "greedy":
        found = greedy(fitting.logits_MNC, fitting.targets_N, size=size)
        chosen = tuple(members[m].label for m in found.members)
        weights = tuple(found.weights_M[m] for m in found.members)
        note = f"chosen on val out of {len(members)} members"
    title = name or f"{choose} {combine.replace('_', ' ')} of {members[0].group}"
    predictor = Predictor(
        title, members[0].group, "ensemble", chosen, combine, weights, note
    )
    row = judge(predictor, fitting, scoring).row
    entry = {
        "name": title,
        "group": predictor.group,
        "labels": list(chosen),
        "combine": combine,
        "weights": None if weights is None else list(weights),
        "note": note,
    }
    with bench.run.lock():
        stored = bench.run.read_result("ensembles") or {"ensembles": []}
        others = [e for e in stored["ensembles"] if e["name"] != title]
        bench.run.write_result("ensembles", {"ensembles": [*others, entry]})
    return dict(row)


def calibrate(
    bench: Workbench,
    *,
    names: Sequence[str] | None = None,
    method: str = "temperature",
    fit: str = "val",
    score: str = "test",
    cross_fitted: bool = False,
) -> list[dict[str, Any]]:
    """Fit a calibrator for predictors of a run and score it on other examples.

    Args:
        bench: The run.
        names: Predictors by the names in the table, or members by label; all by
            default.
        method: A calibrator, such as ``"temperature"``.
        fit: Split to fit on.
        score: Split to score on.
        cross_fitted: Fit and score on folds of `score` instead; then it may be the
            split that was fitted on.

    Returns:
        One record for each predictor: the fitted values, NLL and ECE before and after.

    Raises:
        InputError: The method or a predictor is unknown.
        LeakageError: Fitted and scored on the same examples without cross-fitting.
    """
    if method not in CALIBRATORS:
        raise InputError(f"unknown method {method!r}; {nearest(method, CALIBRATORS)}")
    check_disjoint(bench.split(fit).digest(), bench.split(score).digest(), cross_fitted)
    wanted = _predictors(bench, names)
    members = bench.members(labels=_labels(wanted))
    fitting, scoring = bench.predict(fit, members), bench.predict(score, members)
    records = []
    for predictor in wanted:
        make = CALIBRATORS[method].fit
        fitted = make(predictor.logits(fitting), fitting.targets_N)
        raw_NC, targets_N = predictor.logits(scoring), scoring.targets_N
        after_NC = fitted.apply(raw_NC)
        record: dict[str, Any] = {
            "name": predictor.name,
            "method": method,
            "fitted": fitted.header(),
            "tensors": {key: t.tolist() for key, t in fitted.tensors().items()},
            "fitted_on": fit,
            "split": score,
            "nll": nll(raw_NC, targets_N),
            "ece": ece(raw_NC, targets_N),
        }
        if cross_fitted:
            record |= {
                f"{key}_calibrated": cross_fitted_score(metric, raw_NC, targets_N, make)
                for key, metric in (("nll", nll), ("ece", ece))
            }
        else:
            record |= {
                "nll_calibrated": nll(after_NC, targets_N),
                "ece_calibrated": ece(after_NC, targets_N),
            }
        records.append(record)
    with bench.run.lock():
        bench.run.write_result("calibration", {"calibrators": records})
    return records


def first_pool(bench: Workbench) -> str:
    """The strategy whose members are pooled when none is named.

    That is the snapshots when there are any, else the first with several members.

    Raises:
        InputError: No strategy has two members.
    """
    groups = [m.group for m in bench.members() if not m.parents]
    several = [g for g in dict.fromkeys(groups) if groups.count(g) > 1]
    if not several:
        raise InputError("no strategy of this run has two members to fuse")
    return "snapshot" if "snapshot" in several else several[0]


def _loader(bench: Workbench, member: Member) -> Callable[[], Weights]:
    return lambda: bench.run.population.weights(member)


def _predictors(bench: Workbench, names: Sequence[str] | None) -> list[Predictor]:
    known = {p.name: p for p in predictors(bench.members(), chosen_pools(bench))}
    if not names:
        return list(known.values())
    found = []
    for name in names:
        if name in known:
            found.append(known[name])
            continue
        member = bench.run.population.find(name)
        found.append(Predictor(member.label, member.group, "single", (member.label,)))
    return found


def _labels(wanted: Sequence[Predictor]) -> list[str]:
    return list(dict.fromkeys(label for p in wanted for label in p.labels))
