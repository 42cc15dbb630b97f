"""Pure functions from logits and targets to numbers, computed in float64.

Shapes: M members, N examples, C classes.

Every function takes *logits*; normalised log-probabilities are logits too.
Probabilities are not: nothing is guessed from the values.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from dale.metrics.accuracy import accuracy, correct_N, error
from dale.metrics.bootstrap import bootstrap
from dale.metrics.calibration import Reliability, confidence_N, ece, mce, reliability
from dale.metrics.check import (
    blocks,
    check_shape,
    checked,
    checked_logits,
    checked_members,
    checked_targets,
)
from dale.metrics.diversity import (
    disagreement_MM,
    mean_disagreement,
    normalised_disagreement,
)
from dale.metrics.proper import brier, brier_N, nll, nll_N


@dataclass(frozen=True)
class Metric:
    """One row of `METRICS`: a function and what is true of it.

    Args:
        function: Takes the tensors named in ``needs``, in that order; returns a float.
        label: Its name in tables and figures.
        higher_is_better: None where neither direction is better.
        lower: Smallest possible value.
        upper: Largest possible value; None where there is none.
        needs: Names of the tensors it takes.
        reference: Where it comes from.
    """

    function: Callable[..., float]
    label: str
    higher_is_better: bool | None
    lower: float
    upper: float | None
    needs: tuple[Literal["logits_NC", "logits_MNC", "targets_N"], ...]
    reference: str


METRICS: dict[str, Metric] = {
    "accuracy": Metric(
        function=accuracy,
        label="Accuracy",
        higher_is_better=True,
        lower=0.0,
        upper=1.0,
        needs=("logits_NC", "targets_N"),
        reference="standard",
    ),
    "error": Metric(
        function=error,
        label="Error",
        higher_is_better=False,
        lower=0.0,
        upper=1.0,
        needs=("logits_NC", "targets_N"),
        reference="standard",
    ),
    "nll": Metric(
        function=nll,
        label="Negative log-likelihood (nats)",
        higher_is_better=False,
        lower=0.0,
        upper=None,
        needs=("logits_NC", "targets_N"),
        reference="Good, 1952",
    ),
    "brier": Metric(
        function=brier,
        label="Brier score",
        higher_is_better=False,
        lower=0.0,
        upper=2.0,
        needs=("logits_NC", "targets_N"),
        reference="Brier, 1950",
    ),
    "ece": Metric(
        function=ece,
        label="Expected calibration error",
        higher_is_better=False,
        lower=0.0,
        upper=1.0,
        needs=("logits_NC", "targets_N"),
        reference="Naeini et al., 2015; Guo et al., 2017, arXiv 1706.04599",
    ),
    "mce": Metric(
        function=mce,
        label="Maximum calibration error",
        higher_is_better=False,
        lower=0.0,
        upper=1.0,
        needs=("logits_NC", "targets_N"),
        reference="Naeini et al., 2015",
    ),
    "mean_disagreement": Metric(
        function=mean_disagreement,
        label="Mean pairwise disagreement",
        higher_is_better=None,
        lower=0.0,
        upper=1.0,
        needs=("logits_MNC",),
        reference="Fort et al., 2019, arXiv 1912.02757",
    ),
    "normalised_disagreement": Metric(
        function=normalised_disagreement,
        label="Disagreement per error",
        higher_is_better=None,
        lower=0.0,
        upper=2.0,
        needs=("logits_MNC", "targets_N"),
        reference="Fort et al., 2019, arXiv 1912.02757",
    ),
}

__all__ = [
    "METRICS",
    "Metric",
    "Reliability",
    "accuracy",
    "blocks",
    "bootstrap",
    "brier",
    "brier_N",
    "check_shape",
    "checked",
    "checked_logits",
    "checked_members",
    "checked_targets",
    "confidence_N",
    "correct_N",
    "disagreement_MM",
    "ece",
    "error",
    "mce",
    "mean_disagreement",
    "nll",
    "nll_N",
    "normalised_disagreement",
    "reliability",
]
