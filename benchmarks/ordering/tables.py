"""The figures as Markdown, and which of the literature's claims they bear out."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from fashion.tables import plus_minus, table
from scipy.stats import t

CLAIMS = (
    ("average", "task arithmetic"),
    ("task arithmetic", "TIES"),
    ("TIES", "Fisher"),
    ("TIES", "RegMean"),
    ("task arithmetic", "RegMean"),
    ("average", "RegMean"),
    ("Fisher", "RegMean"),
)
"""Pairs of methods, the second of which is said to be better."""

TITLES = {
    "domains": "ten classes, one change of all images for each task",
    "classes": "a choice of two classes for each task",
}
Seeds = Sequence[Mapping[str, Mapping[str, Any]]]


def accuracies(seeds: Seeds, method: str) -> list[float]:
    """Percent, the mean over tasks, for each seed."""
    return [100 * mean(seed[method]["tasks"]) for seed in seeds]


def difference(seeds: Seeds, one: str, other: str) -> tuple[float, float]:
    """How much better the other is, seed by seed, and half its 95 % interval."""
    pairs = zip(accuracies(seeds, one), accuracies(seeds, other), strict=True)
    gains = [second - first for first, second in pairs]
    if len(gains) < 2:
        return gains[0], float("inf")
    half = t.ppf(0.975, len(gains) - 1) * stdev(gains) / len(gains) ** 0.5
    return mean(gains), float(half)


def verdict(gain: float, half: float) -> str:
    """In words."""
    if abs(gain) <= half:
        return "undecided"
    return "yes" if gain > 0 else "no, the other way round"


def markdown(document: Mapping[str, Any]) -> str:
    """The whole page."""
    facts, found = document["facts"], document["found"]
    first = next(iter(found.values()))
    lines = [
        "# Does the literature's ordering of merging methods hold for small networks?",
        "",
        f"Written by `{facts['command']}` on {facts['date']}; do not edit.",
        f"{facts['cpu']}, {facts['cores']} cores, one thread for each of "
        f"{facts['workers']} workers; dale {facts['dale']}, PyTorch {facts['torch']}; "
        f"{facts['seconds']:.0f} seconds.",
        "",
        f"Fashion-MNIST at 14 × 14 pixels, five tasks, {facts['task']:,} training "
        f"images of each; the children are fine-tuned from one parent for "
        f"{facts['epochs']} epochs of Adam. Test accuracy in percent, the mean over "
        f"the tasks of {facts['test']:,} images each, ± the standard deviation over "
        f"n = {len(first)} seeds. Where a method has a scale or another number, it is "
        f"the best of a grid on {facts['held']} held-out images of each task, which "
        "also give the scores; Fisher, RegMean, CPIS and imports look at "
        f"{facts['statistics']} training images of each task, AdaMerging at the "
        "held-out images without labels. Test images decide nothing.",
        "",
        *_accuracies(found),
        "",
        "## The ordering",
        "",
        "Literature: average < task arithmetic ≤ TIES < Fisher, RegMean. Gain in "
        "points of the second over the first, paired by seed, with a 95 % interval "
        "(Student's t), and whether the second is better.",
        "",
        *_claims(found),
        "",
        "## What was chosen",
        "",
        *_chosen(found),
        "",
    ]
    return "\n".join(lines)


def _accuracies(found: Mapping[str, Seeds]) -> list[str]:
    methods = next(iter(found.values()))[0]
    rows = [
        [name, *(plus_minus(accuracies(seeds, name), 1) for seeds in found.values())]
        for name in methods
    ]
    return table(("", *found), rows)


def _claims(found: Mapping[str, Seeds]) -> list[str]:
    rows = []
    for one, other in CLAIMS:
        cells = []
        for seeds in found.values():
            gain, half = difference(seeds, one, other)
            cells.append(f"{gain:+.1f} ± {half:.1f}: {verdict(gain, half)}")
        rows.append([f"{one} → {other}", *cells])
    return table(("", *found), rows)


def _chosen(found: Mapping[str, Seeds]) -> list[str]:
    methods = next(iter(found.values()))[0]
    rows = []
    for name in methods:
        if any(seed[name]["chosen"] for seeds in found.values() for seed in seeds):
            cells = [
                "; ".join(seed[name]["chosen"] for seed in seeds)
                for seeds in found.values()
            ]
            rows.append([name, *cells])
    return table(("", *found), rows)
