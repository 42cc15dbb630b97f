"""Scores of files of logits, as the verbs print them."""

from dale.cli.common import number, percent

SCORES = (
    ("error", "error %", percent),
    ("nll", "NLL", number),
    ("ece", "ECE %", percent),
    ("brier", "Brier", number),
)
"""Key, heading and format of the scores of a file."""
