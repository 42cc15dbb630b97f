"""Named tensors: their layout, arithmetic, files, digests and statistics."""

from dale.weights.algebra import (
    add,
    copied,
    distance,
    dot,
    lerp,
    map_floats,
    map_tensors,
    mean,
    norm,
    scale,
    sub,
    weighted_sum,
)
from dale.weights.checkpoint import read_checkpoint
from dale.weights.dcp import DistributedWeights
from dale.weights.digest import digest, digest_arrays
from dale.weights.io import load, load_into, save, weights_of
from dale.weights.kernels import linear, wide
from dale.weights.layout import (
    Described,
    Entry,
    Layout,
    Role,
    entry_of,
    layout_of,
    layout_of_weights,
)
from dale.weights.lazy import LazyWeights
from dale.weights.lora import AdaptedWeights
from dale.weights.mapped import MappedWeights
from dale.weights.match import Weights
from dale.weights.opening import Opened, adapted, open_weights
from dale.weights.running import RunningMean, RunningState
from dale.weights.statistics import has_statistics, reestimate

__all__ = [
    "AdaptedWeights",
    "Described",
    "DistributedWeights",
    "Entry",
    "Layout",
    "LazyWeights",
    "MappedWeights",
    "Opened",
    "Role",
    "RunningMean",
    "RunningState",
    "Weights",
    "adapted",
    "add",
    "copied",
    "digest",
    "digest_arrays",
    "distance",
    "dot",
    "entry_of",
    "has_statistics",
    "layout_of",
    "layout_of_weights",
    "lerp",
    "linear",
    "load",
    "load_into",
    "map_floats",
    "map_tensors",
    "mean",
    "norm",
    "open_weights",
    "read_checkpoint",
    "reestimate",
    "save",
    "scale",
    "sub",
    "weighted_sum",
    "weights_of",
    "wide",
]
