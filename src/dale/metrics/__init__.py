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
from dale.metrics.calibration import (
    adaptive_ece,
    debiased_rms_ce,
    ece,
    mce,
    rms_ce,
)
from dale.metrics.check import (
    blocks,
    check_shape,
    checked,
    checked_logits,
    checked_members,
    checked_targets,
    one_column,
)
from dale.metrics.classwise import classwise_ece, top_label_ece
from dale.metrics.decompose import (
    BrierParts,
    brier_parts,
    brier_reliability,
    brier_resolution,
)
from dale.metrics.diversity import (
    disagreement_MM,
    mean_disagreement,
    normalised_disagreement,
)
from dale.metrics.norm import logit_norm
from dale.metrics.proper import brier, brier_N, nll, nll_N
from dale.metrics.ranking import Ranking, confidence_N, ranked
from dale.metrics.reliability import Reliability, diagram, reliability
from dale.metrics.selective import (
    RiskCoverage,
    aurc,
    misclassification_auroc,
    ranking_auroc,
    risk_coverage,
    selective_curve,
    selective_risk,
)


@dataclass(frozen=True)
class Metric:
    """One row of `METRICS`: a function and what is true of it.

    Args:
        function: Takes the tensors named in ``needs``, in that order, and settings
            that have defaults; returns a float.
        label: Its name in tables and figures.
        higher_is_better: None where neither direction is better.
        lower: Smallest possible value.
        upper: Largest possible value; None where there is none.
        needs: Names of the tensors it takes.
        reference: Where it comes from.
        may_be_nan: It is NaN where it is undefined, and its docstring says where.
    """

    function: Callable[..., float]
    label: str
    higher_is_better: bool | None
    lower: float
    upper: float | None
    needs: tuple[Literal["logits_NC", "logits_MNC", "targets_N"], ...]
    reference: str
    may_be_nan: bool = False


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
    "adaptive_ece": Metric(
        function=adaptive_ece,
        label="Calibration error, bins of equal mass",
        higher_is_better=False,
        lower=0.0,
        upper=1.0,
        needs=("logits_NC", "targets_N"),
        reference="Nguyen and O'Connor, 2015, arXiv 1508.05154",
    ),
    "classwise_ece": Metric(
        function=classwise_ece,
        label="Classwise calibration error",
        higher_is_better=False,
        lower=0.0,
        upper=1.0,
        needs=("logits_NC", "targets_N"),
        reference="Kull et al., 2019, arXiv 1910.12656",
    ),
    "top_label_ece": Metric(
        function=top_label_ece,
        label="Top-label calibration error",
        higher_is_better=False,
        lower=0.0,
        upper=1.0,
        needs=("logits_NC", "targets_N"),
        reference="Gupta and Ramdas, 2022, arXiv 2107.08353",
    ),
    "rms_ce": Metric(
        function=rms_ce,
        label="RMS calibration error",
        higher_is_better=False,
        lower=0.0,
        upper=1.0,
        needs=("logits_NC", "targets_N"),
        reference="Hendrycks et al., 2019, arXiv 1812.04606",
    ),
    "debiased_rms_ce": Metric(
        function=debiased_rms_ce,
        label="RMS calibration error beyond chance",
        higher_is_better=False,
        lower=0.0,
        upper=1.0,
        needs=("logits_NC", "targets_N"),
        reference="Bröcker, 2012; Kumar et al., 2019, arXiv 1909.10155",
    ),
    "brier_reliability": Metric(
        function=brier_reliability,
        label="Brier score: reliability",
        higher_is_better=False,
        lower=0.0,
        upper=2.0,
        needs=("logits_NC", "targets_N"),
        reference="Murphy, 1973; Stephenson et al., 2008",
    ),
    "brier_resolution": Metric(
        function=brier_resolution,
        label="Brier score: resolution",
        higher_is_better=True,
        lower=0.0,
        upper=1.0,
        needs=("logits_NC", "targets_N"),
        reference="Murphy, 1973; Stephenson et al., 2008",
    ),
    "aurc": Metric(
        function=aurc,
        label="Area under the risk-coverage curve",
        higher_is_better=False,
        lower=0.0,
        upper=1.0,
        needs=("logits_NC", "targets_N"),
        reference="Geifman et al., 2019, arXiv 1805.08206",
    ),
    "selective_risk": Metric(
        function=selective_risk,
        label="Error of the most confident 80 %",
        higher_is_better=False,
        lower=0.0,
        upper=1.0,
        needs=("logits_NC", "targets_N"),
        reference="Geifman and El-Yaniv, 2017, arXiv 1705.08500",
    ),
    "misclassification_auroc": Metric(
        function=misclassification_auroc,
        label="AUROC of right against wrong",
        higher_is_better=True,
        lower=0.0,
        upper=1.0,
        needs=("logits_NC", "targets_N"),
        reference="Hendrycks and Gimpel, 2017, arXiv 1610.02136",
        may_be_nan=True,
    ),
    "logit_norm": Metric(
        function=logit_norm,
        label="Mean norm of the logits",
        higher_is_better=None,
        lower=0.0,
        upper=None,
        needs=("logits_NC",),
        reference="Wei et al., 2022, arXiv 2205.09310",
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
    "BrierParts",
    "Metric",
    "Ranking",
    "Reliability",
    "RiskCoverage",
    "accuracy",
    "adaptive_ece",
    "aurc",
    "blocks",
    "bootstrap",
    "brier",
    "brier_N",
    "brier_parts",
    "brier_reliability",
    "brier_resolution",
    "check_shape",
    "checked",
    "checked_logits",
    "checked_members",
    "checked_targets",
    "classwise_ece",
    "confidence_N",
    "correct_N",
    "debiased_rms_ce",
    "diagram",
    "disagreement_MM",
    "ece",
    "error",
    "logit_norm",
    "mce",
    "mean_disagreement",
    "misclassification_auroc",
    "nll",
    "nll_N",
    "normalised_disagreement",
    "one_column",
    "ranked",
    "ranking_auroc",
    "reliability",
    "risk_coverage",
    "rms_ce",
    "selective_curve",
    "selective_risk",
    "top_label_ece",
]
