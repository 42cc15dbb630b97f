"""The figures as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from fashion.tables import plus_minus, table

from drifting.claims import INFINITE, rows

SHOWN = ("error", "nll", "nll_calibrated", "ece", "ece_calibrated")
TITLES = {
    "error": "Error, %",
    "nll": "NLL",
    "nll_calibrated": "NLL, calibrated on clean images",
    "ece": "ECE, %",
    "ece_calibrated": "ECE after calibration on clean images, %",
}
EPIGRAPH = (
    "Every figure was measured by this run. ± is the standard deviation over seeds, "
    "which differ in initial weights and order of the images; the corrupted images "
    "are the same for all. A severity's figure is the mean over the corruptions; 0 is "
    "clean."
)


def markdown(document: Mapping[str, Any]) -> str:
    """The whole page."""
    facts, seeds = document["facts"], document["seeds"]
    corruptions = ", ".join(seeds[0]["drift"]["corruptions"])
    lines = [
        "# Calibration under drift",
        "",
        f"Written by `{facts['command']}` on {facts['date']}; do not edit.",
        f"{facts['cpu']}, one thread for each of {facts['workers']} workers; dale "
        f"{facts['dale']}, PyTorch {facts['torch']}.",
        "",
        f"Fashion-MNIST, {facts['images']:,} training images, no augmentation; dale's "
        f"convnet, {facts['parameters']:,} parameters. Every strategy has "
        f"{facts['epochs']} epochs in all, but for the deep ensemble, whose "
        f"{facts['members']} runs have {facts['epochs']} each. {facts['validation']:,} "
        "clean validation images fit the temperatures; "
        f"{seeds[0]['drift']['n']:,} test images are corrupted. Seeds: "
        f"{', '.join(map(str, facts['seeds']))}. Corruptions: {corruptions}.",
        "",
        EPIGRAPH,
    ]
    for measure in SHOWN:
        lines += ["", f"## {TITLES[measure]}", "", *_by_severity(seeds, measure)]
    lines += ["", "## Rise of the validation NLL when weights are shaken", ""]
    lines += _flatness(seeds)
    lines += ["", "## Growth of the logits of the single run", "", *_growth(seeds)]
    lines += [
        "",
        "## Claims",
        "",
        "Differences are paired by seed; the interval is Student's, 95 %. Confirmed: "
        "it lies wholly below 0, the claimed side; refuted: wholly above.",
        "",
        *_claims(document["claims"]),
    ]
    return "\n".join(lines) + "\n"


def _by_severity(seeds: Sequence[Mapping[str, Any]], measure: str) -> list[str]:
    tables = [rows(seed) for seed in seeds]
    severities = seeds[0]["drift"]["severities"]
    lines = []
    for name, row in tables[0].items():
        values = [
            [found[name]["by_severity"][place][measure] for found in tables]
            for place in range(len(severities))
        ]
        cells = [
            spread(v, measure in {"error", "ece", "ece_calibrated"}) for v in values
        ]
        lines.append([name, str(row["networks"]), *cells])
    return table(("Predictor", "Networks", *map(str, severities)), lines)


def _flatness(seeds: Sequence[Mapping[str, Any]]) -> list[str]:
    flat = [seed["flatness"] for seed in seeds]
    head = ("Network", *(f"by {scale:g}" for scale in flat[0]["scales"]))
    lines = [
        [
            name,
            *(
                spread([f["rows"][name][place] for f in flat])
                for place in range(len(head) - 1)
            ),
        ]
        for name in flat[0]["rows"]
    ]
    return table(head, lines)


def _growth(seeds: Sequence[Mapping[str, Any]]) -> list[str]:
    last = len(seeds[0]["growth"])
    shown = sorted({1, *range(5, last + 1, 5), max(1, last // 3), last})
    keys = ("train_error", "val_error", "val_nll", "val_ece", "val_logit_norm")
    lines = []
    for epoch in shown:
        values = [[seed["growth"][epoch - 1][key] for seed in seeds] for key in keys]
        cells = [
            spread(found, key in {"train_error", "val_error", "val_ece"})
            for key, found in zip(keys, values, strict=True)
        ]
        lines.append([str(epoch), *cells])
    head = (
        "Epoch",
        "Training error, %",
        "Validation error, %",
        "Validation NLL",
        "Validation ECE, %",
        "Norm of the logits",
    )
    return table(head, lines)


def _claims(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for claim in claims:
        low, high = claim["interval"]
        between = "–" if high == INFINITE else f"{low:+.4f} to {high:+.4f}"
        seeds = ", ".join(f"{value:+.4f}" for value in claim["values"])
        lines.append(
            [claim["claim"], f"{claim['mean']:+.4f}", between, seeds, claim["verdict"]]
        )
    return table(("Claim", "Difference", "Interval", "By seed", "Verdict"), lines)


def spread(values: Sequence[float], percent: bool = False) -> str:
    """Mean ± standard deviation."""
    factor, digits = (100, 2) if percent else (1, 4)
    return plus_minus(values, digits, factor)
