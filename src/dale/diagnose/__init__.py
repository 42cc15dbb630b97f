"""What a run's figures, and the loss around its solutions, say about it."""

from dale.diagnose.equivalent import (
    deep_ensemble_equivalent as deep_ensemble_equivalent,
)
from dale.diagnose.equivalent import scores_by_size as scores_by_size
from dale.diagnose.ergodicity import Ergodicity as Ergodicity
from dale.diagnose.ergodicity import Ratio as Ratio
from dale.diagnose.ergodicity import ergodicity as ergodicity
from dale.diagnose.ergodicity import pair_disagreement as pair_disagreement
from dale.diagnose.ergodicity import ratio_of_means as ratio_of_means
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
    "Ergodicity",
    "GradientNoise",
    "Perturbation",
    "Ratio",
    "Regime",
    "Verdict",
    "deep_ensemble_equivalent",
    "ergodicity",
    "gradient_noise",
    "lanczos",
    "pair_disagreement",
    "perturbation",
    "ratio_of_means",
    "regime",
    "scores_by_size",
]
