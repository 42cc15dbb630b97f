"""What a run's figures, and the loss around its solutions, say about it."""

from dale.diagnose.equivalent import (
    deep_ensemble_equivalent as deep_ensemble_equivalent,
)
from dale.diagnose.equivalent import scores_by_size as scores_by_size
from dale.diagnose.gap import Regime as Regime
from dale.diagnose.gap import Verdict as Verdict
from dale.diagnose.gap import regime as regime
from dale.diagnose.lanczos import Curvatures as Curvatures
from dale.diagnose.lanczos import lanczos as lanczos
from dale.diagnose.noise import GradientNoise as GradientNoise
from dale.diagnose.noise import gradient_noise as gradient_noise
from dale.diagnose.sharpness import Perturbation as Perturbation
from dale.diagnose.sharpness import perturbation as perturbation

__all__ = [
    "Curvatures",
    "GradientNoise",
    "Perturbation",
    "Regime",
    "Verdict",
    "deep_ensemble_equivalent",
    "gradient_noise",
    "lanczos",
    "perturbation",
    "regime",
    "scores_by_size",
]
