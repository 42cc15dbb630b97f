"""Everything in a run judged, and what that says of the run.

Shapes: M members, N examples, C classes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dale.diagnose import Verdict, regime
from dale.metrics import Reliability, disagreement_MM, error, mean_disagreement, nll
from dale.recipes.judging import chosen_pools, judge, predictors
from dale.recipes.workbench import PROBE, Workbench
from dale.store import Member, Predictions


def evaluate(
    bench: Workbench,
    *,
    fit: str = "val",
    score: str = "test",
    watch: Callable[[Member], None] = lambda member: None,
) -> dict[str, Any]:
    """Judge everything in a run and say which regime it is in.

    Args:
        bench: The run.
        fit: Split that temperatures are fitted on.
        score: Split that is scored.
        watch: Called with each member that the network had to be run for.

    Returns:
        The table, the disagreement matrices, the reliability curves and the verdict,
        as JSON values; also written to ``results/evaluation.json``.

    Raises:
        LeakageError: The two splits are the same.
    """
    bench.check_apart(fit, score)
    members = bench.members()
    fitting = bench.predict(fit, members, watch)
    scoring = bench.predict(score, members, watch)
    judged = [
        judge(predictor, fitting, scoring)
        for predictor in predictors(members, chosen_pools(bench))
    ]
    found = {
        "split": score,
        "fitted_on": fit,
        "rows": [item.row for item in judged],
        "disagreement": _disagreements(members, scoring),
        "reliability": [
            {
                "name": item.predictor.name,
                "before": _drawn(item.before, item.row, ""),
                "after": _drawn(item.after, item.row, "_calibrated"),
            }
            for item in judged
        ],
        "risk_coverage": [
            {"name": item.predictor.name, **item.selective} for item in judged
        ],
        "verdict": verdict(bench, members, watch).to_dict(),
        "inputs": rests_on(bench, fitting, scoring),
    }
    with bench.run.lock():
        bench.run.write_result("evaluation", found)
    return found


def rests_on(bench: Workbench, *seen: Predictions) -> dict[str, str]:
    """Digests of the recipe and of the splits that figures come from."""
    splits = {predictions.split: predictions.split_digest for predictions in seen}
    return {"recipe": bench.run.recipe_digest, **splits}


def verdict(
    bench: Workbench,
    members: Sequence[Member],
    watch: Callable[[Member], None] = lambda member: None,
) -> Verdict:
    """The regime of a run, from its first strategy's last network."""
    group = members[0].group
    last = [m for m in members if m.group == group and not m.parents][-1]
    gap = {}
    for name in (PROBE, "val"):
        found = bench.predict(name, [last], watch)
        logits_NC, targets_N = found.logits_MNC[0], found.targets_N
        gap[name] = {
            "error": error(logits_NC, targets_N),
            "nll": nll(logits_NC, targets_N),
        }
    return regime(gap[PROBE], gap["val"], len(bench.split("val")))


def _drawn(drawn: Reliability, row: Mapping[str, Any], suffix: str) -> dict[str, Any]:
    scores = {"ece": row[f"ece{suffix}"], "nll": row[f"nll{suffix}"]}
    return {**drawn.to_dict(), "intervals": drawn.intervals(), **scores}


def _disagreements(
    members: Sequence[Member], scoring: Predictions
) -> list[dict[str, Any]]:
    found = []
    for group in dict.fromkeys(m.group for m in members):
        labels = [m.label for m in members if m.group == group and not m.parents]
        if len(labels) < 2:
            continue
        logits_MNC = scoring.pick(labels).logits_MNC
        found.append(
            {
                "group": group,
                "labels": labels,
                "matrix": disagreement_MM(logits_MNC).tolist(),
                "mean": mean_disagreement(logits_MNC),
                "split": scoring.split,
            }
        )
    return found
