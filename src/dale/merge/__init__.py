"""Several checkpoints in, one checkpoint out.

`METHODS` holds one row for each way to merge: the function, whose keyword arguments are
its settings, and what is true of it. `merge` applies a row to models, and `stream`
writes the result to files, one tensor at a time. `INFORMED` holds the methods that need
data, or statistics of data, which are functions of their own.
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
from dale.merge.barrier import Barrier, barriers
from dale.merge.breadcrumbs import breadcrumbs, breadcrumbs_ties
from dale.merge.config import load_config, plan_config, run_config
from dale.merge.contribution import (
    contribution,
    contribution_literal,
    contributions,
)
from dale.merge.dare import dare_linear, dare_ties
from dale.merge.della import della, della_linear
from dale.merge.engine import merge
from dale.merge.informed import (
    INFORMED,
    Confident,
    Imported,
    LearnedSoup,
    Statistics,
    adamerging,
    covariances,
    cpis,
    fisher,
    fisher_merge,
    grams,
    import_layers,
    importance_merge,
    learned_soup,
    load_statistics,
    mixed_by,
    regmean,
    unit_importance,
)
from dale.merge.job import Job, Source, run_jobs
from dale.merge.means import karcher, multislerp
from dale.merge.method import Method
from dale.merge.moving import importance
from dale.merge.pairwise import arcee_fusion, nearswap
from dale.merge.ram import ram, ramplus_tl
from dale.merge.refresh import refresh, refreshed
from dale.merge.row import TensorRow
from dale.merge.scan import Scan, expo, robust, scan, suffix, wise_ft
from dale.merge.sce import sce
from dale.merge.soundness import Soundness, check
from dale.merge.soup import Decision, Soup, greedy, greedy_soup, uniform_soup
from dale.merge.sphere import nuslerp, slerp
from dale.merge.stock import model_stock
from dale.merge.stream import stream, write_jobs
from dale.merge.subsets import Subset, best_subset, random_subsets
from dale.merge.subspace import directions, subspace, subspace_coefficients
from dale.merge.table import METHODS
from dale.merge.ties import task_arithmetic, thresholds, ties, ties_global
from dale.merge.verdict import Judgement, judged

__all__ = [
    "INFORMED",
    "METHODS",
    "Barrier",
    "Confident",
    "Decision",
    "Imported",
    "Job",
    "Judgement",
    "LearnedSoup",
    "Method",
    "Scan",
    "Soundness",
    "Soup",
    "Source",
    "Statistics",
    "Subset",
    "TensorRow",
    "adamerging",
    "analogy",
    "apply_vector",
    "arcee_fusion",
    "average",
    "barriers",
    "best_subset",
    "breadcrumbs",
    "breadcrumbs_ties",
    "check",
    "contribution",
    "contribution_literal",
    "contributions",
    "covariances",
    "cpis",
    "dare_linear",
    "dare_ties",
    "della",
    "della_linear",
    "directions",
    "expo",
    "extrapolate",
    "fisher",
    "fisher_merge",
    "grams",
    "greedy",
    "greedy_soup",
    "import_layers",
    "importance",
    "importance_merge",
    "judged",
    "karcher",
    "learned_soup",
    "linear",
    "load_config",
    "load_statistics",
    "merge",
    "mixed_by",
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
    "random_subsets",
    "refresh",
    "refreshed",
    "regmean",
    "robust",
    "run_config",
    "run_jobs",
    "scan",
    "sce",
    "slerp",
    "stream",
    "subspace",
    "subspace_coefficients",
    "suffix",
    "task_arithmetic",
    "task_vector",
    "thresholds",
    "ties",
    "ties_global",
    "uniform",
    "uniform_soup",
    "unit_importance",
    "weighted",
    "wise_ft",
    "write_jobs",
]
