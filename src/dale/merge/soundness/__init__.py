"""After a merge: is the result sound?

`check` compares a merged network with the models that it was made from and puts what it
finds into words.
"""

from dale.merge.soundness.barrier import Barrier, barriers
from dale.merge.soundness.check import Check, check
from dale.merge.soundness.measure import TensorCheck, Totals
from dale.merge.soundness.verdict import THRESHOLDS, Level, findings

__all__ = [
    "THRESHOLDS",
    "Barrier",
    "Check",
    "Level",
    "TensorCheck",
    "Totals",
    "barriers",
    "check",
    "findings",
]
