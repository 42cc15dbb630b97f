"""Fusing a run's members into one network, by every method that can."""

from dale.recipes.fusion.after import check_fused
from dale.recipes.fusion.fusing import fuse
from dale.recipes.fusion.given import numbers, read
from dale.recipes.fusion.pot import SCORES, Fused, Pot
from dale.recipes.fusion.table import FUSIONS, Fusion

__all__ = [
    "FUSIONS",
    "SCORES",
    "Fused",
    "Fusion",
    "Pot",
    "check_fused",
    "fuse",
    "numbers",
    "read",
]
