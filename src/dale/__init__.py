"""The strength of many networks out of few training runs, for PyTorch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dale import metrics as metrics
    from dale.annealing import anneal as anneal
    from dale.calibrate import Temperature as Temperature
    from dale.calibrate import fit_temperature as fit_temperature
    from dale.ensemble import Ensemble as Ensemble
    from dale.errors import CorruptError as CorruptError
    from dale.errors import DaleError as DaleError
    from dale.errors import DataError as DataError
    from dale.errors import DiskError as DiskError
    from dale.errors import InputError as InputError
    from dale.errors import Interrupted as Interrupted
    from dale.errors import LeakageError as LeakageError
    from dale.errors import LockedError as LockedError
    from dale.errors import ModelError as ModelError
    from dale.errors import NotFiniteError as NotFiniteError
    from dale.errors import RecipeError as RecipeError
    from dale.errors import SchemaError as SchemaError
    from dale.errors import StoreError as StoreError
    from dale.errors import TrainingError as TrainingError
    from dale.errors import WeightsError as WeightsError
    from dale.merge import average as average
    from dale.merge import fisher_merge as fisher_merge
    from dale.merge import greedy_soup as greedy_soup
    from dale.merge import learned_soup as learned_soup
    from dale.merge import regmean as regmean
    from dale.merge import uniform_soup as uniform_soup
    from dale.predict import infer as infer
    from dale.recipes import Workbench as Workbench
    from dale.recipes import cross_validate as cross_validate
    from dale.recipes import evaluate as evaluate
    from dale.recipes import fuse as fuse
    from dale.recipes import out_of_fold as out_of_fold
    from dale.recipes import pool as pool
    from dale.recipes import start as start
    from dale.schedules import SCHEDULES as SCHEDULES
    from dale.schedules import Schedule as Schedule
    from dale.schedules import cosine_restarts as cosine_restarts
    from dale.schedules.torch_scheduler import CosineRestarts as CosineRestarts
    from dale.schedules.torch_scheduler import Scheduled as Scheduled
    from dale.store import Run as Run
    from dale.train import Layerwise as Layerwise
    from dale.train import Recipe as Recipe
    from dale.train import Snapshots as Snapshots
    from dale.train import layer_groups as layer_groups
    from dale.train import load_recipe as load_recipe

__version__ = "0.1.0"

HOMES = {
    "SCHEDULES": "dale.schedules",
    "CorruptError": "dale.errors",
    "CosineRestarts": "dale.schedules.torch_scheduler",
    "DaleError": "dale.errors",
    "DataError": "dale.errors",
    "DiskError": "dale.errors",
    "Ensemble": "dale.ensemble",
    "InputError": "dale.errors",
    "Interrupted": "dale.errors",
    "Layerwise": "dale.train",
    "LeakageError": "dale.errors",
    "LockedError": "dale.errors",
    "ModelError": "dale.errors",
    "NotFiniteError": "dale.errors",
    "Recipe": "dale.train",
    "RecipeError": "dale.errors",
    "Run": "dale.store",
    "Schedule": "dale.schedules",
    "Scheduled": "dale.schedules.torch_scheduler",
    "SchemaError": "dale.errors",
    "Snapshots": "dale.train",
    "StoreError": "dale.errors",
    "Temperature": "dale.calibrate",
    "TrainingError": "dale.errors",
    "WeightsError": "dale.errors",
    "Workbench": "dale.recipes",
    "anneal": "dale.annealing",
    "average": "dale.merge",
    "cosine_restarts": "dale.schedules",
    "cross_validate": "dale.recipes",
    "evaluate": "dale.recipes",
    "fisher_merge": "dale.merge",
    "fit_temperature": "dale.calibrate",
    "fuse": "dale.recipes",
    "greedy_soup": "dale.merge",
    "infer": "dale.predict",
    "layer_groups": "dale.train",
    "learned_soup": "dale.merge",
    "load_recipe": "dale.train",
    "out_of_fold": "dale.recipes",
    "pool": "dale.recipes",
    "regmean": "dale.merge",
    "start": "dale.recipes",
    "uniform_soup": "dale.merge",
}
"""Public name to the room that defines it. Looked up on first use, so that
``import dale`` does not wait for torch."""

__all__ = [
    "SCHEDULES",
    "CorruptError",
    "CosineRestarts",
    "DaleError",
    "DataError",
    "DiskError",
    "Ensemble",
    "InputError",
    "Interrupted",
    "Layerwise",
    "LeakageError",
    "LockedError",
    "ModelError",
    "NotFiniteError",
    "Recipe",
    "RecipeError",
    "Run",
    "Schedule",
    "Scheduled",
    "SchemaError",
    "Snapshots",
    "StoreError",
    "Temperature",
    "TrainingError",
    "WeightsError",
    "Workbench",
    "anneal",
    "average",
    "cosine_restarts",
    "cross_validate",
    "evaluate",
    "fisher_merge",
    "fit_temperature",
    "fuse",
    "greedy_soup",
    "infer",
    "layer_groups",
    "learned_soup",
    "load_recipe",
    "metrics",
    "out_of_fold",
    "pool",
    "regmean",
    "start",
    "uniform_soup",
]


def __getattr__(name: str) -> Any:
    if name in HOMES:
        value = getattr(import_module(HOMES[name]), name)
    elif name in __all__:
        value = import_module(f"dale.{name}")
    else:
        raise AttributeError(f"module 'dale' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
