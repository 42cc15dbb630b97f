"""Files of logits judged and calibrated, without a run.

Shapes: M members, N examples, C classes.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from dale.calibrate import (
    CALIBRATORS,
    ORDERS,
    CalibratedEnsemble,
    Calibrator,
    check_disjoint,
    check_logits,
    cross_fitted_score,
    ensemble_fit,
    load_calibrator,
    settle,
)
from dale.data import Logits
from dale.ensemble import COMBINERS
from dale.errors import DataError, InputError, nearest
from dale.metrics import (
    bootstrap,
    brier,
    debiased_rms_ce,
    ece,
    error,
    misclassification_auroc,
    nll,
    reliability,
)
from dale.weights import load, save

_ENTRY = "calibrator"  # of the file's header
_JUDGED = {"error": error, "nll": nll, "ece": ece, "brier": brier}
_RESAMPLES = 500

AnyCalibrator = Calibrator | CalibratedEnsemble


def pooled(logits: Logits, combine: str = "mean_probability") -> Tensor:
    """The logits of a file as one prediction: its members are pooled.

    Args:
        logits: The file.
        combine: How members are pooled.

    Returns:
        Shape (N, C).

    Raises:
        InputError: The combiner is unknown, or the file holds probabilities.
    """
    if combine not in COMBINERS:
        raise InputError(f"unknown combiner {combine!r}; {nearest(combine, COMBINERS)}")
    for logits_NC in logits.logits_MNC:
        check_logits(logits_NC)
    if len(logits.logits_MNC) == 1:
        return logits.logits_MNC[0]
    return COMBINERS[combine].function(logits.logits_MNC)


def evaluate_logits(
    logits: Logits,
    calibrator: AnyCalibrator | None = None,
    *,
    combine: str = "mean_probability",
) -> dict[str, Any]:
    """Scores of the logits in a file, with 95 % bootstrap intervals (not the ECE).

    Args:
        logits: The file.
        calibrator: Applied first, if given.
        combine: How members are pooled.

    Returns:
        Scores, intervals and the reliability diagram, as JSON values.

    Raises:
        InputError: Probabilities, no targets, or the calibrator does not fit.

    Example:
        >>> import torch
        >>> found = evaluate_logits(
        ...     Logits(2 * torch.eye(2)[None], torch.tensor([0, 0]), Path("a.npz"))
        ... )
        >>> found["error"], found["error_interval"]
        (0.5, [0.0, 1.0])
    """
    targets_N = logits.needed_targets()
    raw_NC = pooled(logits, combine)
    judged_NC = raw_NC if calibrator is None else calibrated_logits(calibrator, logits)
    diagram = reliability(judged_NC, targets_N)
    return {
        "file": str(logits.path),
        "n": len(targets_N),
        "classes": logits.logits_MNC.shape[2],
        "members": len(logits.logits_MNC),
        "calibrated": None if calibrator is None else calibrator.describe(),
        **_scores(judged_NC, targets_N),
        "debiased_rms_ce": debiased_rms_ce(judged_NC, targets_N),
        "misclassification_auroc": misclassification_auroc(judged_NC, targets_N),
        "reliability": {**diagram.to_dict(), "intervals": list(diagram.intervals())},
    }


def calibrate_logits(
    fit: Logits,
    score: Logits | None = None,
    *,
    method: str = "temperature",
    order: str = "pool-first",
    combine: str = "mean_probability",
) -> tuple[dict[str, Any], AnyCalibrator]:
    """Fit a calibrator to the logits in a file and score it honestly.

    Args:
        fit: What is fitted on.
        score: What is scored; folds of `fit`, by cross-fitting, if None.
        method: Row of `dale.calibrate.CALIBRATORS`, or ``"auto"``: that of the lowest
            cross-fitted NLL.
        order: Row of `dale.calibrate.ORDERS`, or ``"auto"``; for members.
        combine: How members are pooled.

    Returns:
        What was fitted and the scores before and after, as JSON values; and the
        calibrator fitted to the whole of `fit`.

    Raises:
        InputError: Unknown names, probabilities, no targets, other classes, or an
            order for one network alone.
        LeakageError: Both files hold the same examples.
    """
    if score is not None:
        check_disjoint(fit.digest(), score.digest())
    targets_N = fit.needed_targets()
    pooled(fit, combine)  # the checks
    members, count, classes = fit.logits_MNC.shape
    if score is not None:
        _check_classes(score, classes)
    elif count < 2:
        raise InputError(f"{fit.path}: 1 example is too few to cross-fit: score others")
    if members == 1 and order in ORDERS and order != "pool-first":
        raise InputError(
            f"order {order!r} is for several networks; {fit.path} holds the logits of "
            "one"
        )
    pool = COMBINERS[combine].function
    method, order, compared = settle(fit.logits_MNC, targets_N, pool, method, order)
    fitted = _fitted(fit, targets_N, method, order, combine)
    record: dict[str, Any] = {
        "file": str(fit.path),
        "method": method,
        "order": order if members > 1 else None,
        "combine": combine if members > 1 else None,
        "fitted": fitted.header(),
        "describe": fitted.describe(),
        "candidates": [vars(candidate) for candidate in compared],
    }
    if score is None:
        make = ensemble_fit(method, order, pool)
        record |= {"scored_on": None, "n": count}
        record |= {"before": _scores(pooled(fit, combine), targets_N)}
        record["after"] = {
            name: cross_fitted_score(metric, fit.logits_MNC, targets_N, make)
            for name, metric in _JUDGED.items()
        }
        return record, fitted
    held_N = score.needed_targets()
    record |= {"scored_on": str(score.path), "n": len(held_N)}
    record["before"] = _scores(pooled(score, combine), held_N)
    record["after"] = _scores(calibrated_logits(fitted, score), held_N)
    return record, fitted


def check_output(
    path: Path, inputs: Sequence[Path | None], endings: Sequence[str]
) -> None:
    """Refuse to write where something is read from, or under another ending.

    Args:
        path: What is going to be written.
        inputs: Files that are read.
        endings: What the name may end in.

    Raises:
        InputError: One of the inputs would be overwritten, or the ending is another.
    """
    if path.suffix.lower() not in endings:
        raise InputError(f"{path}: expected a name ending in {' or '.join(endings)}")
    for given in inputs:
        if given is not None and given.exists() and path.exists():
            if given.samefile(path):
                raise InputError(f"--output {path} would overwrite what is read there")


def calibrated_logits(calibrator: AnyCalibrator, logits: Logits) -> Tensor:
    """Calibrated logits of a file.

    Args:
        calibrator: For one network or for members.
        logits: The file; as many members as it was fitted to.

    Returns:
        Float64, shape (N, C).

    Raises:
        InputError: Probabilities, or another number of members or classes.
    """
    for logits_NC in logits.logits_MNC:
        check_logits(logits_NC)
    if isinstance(calibrator, CalibratedEnsemble):
        return calibrator.apply(logits.logits_MNC)
    if len(logits.logits_MNC) != 1:
        raise InputError(
            f"{logits.path}: expected logits of one network, as the calibrator was "
            f"fitted to, got {len(logits.logits_MNC)} members"
        )
    return calibrator.apply(logits.logits_MNC[0])


def save_calibrator(
    path: Path,
    calibrator: AnyCalibrator,
    fit: Logits,
    combine: str = "mean_probability",
) -> None:
    """Write a fitted calibrator to a safetensors file: wholly, or not at all.

    Args:
        path: The file; another calibrator there is replaced, anything else is not.
        calibrator: What `calibrate_logits` gave.
        fit: What it was fitted to, so that scoring it there can be refused.
        combine: How members were pooled.

    Raises:
        InputError: The file there holds no calibrator.
        DiskError: It cannot be written.
    """
    if path.is_file() and path.stat().st_size and _ENTRY not in load(path)[1]:
        raise InputError(f"{path} is there already and holds no calibrator")
    facts = {
        "classes": fit.logits_MNC.shape[2],
        "header": calibrator.header(),
        "combine": combine,
        "fitted_on": fit.digest(),
    }
    save(path, calibrator.tensors(), {_ENTRY: json.dumps(facts, sort_keys=True)})


def read_calibrator(path: Path, score: Logits | None = None) -> AnyCalibrator:
    """Read what `save_calibrator` wrote.

    Args:
        path: The file.
        score: What is going to be scored, if anything.

    Returns:
        An equal calibrator.

    Raises:
        DataError: The file holds something else.
        LeakageError: It was fitted to what is going to be scored.
    """
    if not path.is_file():
        raise DataError(f"no file {path}")
    tensors, words = load(path)
    if _ENTRY not in words:
        raise DataError(f"{path} holds no calibrator; make one with: dale calibrate")
    facts = json.loads(words[_ENTRY])
    if score is not None:
        check_disjoint(facts["fitted_on"], score.digest())
        _check_classes(score, facts.get("classes", score.logits_MNC.shape[2]))
    header = facts["header"]
    if header["calibrator"] == "ensemble":
        pool = COMBINERS[facts["combine"]].function
        return CalibratedEnsemble.load(tensors, header, pool)
    return load_calibrator(tensors, header)


def _check_classes(logits: Logits, classes: int) -> None:
    found = logits.logits_MNC.shape[2]
    if found != classes:
        raise InputError(
            f"{logits.path}: expected logits of {classes} classes, as were fitted to, "
            f"got {found}"
        )


def _fitted(
    fit: Logits, targets_N: Tensor, method: str, order: str, combine: str
) -> AnyCalibrator:
    if len(fit.logits_MNC) == 1:
        return CALIBRATORS[method].fit(fit.logits_MNC[0], targets_N)
    make = ensemble_fit(method, order, COMBINERS[combine].function)
    return make(fit.logits_MNC, targets_N)


def _scores(logits_NC: Tensor, targets_N: Tensor) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, metric in _JUDGED.items():
        found[name] = metric(logits_NC, targets_N)
        if name == "ece":  # resampling adds to it: no interval is centred on it
            continue
        interval = bootstrap(metric, logits_NC, targets_N, n=_RESAMPLES)
        found[f"{name}_interval"] = list(interval)
    return found
