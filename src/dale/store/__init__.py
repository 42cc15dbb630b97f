"""Run folders: the only room that knows where things lie on disk."""

from dale.store import sealed as sealed
from dale.store.lock import writing as writing
from dale.store.log import Log as Log
from dale.store.population import Member as Member
from dale.store.population import Population as Population
from dale.store.predictions import PredictionCache as PredictionCache
from dale.store.predictions import Predictions as Predictions
from dale.store.run import Run as Run
from dale.store.sealed import SCHEMA as SCHEMA
from dale.store.sealed import finite as finite

__all__ = [
    "SCHEMA",
    "Log",
    "Member",
    "Population",
    "PredictionCache",
    "Predictions",
    "Run",
    "finite",
    "writing",
]
