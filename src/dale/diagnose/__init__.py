"""What a run's figures, and the loss around its solutions, say about it."""

from dale.diagnose.gap import Regime as Regime
from dale.diagnose.gap import Verdict as Verdict
from dale.diagnose.gap import regime as regime
from dale.diagnose.sharpness import Perturbation as Perturbation
from dale.diagnose.sharpness import perturbation as perturbation

__all__ = ["Perturbation", "Regime", "Verdict", "perturbation", "regime"]
