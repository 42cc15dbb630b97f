"""The figures as Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, stdev
from typing import Any

PERCENT = {"error", "ece", "ece_calibrated", "disagreement"}
GROUPS = {
    "NoCycle snapshots": "nocycle",
    "short-cycle ensemble": "short_cycles",
    "snapshot ensemble": "snapshot",
}
EPIGRAPH = (
    "Every figure below was measured by this run. Spread is the standard deviation "
    "over seeds, which differ in initial weights, order of the images and "
    "augmentation, not in the split."
)


def markdown(document: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        document: What `fashion_mnist.py` stores as JSON.

    Returns:
        Markdown text.
    """
    facts = document["facts"]
    lines = [
        "# Fashion-MNIST",
        "",
        f"Written by `{facts['command']}` on {facts['date']}; do not edit.",
        f"{facts['cpu']}, {facts['cores']} cores, one thread for each of "
        f"{facts['workers']} workers; dale {facts['dale']}, PyTorch {facts['torch']}, "
        f"Python {facts['python']}.",
        "",
        f"Model: dale's convnet, {facts['parameters']:,} parameters; batches of "
        f"{facts['batch']}, SGD with Nesterov momentum 0.9, weight decay 0.0005. "
        f"{facts['validation']:,} validation images choose the settings and fit the "
        "temperatures; the 10,000 test images give the figures and decide nothing.",
        "",
        EPIGRAPH,
    ]
    for regime in document["regimes"]:
        lines += ["", f"## {regime['title']}", "", *_regime(regime)]
    return "\n".join(lines) + "\n"


def _regime(regime: Mapping[str, Any]) -> list[str]:
    settings = "; ".join(f"{k}: {v}" for k, v in regime["settings"].items())
    return [
        f"Chosen on validation images: {settings}.",
        "",
        *results(regime),
        "",
        "Against the single run of the same seed (negative is better):",
        "",
        *differences(regime),
        "",
        "Choice of settings (first seed, cross-fitted temperature):",
        "",
        *selection(regime),
        "",
        "Which regime `dale evaluate` sees, from the single run:",
        "",
        *verdicts(regime),
    ]


def results(regime: Mapping[str, Any]) -> list[str]:
    """Scores on the test images."""
    head = (
        "Predictor",
        "Networks",
        "Error, %",
        "NLL",
        "ECE, %",
        "NLL, calibrated",
        "ECE, calibrated, %",
        "Disagreement, %",
        "n",
    )
    rows = []
    for method in regime["methods"]:
        group = GROUPS.get(method["name"], "")
        apart = regime["disagreement"].get(group)
        rows.append(
            [
                method["name"],
                str(method["networks"] if method["kind"] == "ensemble" else 1),
                spread(method["error"], "error"),
                spread(method["nll"], "nll"),
                spread(method["ece"], "ece"),
                spread(method["nll_calibrated"], "nll"),
                spread(method["ece_calibrated"], "ece"),
                spread(apart, "disagreement") if apart else "",
                str(len(method["seeds"])),
            ]
        )
    return table(head, rows)


def differences(regime: Mapping[str, Any]) -> list[str]:
    """What each predictor gains on the single run of the same seed."""
    rows = [
        [
            method["name"],
            spread(method["against_control"]["error"], "error", signed=True),
            spread(method["against_control"]["nll"], "nll", signed=True),
            spread(method["against_control"]["nll_calibrated"], "nll", signed=True),
            str(len(method["against_control"]["error"]["values"])),
        ]
        for method in regime["methods"][1:]
    ]
    head = ("Predictor", "Δ error, points", "Δ NLL", "Δ NLL, calibrated", "n")
    return table(head, rows)


def selection(regime: Mapping[str, Any]) -> list[str]:
    """What was tried and what was taken."""
    rows = [
        [
            entry["predictor"],
            entry["setting"],
            f"{entry['val_nll_calibrated']:.4f}",
            "chosen" if entry["chosen"] else "",
        ]
        for entry in regime["selection"]
    ]
    return table(("Predictor", "Setting", "Validation NLL, calibrated", ""), rows)


def verdicts(regime: Mapping[str, Any]) -> list[str]:
    """The verdict of each seed's single run and the errors it rests on."""
    rows = [
        [
            str(entry["seed"]),
            entry["regime"],
            f"{100 * entry['train_error']:.2f}",
            f"{100 * entry['val_error']:.2f}",
            f"{entry['ratio']:.2f}",
        ]
        for entry in regime["verdicts"]
    ]
    head = ("Seed", "Verdict", "Training error, %", "Validation error, %", "Ratio")
    return table(head, rows)


def spread(entry: Mapping[str, Any], measure: str, signed: bool = False) -> str:
    """Mean ± standard deviation, in the unit of the measure."""
    if entry["mean"] is None:
        return ""
    factor, digits = (100, 2) if measure in PERCENT else (1, 4)
    text = f"{factor * entry['mean']:{'+' if signed else ''}.{digits}f}"
    if entry["std"] is None:
        return text
    return f"{text} ± {factor * entry['std']:.{digits}f}"


def plus_minus(values: Sequence[float], digits: int, factor: float = 1) -> str:
    """Mean ± standard deviation, times a factor; the mean alone of one value."""
    text = f"{factor * mean(values):.{digits}f}"
    if len(values) < 2:
        return text
    return f"{text} ± {factor * stdev(values):.{digits}f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    rule = ["---"] * len(head)
    return ["| " + " | ".join(row) + " |" for row in (head, rule, *rows)]
