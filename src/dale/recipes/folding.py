"""Cross-validation: members judged on the fold that they have not seen.

Shapes: M members, N training examples, C classes.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import torch

from dale.data import Split, leave_out
from dale.errors import InputError
from dale.predict import predict
from dale.recipes.judging import Judged, judge, predictors
from dale.recipes.workbench import Workbench
from dale.store import Member, Predictions
from dale.train import folds_of

MEASURES = ("error", "nll", "brier", "ece", "nll_calibrated", "ece_calibrated")
"""What a row has the mean and the standard deviation of."""

Watch = Callable[[Member], None]


def held_out(bench: Workbench, fold: int) -> tuple[str, Split]:
    """The name and the examples of a fold of the training split.

    Args:
        bench: A run with folds.
        fold: From 1.

    Returns:
        Its name in the cache of predictions, and its examples.

    Raises:
        InputError: The run has no folds, or not so many.
    """
    folds = bench.recipe.folds
    if folds is None:
        raise InputError(f"{bench.run.folder} has no folds: its recipe names none")
    if not 1 <= fold <= folds:
        raise InputError(f"fold {fold}: expected 1 to {folds}")
    _, split = leave_out(bench.data, folds_of(bench.recipe, bench.data), fold - 1)
    return f"fold-{fold}", split


def out_of_fold(
    bench: Workbench, group: str | None = None, watch: Watch = lambda member: None
) -> Predictions:
    """What networks say of the training examples that they were not trained on.

    Args:
        bench: A run with folds, trained.
        group: Strategy; by default the first.
        watch: Called with each member that the network had to be run for.

    Returns:
        Predictions of every training example, in the order of the split: one slice
        for each cycle, of the members of all folds together; where a guard stopped
        some folds before others, for each cycle that all of them have. Labels are
        theirs without the fold and the step. Their pieces are in the run's cache.

    Raises:
        InputError: The run has no folds, or they are not all trained.

    Example:
        >>> import tempfile
        >>> from dale.recipes import start
        >>> text = "{data: digits, model: mlp, epochs: 2, strategies: [single]}"
        >>> bench = start(text.replace("{", "{folds: 3, "), tempfile.mkdtemp())
        >>> _ = bench.train()
        >>> found = out_of_fold(bench)
        >>> found.labels, tuple(found.logits_MNC.shape)
        (('single-c01',), (1, 1079, 10))
    """
    train, pieces = bench.data.splits["train"], []
    name = group or bench.members()[0].group
    by_fold = _by_fold(bench, bench.members(name))
    shared = set.intersection(*(set(_labels(mine)) for mine in by_fold.values()))
    for fold, mine in by_fold.items():
        members = [m for m in mine if _labels([m])[0] in shared]
        pieces.append((_said(bench, fold, members, watch), members))
    labels = _labels(pieces[0][1])
    fold_N = folds_of(bench.recipe, bench.data)
    first, _ = pieces[0]
    shape = len(labels), len(train), first.logits_MNC.shape[2]
    logits_MNC = torch.empty(shape)
    for place, (found, _) in enumerate(pieces):
        logits_MNC[:, fold_N == place] = found.logits_MNC
    return Predictions(logits_MNC, train.targets_N, labels, "train", train.digest())


def cross_validate(
    bench: Workbench, *, fit: str = "val", watch: Watch = lambda member: None
) -> dict[str, Any]:
    """Judge each strategy's networks on the folds that they have not seen.

    Args:
        bench: A run with folds, trained.
        fit: Split that temperatures are fitted on.
        watch: Called with each member that the network had to be run for.

    Returns:
        As JSON values: the number of ``folds`` and ``rows``; each has its ``name``, its
        ``group``, the number of ``networks`` (their mean, where a guard stopped some
        folds before others), the mean of each measure over the folds, as ``error_sd``
        and so on the standard deviation, and as ``by_fold`` the rows of the folds.
        Predictors that some fold lacks are left out. Also stored as
        ``results/cross_validation.json``.

    Raises:
        InputError: The run has no folds, or they are not all trained.
    """
    everyone = [m for m in bench.members() if not m.parents]
    judged: list[dict[str, Judged]] = []
    for fold, members in _by_fold(bench, everyone).items():
        fitting = bench.predict(fit, members, watch)
        scoring = _said(bench, fold, members, watch)
        found = [judge(p, fitting, scoring) for p in predictors(members)]
        judged.append({one.row["name"]: one for one in found})
    names = [name for name in judged[0] if all(name in other for other in judged)]
    rows = [_over_folds([fold[name].row for fold in judged]) for name in names]
    result = {"folds": bench.recipe.folds, "fitted_on": fit, "rows": rows}
    with bench.run.lock():
        bench.run.write_result("cross_validation", result)
    return result


def _over_folds(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation of a predictor's rows."""
    found = {key: rows[0][key] for key in ("name", "group", "kind", "networks")}
    counts = [row["networks"] for row in rows]
    if len(set(counts)) > 1:
        found["networks"] = round(fmean(counts), 1)
    for measure in MEASURES:
        values = [row[measure] for row in rows]
        found |= {measure: fmean(values), f"{measure}_sd": stdev(values)}
    kept = ("labels", "n", *MEASURES)
    found["by_fold"] = [
        {"fold": fold, **{key: row[key] for key in kept}}
        for fold, row in enumerate(rows, start=1)
    ]
    return found


def _said(
    bench: Workbench, fold: int, members: Sequence[Member], watch: Watch
) -> Predictions:
    name, split = held_out(bench, fold)
    with bench.run.lock():
        facts = bench.run, bench.cache, bench.model, name, split
        return predict(*facts, list(members), watch)


def _by_fold(bench: Workbench, members: Sequence[Member]) -> dict[int, list[Member]]:
    """Members by fold: as many of the same groups, unless a guard stopped some."""
    held_out(bench, 1)
    found: dict[int, list[Member]] = {}
    for fold in range(1, (bench.recipe.folds or 0) + 1):
        found[fold] = [m for m in members if m.details.get("fold") == fold]
    most = max(found.values(), key=len)
    for fold, mine in found.items():
        same = [m.group for m in mine] == [m.group for m in most]
        if not mine or not (same or _finished(bench, fold)):
            raise InputError(
                f"fold {fold} has {len(mine)} members of {len(most)}; expected all; "
                f"run: dale train --resume {bench.run.folder}"
            )
    return found


def _finished(bench: Workbench, fold: int) -> bool:
    """Whether every trajectory without a fold was trained to its end or stopped."""
    log = bench.run.log()
    ended = {(line["trajectory"], line["step"]) for line in log}
    stopped = {line["trajectory"] for line in log if line.get("stopped")}
    return all(
        trajectory.name in stopped or (trajectory.name, trajectory.steps) in ended
        for trajectory in bench.recipe.trajectories(bench.data.examples)
        if trajectory.fold == fold
    )


def _labels(members: Sequence[Member]) -> tuple[str, ...]:
    """Labels of a fold's members without the fold and the step."""
    return tuple(
        m.label.rpartition("-s")[0].replace(f"-f{m.details['fold']}", "", 1)
        for m in members
    )
