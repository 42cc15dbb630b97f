"""Several checkpoints in, one checkpoint out.

`METHODS` holds one row for each way to merge: the function, whose keyword arguments are
its settings, and what is true of it. `merge` applies a row to models, and `stream`
writes the result to files, one tensor at a time.
"""

from dale.merge.arithmetic import (
    analogy,
    apply_vector,
    extrapolate,
    negate,
    task_vector,
)
from dale.merge.average import (
    average,
    linear,
    over_names,
    passthrough,
    uniform,
    weighted,
)
from dale.merge.breadcrumbs import breadcrumbs, breadcrumbs_ties
from dale.merge.config import load_config, plan_config, run_config
from dale.merge.dare import dare_linear, dare_ties
from dale.merge.della import della, della_linear
from dale.merge.engine import merge
from dale.merge.job import Job, Source, run_jobs
from dale.merge.means import karcher, multislerp
from dale.merge.method import Method
from dale.merge.pairwise import arcee_fusion, nearswap
from dale.merge.ram import ram, ramplus_tl
from dale.merge.refresh import refresh, refreshed
from dale.merge.sce import sce
from dale.merge.soup import Decision, Soup, greedy, greedy_soup, uniform_soup
from dale.merge.sphere import nuslerp, slerp
from dale.merge.stock import model_stock
from dale.merge.stream import stream, write_jobs
from dale.merge.table import METHODS
from dale.merge.ties import task_arithmetic, thresholds, ties, ties_global

__all__ = [
    "METHODS",
    "Decision",
    "Job",
    "Method",
    "Soup",
    "Source",
    "analogy",
    "apply_vector",
    "arcee_fusion",
    "average",
    "breadcrumbs",
    "breadcrumbs_ties",
    "dare_linear",
    "dare_ties",
    "della",
    "della_linear",
    "extrapolate",
    "greedy",
    "greedy_soup",
    "karcher",
    "linear",
    "load_config",
    "merge",
    "model_stock",
    "multislerp",
    "nearswap",
    "negate",
    "nuslerp",
    "over_names",
    "passthrough",
    "plan_config",
    "ram",
    "ramplus_tl",
    "refresh",
    "refreshed",
    "run_config",
    "run_jobs",
    "sce",
    "slerp",
    "stream",
    "task_arithmetic",
    "task_vector",
    "thresholds",
    "ties",
    "ties_global",
    "uniform",
    "uniform_soup",
    "weighted",
    "write_jobs",
]
