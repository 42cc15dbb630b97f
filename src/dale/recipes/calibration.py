"""Calibrating the predictors of a run.

Shapes: M members, N examples, C classes.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dale.calibrate import (
    CALIBRATORS,
    candidates,
    cross_fitted_score,
    ensemble_fit,
    settle,
)
from dale.ensemble import COMBINERS
from dale.errors import InputError, nearest
from dale.metrics import bootstrap, ece, nll
from dale.recipes.judging import Predictor, chosen_pools, predictors
from dale.recipes.workbench import Workbench
from dale.store import Predictions

_RESAMPLES = 500
_JUDGED = {"nll": nll, "ece": ece}


def calibrate(
    bench: Workbench,
    *,
    names: Sequence[str] | None = None,
    method: str = "temperature",
    order: str = "pool-first",
    fit: str = "val",
    score: str = "test",
    cross_fitted: bool = False,
) -> list[dict[str, Any]]:
    """Fit a calibrator for predictors of a run and score it on other examples.

    Args:
        bench: The run.
        names: Predictors by the names in the table, or members by label; all by
            default.
        method: A calibrator, such as ``"temperature"``; ``"auto"`` is the one of the
            lowest cross-fitted NLL on `fit`.
        order: A row of `dale.calibrate.ORDERS`, for ensembles; ``"auto"`` likewise.
        fit: Split to fit on.
        score: Split to score on.
        cross_fitted: Fit and score on folds of `score` instead; then it may be the
            split that was fitted on.

    Returns:
        One record for each predictor: the fitted values, NLL and ECE before and
        after, the NLL with 95 % bootstrap intervals (not after cross-fitting), and
        what was compared by ``"auto"``.

    Raises:
        InputError: The method, order or a predictor is unknown.
        LeakageError: Fitted and scored on the same examples without cross-fitting.
    """
    candidates(method, order, 2, 2, 2)  # unknown names are refused before any work
    if not cross_fitted:
        bench.check_apart(fit, score)
    wanted = _predictors(bench, names)
    members = bench.members(labels=_labels(wanted))
    fitting, scoring = bench.predict(fit, members), bench.predict(score, members)
    records = [
        _record(predictor, fitting, scoring, method, order, cross_fitted)
        for predictor in wanted
    ]
    with bench.run.lock():
        bench.run.write_result("calibration", {"calibrators": records})
    return records


def _record(
    predictor: Predictor,
    fitting: Predictions,
    scoring: Predictions,
    method: str,
    order: str,
    cross_fitted: bool,
) -> dict[str, Any]:
    """What one predictor gains."""
    given = fitting.pick(predictor.labels).logits_MNC
    held = scoring.pick(predictor.labels).logits_MNC
    pool = COMBINERS[predictor.combine].function
    weights_M = None
    if predictor.weights is not None:
        weights_M = given.new_tensor(predictor.weights, dtype=torch.float64)
    method, order, compared = settle(
        given, fitting.targets_N, pool, method, order, weights_M
    )
    make: Any = ensemble_fit(method, order, pool, weights_M)
    if len(predictor.labels) == 1:
        make = CALIBRATORS[method].fit
        given, held = given[0], held[0]
    fitted = make(given, fitting.targets_N)
    raw_NC, targets_N = predictor.logits(scoring), scoring.targets_N
    record: dict[str, Any] = {
        "name": predictor.name,
        "method": method,
        "order": order if len(predictor.labels) > 1 else None,
        "fitted": fitted.header(),
        "tensors": {key: t.tolist() for key, t in fitted.tensors().items()},
        "describe": fitted.describe(),
        "candidates": [vars(candidate) for candidate in compared],
        "fitted_on": fitting.split,
        "split": scoring.split,
    }
    # no interval of the ECE: resampling adds to it, so that none is centred on it
    ends = bootstrap(nll, raw_NC, targets_N, n=_RESAMPLES)
    record |= {"nll_interval": list(ends), **_scores(raw_NC, targets_N, "")}
    if cross_fitted:
        for key, metric in _JUDGED.items():
            after = cross_fitted_score(metric, held, targets_N, make)
            record[f"{key}_calibrated"] = after
        return record
    calibrated_NC = fitted.apply(held)
    ends = bootstrap(nll, calibrated_NC, targets_N, n=_RESAMPLES)
    record |= {"nll_calibrated_interval": list(ends)}
    record |= _scores(calibrated_NC, targets_N, "_calibrated")
    return record


def _scores(logits_NC: Tensor, targets_N: Tensor, suffix: str) -> dict[str, float]:
    return {f"{k}{suffix}": m(logits_NC, targets_N) for k, m in _JUDGED.items()}


def _predictors(bench: Workbench, names: Sequence[str] | None) -> list[Predictor]:
    known = {p.name: p for p in predictors(bench.members(), chosen_pools(bench))}
    if not names:
        return list(known.values())
    found = []
    for name in names:
        if name in known:
            found.append(known[name])
            continue
        try:
            member = bench.run.population.find(name)
        except InputError as error:
            labels = [member.label for member in bench.run.population]
            hint = nearest(name, [*known, *labels])
            raise InputError(
                f"no predictor or member named {name!r}; {hint}"
            ) from error
        found.append(Predictor(member.label, member.group, "single", (member.label,)))
    return found


def _labels(wanted: Sequence[Predictor]) -> list[str]:
    return list(dict.fromkeys(label for p in wanted for label in p.labels))
