"""The founding claims, each held against the figures.

A difference is paired by seed. With n seeds its 95 % interval is mean ± t · s / √n
with Student's t of n − 1 degrees of freedom; a claim is confirmed when the interval
lies wholly on its side of 0, refuted when it lies wholly on the other side, and open
in between.
"""

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from statistics import mean, stdev
from typing import Any

from scipy.stats import t as student

MEASURES = {
    "ece": "ECE",
    "ece_calibrated": "ECE, calibrated",
    "nll": "NLL",
    "nll_calibrated": "NLL, calibrated",
    "error": "error",
}
INFINITE = 1e9  # JSON has no infinity
ENSEMBLES = (
    "snapshot ensemble",
    "short-cycle ensemble",
    "deep ensemble",
)
AVERAGES = ("SWA", "uniform soup of snapshot")
CONTROL = "single run (control)"
GROWTH = {
    "val_error": ("validation error falls", 1),
    "val_ece": ("validation ECE rises", -1),
    "val_logit_norm": ("mean norm of the logits rises", -1),
}
"""Measure to what is claimed of it, and the sign that makes the claim negative."""


def claims(seeds: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every claim with its differences by seed and a verdict."""
    found = []
    for name in ENSEMBLES:
        for severity in (0, 3, 5):
            for measure in ("ece", "ece_calibrated", "nll", "nll_calibrated"):
                found.append(
                    _claim(
                        f"{name} against the single run: lower "
                        f"{MEASURES[measure]} at severity {severity}",
                        seeds,
                        _less(name, CONTROL, severity, measure),
                    )
                )
    for name in AVERAGES:
        control = "last snapshot" if "soup" in name else CONTROL
        what = f"{name} against the {control}"
        for index, scale in enumerate(seeds[0]["flatness"]["scales"]):
            found.append(
                _claim(
                    f"{what}: lower rise of the loss when the weights are shaken by "
                    f"{scale:g}",
                    seeds,
                    _flatter(name, control, index),
                )
            )
        for severity in (3, 5):
            for measure in ("error", "nll"):
                found.append(
                    _claim(
                        f"{what}: lower {MEASURES[measure]} at severity {severity}",
                        seeds,
                        _less(name, control, severity, measure),
                    )
                )
    for measure, (text, sign) in GROWTH.items():
        text = f"single run, last epoch against a third of the way: {text}"
        found.append(_claim(text, seeds, _growth(measure, sign)))
    return found


def rows(seed: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Rows of a seed's drift by name."""
    return {row["name"]: row for row in seed["drift"]["rows"]}


def _less(
    name: str, control: str, severity: int, measure: str
) -> Callable[[Mapping[str, Any]], float]:
    def difference(seed: Mapping[str, Any]) -> float:
        table = rows(seed)
        mine, other = (table[n]["by_severity"][severity] for n in (name, control))
        return mine[measure] - other[measure]

    return difference


def _flatter(
    name: str, control: str, index: int
) -> Callable[[Mapping[str, Any]], float]:
    def difference(seed: Mapping[str, Any]) -> float:
        rises = seed["flatness"]["rows"]
        return rises[name][index] - rises[control][index]

    return difference


def _growth(measure: str, sign: int) -> Callable[[Mapping[str, Any]], float]:
    """Last epoch less the one a third into training, times `sign`."""

    def difference(seed: Mapping[str, Any]) -> float:
        epochs = seed["growth"]
        return sign * (epochs[-1][measure] - epochs[len(epochs) // 3 - 1][measure])

    return difference


def _claim(
    text: str,
    seeds: Sequence[Mapping[str, Any]],
    difference: Callable[[Mapping[str, Any]], float],
) -> dict[str, Any]:
    """A claim that `difference` is below 0."""
    values = [difference(seed) for seed in seeds]
    low, high = interval(values)
    verdict = "confirmed" if high < 0 else "refuted" if low > 0 else "open"
    return {
        "claim": text,
        "values": values,
        "mean": mean(values),
        "interval": [low, high],
        "verdict": verdict,
    }


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Student's 95 % interval of a mean; open for a single value."""
    if len(values) < 2:
        return -INFINITE, INFINITE
    half = student.ppf(0.975, len(values) - 1) * stdev(values) / sqrt(len(values))
    return mean(values) - half, mean(values) + half
