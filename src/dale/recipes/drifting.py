"""Members, averages and ensembles under drift: the same examples, ever more corrupted.

Shapes: M members, N examples, C classes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from math import sqrt
from typing import Any

import torch
from torch import Tensor

from dale.calibrate import Temperature, fit_temperature
from dale.data import CORRUPTIONS, SEVERITIES, corrupted
from dale.errors import InputError, nearest
from dale.metrics import correct_N, ece, nll_N
from dale.predict import infer_members
from dale.recipes.evaluation import rests_on
from dale.recipes.judging import Predictor, chosen_pools, predictors
from dale.recipes.workbench import Workbench
from dale.store import Predictions

_Z = 1.959963984540054  # of a 95 % interval
_IMAGES = (1, 3)  # channels that jpeg can store
MEASURES = ("error", "nll", "ece", "nll_calibrated", "ece_calibrated")
"""What is measured at each severity."""


def drift(
    bench: Workbench,
    *,
    corruptions: Sequence[str] | None = None,
    fit: str = "val",
    score: str = "test",
    limit: int | None = None,
    seed: int = 0,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Judge everything in a run on corrupted inputs, by severity.

    Temperatures are fitted once, on clean examples: under drift nobody has labels.
    Every predictor sees exactly the same corrupted inputs. The figures of a severity
    are means over the corruptions.

    Args:
        bench: The run; its data must be images.
        corruptions: Keys of `dale.data.CORRUPTIONS`; all that suit the images if None.
        fit: Split that temperatures are fitted on.
        score: Split that is corrupted and scored.
        limit: Score no more than so many of its examples, evenly spaced.
        seed: Of what is drawn at random.
        watch: Called with the conditions done and all conditions.

    Returns:
        For each predictor the measures by severity, with 0 for clean inputs, and by
        corruption, as JSON values; also written to ``results/drift.json``. ``error``
        and ``nll_calibrated`` come with 95 % intervals over the examples.

    Raises:
        InputError: A corruption is unknown, or `limit` is below 1.
        DataError: The inputs are no images, or the value of white is not known.
        LeakageError: The two splits are the same.
    """
    bench.check_apart(fit, score)
    names = _suitable(bench, corruptions)
    members = bench.members()
    wanted = predictors(members, chosen_pools(bench))
    fitting = bench.predict(fit, members)
    scoring = bench.predict(score, members)
    rows = _rows(len(scoring.targets_N), limit)
    clean = replace(
        scoring,
        logits_MNC=scoring.logits_MNC[:, rows],
        targets_N=scoring.targets_N[rows],
    )
    judges = [
        _Judge(p, fit_temperature(p.logits(fitting), fitting.targets_N)) for p in wanted
    ]
    for judge in judges:
        judge.see("clean", 0, clean)
    weights_M = [partial(bench.run.population.weights, member) for member in members]
    conditions = list(product(names, SEVERITIES))
    for done, (name, severity) in enumerate(conditions):
        watch(done, len(conditions))
        split = corrupted(bench.data, name, severity, split=score, seed=seed)
        split = split.subset(rows)
        seen = replace(
            clean,
            logits_MNC=infer_members(bench.model, weights_M, split),
            split_digest=split.digest(),
        )
        for judge in judges:
            judge.see(name, severity, seen)
    found = {
        "split": score,
        "fitted_on": fit,
        "n": len(clean.targets_N),
        "seed": seed,
        "corruptions": names,
        "severities": [0, *SEVERITIES],
        "rows": [judge.row() for judge in judges],
        "inputs": rests_on(bench, fitting, clean),
    }
    with bench.run.lock():
        bench.run.write_result("drift", found)
    return found


class _Judge:
    """Gathers what one predictor shows under every condition."""

    def __init__(self, predictor: Predictor, temperature: Temperature) -> None:
        self._predictor, self._temperature = predictor, temperature
        self._found: dict[str, dict[int, dict[str, float]]] = {}
        self._wrong: dict[int, list[Tensor]] = {}
        self._losses: dict[int, list[Tensor]] = {}

    def see(self, name: str, severity: int, predictions: Predictions) -> None:
        raw_NC, targets_N = self._predictor.logits(predictions), predictions.targets_N
        calibrated_NC = self._temperature.apply(raw_NC)
        wrong_N = 1.0 - correct_N(raw_NC, targets_N).double()
        losses_N = nll_N(calibrated_NC, targets_N)
        self._wrong.setdefault(severity, []).append(wrong_N)
        self._losses.setdefault(severity, []).append(losses_N)
        self._found.setdefault(name, {})[severity] = {
            "error": float(wrong_N.mean()),
            "nll": float(nll_N(raw_NC, targets_N).mean()),
            "ece": ece(raw_NC, targets_N),
            "nll_calibrated": float(losses_N.mean()),
            "ece_calibrated": ece(calibrated_NC, targets_N),
        }

    def row(self) -> dict[str, Any]:
        severities = sorted(self._wrong)
        return {
            "name": self._predictor.name,
            "group": self._predictor.group,
            "kind": self._predictor.kind,
            "networks": len(self._predictor.labels),
            "temperature": self._temperature.value,
            "by_severity": [self._at(severity) for severity in severities],
            "by_corruption": {
                name: [{"severity": s, **scores} for s, scores in sorted(found.items())]
                for name, found in self._found.items()
                if name != "clean"
            },
        }

    def _at(self, severity: int) -> dict[str, Any]:
        conditions = [f[severity] for f in self._found.values() if severity in f]
        means = {
            measure: sum(scores[measure] for scores in conditions) / len(conditions)
            for measure in MEASURES
        }
        return {
            "severity": severity,
            **means,
            "error_interval": _interval(self._wrong[severity]),
            "nll_calibrated_interval": _interval(self._losses[severity]),
        }


def _interval(parts_N: Sequence[Tensor]) -> list[float]:
    """Normal 95 % interval of a mean over examples, each averaged over corruptions."""
    mean_N = sum(parts_N[1:], start=parts_N[0]) / len(parts_N)
    count = len(mean_N)
    mean = float(mean_N.mean())
    half = _Z * float(mean_N.std()) / sqrt(count) if count > 1 else 0.0
    return [mean - half, mean + half]


def _rows(count: int, limit: int | None) -> Tensor:
    if limit is not None and limit < 1:
        raise InputError(f"limit: expected 1 or more, got {limit}")
    kept = count if limit is None else min(limit, count)
    return torch.arange(kept) * count // kept


def _suitable(bench: Workbench, given: Sequence[str] | None) -> list[str]:
    known: Mapping[str, object] = CORRUPTIONS
    if given is None:
        stored = bench.data.shape[0] in _IMAGES
        return [name for name in known if stored or name != "jpeg"]
    for name in given:
        if name not in known:
            raise InputError(f"unknown corruption {name!r}; {nearest(name, known)}")
    return list(dict.fromkeys(given))
