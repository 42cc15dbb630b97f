"""The figures as Markdown."""

from collections.abc import Mapping, Sequence
from math import isinf
from statistics import mean
from typing import Any

from fashion.tables import plus_minus, table

HEAD = (
    "Strategy",
    "Networks",
    "Error, %",
    "Last alone, %",
    "NLL",
    "NLL, calibrated",
    "ECE, %",
    "ECE, calibrated, %",
    "Disagreement, %",
    "Equivalent",
    "Seconds",
    "Disk, MB",
)


def markdown(document: Mapping[str, Any]) -> str:
    """The whole page."""
    facts, seeds = document["facts"], document["seeds"]
    curve = [mean(at) for at in zip(*(s[0]["independent"] for s in seeds), strict=True)]
    lines = [
        "# Strategies at equal budget",
        "",
        f"Written by `{facts['command']}` on {facts['date']}; do not edit.",
        f"{facts['cpu']}, {facts['cores']} cores, one thread for each of "
        f"{facts['workers']} workers; dale {facts['dale']}, PyTorch {facts['torch']}.",
        "",
        f"Fashion-MNIST, {facts['images']:,} training images, no augmentation; dale's "
        f"convnet, {facts['parameters']:,} parameters; {facts['epochs']} epochs for "
        f"every strategy, but for `independent`: {facts['members']} runs of "
        f"{facts['epochs']} each. {facts['validation']:,} validation images fit the "
        "temperatures, 10,000 test images give the figures. n = "
        f"{len(seeds)} seeds; ± is the standard deviation over them. Peaks of the rate "
        "are 0.1 where it falls once and 0.2 where it falls by cosines; nothing was "
        "tuned for this comparison.",
        "",
        "*Equivalent*: the number of independent full runs with the same calibrated "
        "likelihood, of the same seed; > "
        f"{facts['members']} where all of them have less. *Seconds* are those "
        "of one processor, for training with validation. *Disk*: the members.",
        "",
        *table(
            HEAD, [_row([s[place] for s in seeds]) for place in range(len(seeds[0]))]
        ),
        "",
        "Calibrated NLL of 1, 2, ... independent runs, mean over subsets and seeds: "
        + ", ".join(f"{-value:.4f}" for value in curve)
        + ".",
        "",
        "```yaml",
        "strategies:",
        *(f"  - {_flow(entry)}" for entry in facts["settings"]),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _flow(entry: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in entry.items()) + "}"


def _row(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    def spread(name: str, scale: float = 1.0, digits: int = 2) -> str:
        values = [line[name] for line in lines]
        if any(value is None for value in values):
            return ""
        return plus_minus(values, digits, scale)

    limit = len(lines[0]["independent"])
    return [
        f"`{lines[0]['title']}`: {lines[0]['name']}",
        str(lines[0]["networks"]),
        spread("error", 100),
        spread("last_error", 100),
        spread("nll", digits=3),
        spread("nll_calibrated", digits=3),
        spread("ece", 100),
        spread("ece_calibrated", 100),
        spread("disagreement", 100),
        equivalents([line["equivalent"] for line in lines], limit),
        spread("seconds", digits=0),
        spread("bytes", 1e-6),
    ]


def equivalents(values: Sequence[float], limit: int) -> str:
    """Mean and standard deviation, or each value where some have no number."""
    if any(isinf(value) for value in values):
        return ", ".join(f"> {limit}" if isinf(v) else f"{v:.1f}" for v in values)
    return plus_minus(values, 1)
