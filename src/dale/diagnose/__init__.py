"""What a run's figures say about the run."""

from dale.diagnose.gap import Regime as Regime
from dale.diagnose.gap import Verdict as Verdict
from dale.diagnose.gap import regime as regime

__all__ = ["Regime", "Verdict", "regime"]
