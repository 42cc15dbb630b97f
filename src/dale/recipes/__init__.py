"""Compositions: the rooms of dale at work together on a run."""

from dale.recipes.calibration import calibrate as calibrate
from dale.recipes.checking import Checked as Checked
from dale.recipes.checking import verify as verify
from dale.recipes.costs import every_strategy as every_strategy
from dale.recipes.diagnosing import diagnose as diagnose
from dale.recipes.drifting import drift as drift
from dale.recipes.ergodic import compare_averages as compare_averages
from dale.recipes.evaluation import evaluate as evaluate
from dale.recipes.folding import cross_validate as cross_validate
from dale.recipes.folding import out_of_fold as out_of_fold
from dale.recipes.fusion import fuse as fuse
from dale.recipes.judging import Predictor as Predictor
from dale.recipes.judging import judge as judge
from dale.recipes.judging import predictors as predictors
from dale.recipes.logits import calibrate_logits as calibrate_logits
from dale.recipes.logits import calibrated_logits as calibrated_logits
from dale.recipes.logits import check_output as check_output
from dale.recipes.logits import evaluate_logits as evaluate_logits
from dale.recipes.logits import read_calibrator as read_calibrator
from dale.recipes.logits import save_calibrator as save_calibrator
from dale.recipes.planning import Plan as Plan
from dale.recipes.planning import Price as Price
from dale.recipes.planning import plan as plan
from dale.recipes.pooling import first_pool as first_pool
from dale.recipes.pooling import pool as pool
from dale.recipes.published import EDITOR_LINE as EDITOR_LINE
from dale.recipes.published import SCHEMA_NAME as SCHEMA_NAME
from dale.recipes.published import schema_text as schema_text
from dale.recipes.sweeping import sweep as sweep
from dale.recipes.sweeping import sweep_run as sweep_run
from dale.recipes.workbench import PROBE as PROBE
from dale.recipes.workbench import Workbench as Workbench
from dale.recipes.workbench import load_data as load_data
from dale.recipes.workbench import start as start

__all__ = [
    "EDITOR_LINE",
    "PROBE",
    "SCHEMA_NAME",
    "Checked",
    "Plan",
    "Predictor",
    "Price",
    "Workbench",
    "calibrate",
    "calibrate_logits",
    "calibrated_logits",
    "check_output",
    "compare_averages",
    "cross_validate",
    "diagnose",
    "drift",
    "evaluate",
    "evaluate_logits",
    "every_strategy",
    "first_pool",
    "fuse",
    "judge",
    "load_data",
    "out_of_fold",
    "plan",
    "pool",
    "predictors",
    "read_calibrator",
    "save_calibrator",
    "schema_text",
    "start",
    "sweep",
    "sweep_run",
    "verify",
]
