"""Calibrating the predictors of a run."""

from collections.abc import Sequence
from typing import Any

from dale.calibrate import CALIBRATORS, cross_fitted_score
from dale.errors import InputError, nearest
from dale.metrics import ece, nll
from dale.recipes.evaluation import Predictor, chosen_pools, predictors
from dale.recipes.workbench import Workbench


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
    if not cross_fitted:
        bench.check_apart(fit, score)
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
