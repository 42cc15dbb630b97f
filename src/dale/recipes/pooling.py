"""Pooling members' predictions into one predictor."""

from collections.abc import Sequence
from typing import Any, Literal

from dale.ensemble import COMBINERS, greedy
from dale.errors import InputError, nearest
from dale.recipes.judging import Predictor, judge, predictors
from dale.recipes.workbench import Workbench

Choose = Literal["all", "greedy"]


def pool(
    bench: Workbench,
    *,
    group: str | None = None,
    labels: Sequence[str] | None = None,
    combine: str = "mean_probability",
    weights: Sequence[float] | None = None,
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
        weights: One for each member, in their order; equal by default.
        choose: ``"all"`` members, or ``"greedy"`` with replacement on validation
            examples (Caruana et al. 2004), which gives them weights.
        size: Additions that the greedy choice may make.
        score: Split to score on.
        name: For tables.

    Returns:
        Its line in the table, as JSON values.

    Raises:
        InputError: The combiner or a member is unknown, or the weights do not fit.
    """
    if weights is not None and choose == "greedy":
        raise InputError("the greedy choice finds the weights; leave them out")
    if combine not in COMBINERS:
        raise InputError(f"unknown combiner {combine!r}; {nearest(combine, COMBINERS)}")
    members = bench.members(None if labels else group or first_pool(bench), labels)
    bench.check_apart("val", score)
    fitting = bench.predict("val", members)
    scoring = bench.predict(score, members)
    chosen, note = tuple(m.label for m in members), ""
    if choose == "greedy":
        found = greedy(fitting.logits_MNC, fitting.targets_N, size=size)
        chosen = tuple(members[m].label for m in found.members)
        weights = [found.weights_M[m] for m in found.members]
        note = f"chosen on val out of {len(members)} members"
    share = None if weights is None else tuple(float(weight) for weight in weights)
    kind = "weighted" if share and choose == "all" else choose
    title = name or f"{kind} {combine.replace('_', ' ')} of {members[0].group}"
    if any(p.name == title for p in predictors(bench.members())):
        raise InputError(f"{title!r} is the name of another predictor; choose another")
    predictor = Predictor(
        title, members[0].group, "ensemble", chosen, combine, share, note
    )
    row = judge(predictor, fitting, scoring).row
    entry = {
        "name": title,
        "group": predictor.group,
        "labels": list(chosen),
        "combine": combine,
        "weights": None if share is None else list(share),
        "note": note,
        "chosen_on": "val" if choose == "greedy" else None,
    }
    with bench.run.lock():
        stored = bench.run.read_result("ensembles") or {"ensembles": []}
        others = [e for e in stored["ensembles"] if e["name"] != title]
        bench.run.write_result("ensembles", {"ensembles": [*others, entry]})
    return dict(row)


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
