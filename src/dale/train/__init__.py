"""One run, many members: recipes, strategies, collectors and the loop."""

from dale.train.batches import Batches as Batches
from dale.train.beforehand import check_beforehand as check_beforehand
from dale.train.building import build_augment as build_augment
from dale.train.building import build_model as build_model
from dale.train.building import build_optimizer as build_optimizer
from dale.train.collect import COLLECTORS as COLLECTORS
from dale.train.collect import AverageCollector as AverageCollector
from dale.train.collect import BestCollector as BestCollector
from dale.train.collect import Collector as Collector
from dale.train.collect import Gaussian as Gaussian
from dale.train.collect import SnapshotCollector as SnapshotCollector
from dale.train.collect import Snapshots as Snapshots
from dale.train.collect import Span as Span
from dale.train.collect import SwagCollector as SwagCollector
from dale.train.collect import TailCollector as TailCollector
from dale.train.drive import folds_of as folds_of
from dale.train.drive import train as train
from dale.train.engine import Engine as Engine
from dale.train.engine import EngineSpec as EngineSpec
from dale.train.guard import Guard as Guard
from dale.train.guard import GuardSpec as GuardSpec
from dale.train.layers import LAYERS as LAYERS
from dale.train.layers import Layerwise as Layerwise
from dale.train.layers import discriminative as discriminative
from dale.train.layers import equalised as equalised
from dale.train.layers import layer_groups as layer_groups
from dale.train.layers import layers_of as layers_of
from dale.train.layers import signal as signal
from dale.train.optimizers import OPTIMIZERS as OPTIMIZERS
from dale.train.outlets import Progress as Progress
from dale.train.outlets import Watcher as Watcher
from dale.train.plateau import Plateau as Plateau
from dale.train.plateau import PlateauSpec as PlateauSpec
from dale.train.proximal import soft_threshold as soft_threshold
from dale.train.ranging import RangeTest as RangeTest
from dale.train.ranging import range_test as range_test
from dale.train.reading import load_recipe as load_recipe
from dale.train.reading import parse_recipe as parse_recipe
from dale.train.reading import read_recipe as read_recipe
from dale.train.recipe import Recipe as Recipe
from dale.train.rehearsal import Rehearsal as Rehearsal
from dale.train.schema import recipe_schema as recipe_schema
from dale.train.strategies import STRATEGIES as STRATEGIES
from dale.train.trackers import TRACKERS as TRACKERS
from dale.train.trajectory import Budget as Budget
from dale.train.trajectory import Trajectory as Trajectory
from dale.train.trajectory import bootstrap_rows as bootstrap_rows
from dale.train.walk import statistics_batches as statistics_batches

__all__ = [
    "COLLECTORS",
    "LAYERS",
    "OPTIMIZERS",
    "STRATEGIES",
    "TRACKERS",
    "AverageCollector",
    "Batches",
    "BestCollector",
    "Budget",
    "Collector",
    "Engine",
    "EngineSpec",
    "Gaussian",
    "Guard",
    "GuardSpec",
    "Layerwise",
    "Plateau",
    "PlateauSpec",
    "Progress",
    "RangeTest",
    "Recipe",
    "Rehearsal",
    "SnapshotCollector",
    "Snapshots",
    "Span",
    "SwagCollector",
    "TailCollector",
    "Trajectory",
    "Watcher",
    "bootstrap_rows",
    "build_augment",
    "build_model",
    "build_optimizer",
    "check_beforehand",
    "discriminative",
    "equalised",
    "folds_of",
    "layer_groups",
    "layers_of",
    "load_recipe",
    "parse_recipe",
    "range_test",
    "read_recipe",
    "recipe_schema",
    "signal",
    "soft_threshold",
    "statistics_batches",
    "train",
]
