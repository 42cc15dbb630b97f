"""What a run's figures, and the loss around its solutions, say about it."""

from dale.diagnose.equivalent import (
    deep_ensemble_equivalent as deep_ensemble_equivalent,
)
from dale.diagnose.equivalent import scores_by_size as scores_by_size
from dale.diagnose.gap import Regime as Regime
from dale.diagnose.gap import Verdict as Verdict
from dale.diagnose.gap import regime as regime
from dale.diagnose.sharpness import Perturbation as Perturbation
from dale.diagnose.sharpness import perturbation as perturbation

__all__ = [
    "Perturbation",
    "Regime",
    "Verdict",
    "deep_ensemble_equivalent",
    "perturbation",
    "regime",
    "scores_by_size",
]
