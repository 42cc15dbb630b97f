"""Members, averages and ensembles of a run, each judged on the same terms.

Shapes: M members, N examples, C classes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dale.calibrate import check_disjoint, fit_temperature
from dale.ensemble import COMBINERS
from dale.metrics import (
    Reliability,
    bootstrap,
    brier,
    ece,
    error,
    nll,
    ranked,
    ranking_auroc,
    reliability,
    selective_curve,
)
from dale.recipes.collected import collected
from dale.recipes.workbench import Workbench
from dale.store import Member, Predictions
from dale.train import STRATEGIES

_RESAMPLES = 500
_POINTS = 100  # of a curve of risk against coverage
_FUSED = {
    "uniform": "uniform soup",
    "weighted": "weighted average",
    "greedy_soup": "greedy soup",
}


@dataclass(frozen=True)
class Predictor:
    """One thing to judge: a member, or a pool of members.

    Args:
        name: For people.
        group: Strategy or group of its members.
        kind: ``"single"``, ``"average"``, ``"soup"`` or ``"ensemble"``.
        labels: Its members.
        combine: How their predictions are pooled.
        weights: Of the members in the pool, or None for equal ones.
        note: Anything a reader should know.
        chosen_on: Split that its members were chosen on, if they were.
    """

    name: str
    group: str
    kind: str
    labels: tuple[str, ...]
    combine: str = "mean_probability"
    weights: tuple[float, ...] | None = None
    note: str = ""
    chosen_on: str | None = None

    def logits(self, predictions: Predictions) -> Tensor:
        """Its logits ``[N, C]`` on a split, from the members' predictions."""
        picked = predictions.pick(self.labels)
        if len(self.labels) == 1:
            return picked.logits_MNC[0]
        pool: Callable[..., Tensor] = COMBINERS[self.combine].function
        if self.weights is None:
            return pool(picked.logits_MNC)
        return pool(picked.logits_MNC, picked.logits_MNC.new_tensor(self.weights))


@dataclass(frozen=True)
class Judged:
    """A predictor's scores.

    Args:
        predictor: What was judged.
        row: Its line in the table.
        before: Reliability as it is.
        after: Reliability after temperature scaling.
        selective: Its risk against coverage as it is.
    """

    predictor: Predictor
    row: Mapping[str, Any]
    before: Reliability
    after: Reliability
    selective: Mapping[str, Any]


def predictors(
    members: Sequence[Member], extra: Sequence[Predictor] = ()
) -> list[Predictor]:
    """What is worth judging in a run: each strategy's network and pool, and fusions.

    Args:
        members: Of the run, in the order they were made.
        extra: Pools chosen by hand.

    Returns:
        Trained networks and pools by strategy, then fused members, then the extra.
    """
    found: list[Predictor] = []
    titles: dict[str, str] = {}
    groups = dict.fromkeys(m.group for m in members if not m.parents)
    for group in groups:
        mine = [m for m in members if m.group == group and not m.parents]
        if added := collected(group, mine):
            found += [Predictor(**facts) for facts in added]
            continue
        row = STRATEGIES.get(group.split("-")[0])
        last_title, pool_title = (row.last, row.pool) if row else (group, group)
        suffix = f" {group.split('-', 1)[1]}" if "-" in group else ""
        title, digest = last_title + suffix, mine[-1].digest
        if title in titles and titles[title] != digest:
            title = f"{title} of {group}"
        if title not in titles:
            titles[title] = digest
            kind = "average" if mine[-1].how == "swa" else "single"
            fold = mine[-1].details.get("fold")
            note = "" if fold is None else f"trained without fold {fold}"
            found.append(Predictor(title, group, kind, (mine[-1].label,), note=note))
        if len(mine) > 1:
            labels = tuple(m.label for m in mine)
            found.append(Predictor(pool_title + suffix, group, "ensemble", labels))
    for member in members:
        if member.parents:
            title = f"{_FUSED.get(member.how, member.how)} of {member.group}"
            if member.label != f"{member.how}-of-{member.group}":
                title = member.label
            base = member.details.get("base")
            parents = len([label for label in member.parents if label != base])
            kind = "mean" if member.how in _FUSED else member.how
            found.append(
                Predictor(
                    title,
                    member.group,
                    "soup",
                    (member.label,),
                    note=f"{kind} of {parents} member{'' if parents == 1 else 's'}",
                    chosen_on="val" if "score" in member.details else None,
                )
            )
    return [*found, *extra]


def judge(predictor: Predictor, fit: Predictions, score: Predictions) -> Judged:
    """Score a predictor as it is and with a temperature fitted elsewhere.

    Args:
        predictor: What to judge.
        fit: Predictions on the split that the temperature is fitted on.
        score: Predictions on the split that is scored.

    Returns:
        The scores.

    Raises:
        LeakageError: The two splits are the same.
    """
    check_disjoint(fit.split_digest, score.split_digest)
    temperature = fit_temperature(predictor.logits(fit), fit.targets_N)
    raw_NC, targets_N = predictor.logits(score), score.targets_N
    calibrated_NC = temperature.apply(raw_NC)
    before = reliability(raw_NC, targets_N)
    after = reliability(calibrated_NC, targets_N)
    interval = bootstrap(error, raw_NC, targets_N, n=_RESAMPLES)
    note = predictor.note
    if predictor.chosen_on == score.split:
        note = f"{note}; chosen on these very examples: optimistic".lstrip("; ")
    if temperature.at_bound is not None:
        note = f"{note}; {fit.split} sets no temperature".lstrip("; ")
    row = {
        "name": predictor.name,
        "group": predictor.group,
        "kind": predictor.kind,
        "labels": list(predictor.labels),
        "networks": len(predictor.labels),
        "n": len(targets_N),
        "error": error(raw_NC, targets_N),
        "error_interval": list(interval),
        "nll": nll(raw_NC, targets_N),
        "brier": brier(raw_NC, targets_N),
        "ece": ece(raw_NC, targets_N),
        "temperature": temperature.value,
        "nll_calibrated": nll(calibrated_NC, targets_N),
        "ece_calibrated": ece(calibrated_NC, targets_N),
        "note": note,
    }
    ranking = ranked(raw_NC, targets_N)
    curve = selective_curve(ranking, _POINTS).to_dict()
    selective = {**curve, "auroc": ranking_auroc(ranking)}
    return Judged(predictor, row, before, after, selective)


def chosen_pools(bench: Workbench) -> list[Predictor]:
    """The pools stored by `dale.recipes.pool`."""
    stored = bench.run.read_result("ensembles") or {"ensembles": []}
    return [
        Predictor(
            name=entry["name"],
            group=entry["group"],
            kind="ensemble",
            labels=tuple(entry["labels"]),
            combine=entry["combine"],
            weights=tuple(entry["weights"]) if entry["weights"] else None,
            note=entry["note"],
            chosen_on=entry["chosen_on"],
        )
        for entry in stored["ensembles"]
    ]
