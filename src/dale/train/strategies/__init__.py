"""Strategies: what to do with a budget of updates.

Every strategy turns the same budget into trajectories: a schedule, and collectors
that take members out of it. Budgets are equal by construction, so that members,
averages and ensembles of different strategies can be held against one another.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dale.train.strategies.consistent import pi, temporal
from dale.train.strategies.one import nocycle, single, snapshot
from dale.train.strategies.several import bagging, hybrid, independent, short_cycles
from dale.train.strategies.tails import fge, swa
from dale.train.trajectory import Trajectory


@dataclass(frozen=True)
class StrategyRow:
    """What is true of a strategy.

    Args:
        function: From a budget to trajectories; its keywords are the recipe's.
        summary: One line.
        last: What its last member is called in tables.
        pool: What all its members together are called in tables.
        budgets: How many budgets it spends: one, or one for each member.
        reference: Where it was published; empty for a composition of others.
    """

    function: Callable[..., list[Trajectory]]
    summary: str
    last: str
    pool: str
    budgets: str
    reference: str


STRATEGIES: Mapping[str, StrategyRow] = {
    "single": StrategyRow(
        single,
        "one standard run: the control",
        "single run (control)",
        "single runs",
        "one",
        "common practice",
    ),
    "nocycle": StrategyRow(
        nocycle,
        "snapshots of a standard run, without cycles",
        "single run (control)",
        "NoCycle snapshots",
        "one",
        "Huang et al. 2017, arXiv 1704.00109",
    ),
    "snapshot": StrategyRow(
        snapshot,
        "cosine cycles with warm restarts, a member at each minimum",
        "last snapshot",
        "snapshot ensemble",
        "one",
        "Huang et al. 2017, arXiv 1704.00109",
    ),
    "swa": StrategyRow(
        swa,
        "the mean of the weights over a tail at a constant or cyclic rate",
        "SWA",
        "SWA ensemble",
        "one",
        "Izmailov et al. 2018, arXiv 1803.05407",
    ),
    "fge": StrategyRow(
        fge,
        "short triangles from a trained start, a member at each minimum",
        "last FGE member",
        "FGE ensemble",
        "one",
        "Garipov et al. 2018, arXiv 1802.10026",
    ),
    "short_cycles": StrategyRow(
        short_cycles,
        "short independent runs that share one budget",
        "one short run",
        "short-cycle ensemble",
        "one",
        "Huang et al. 2017, arXiv 1704.00109",
    ),
    "bagging": StrategyRow(
        bagging,
        "short runs on bootstrap samples that share one budget",
        "one bagged run",
        "bagging ensemble",
        "one",
        "Breiman 1996",
    ),
    "hybrid": StrategyRow(
        hybrid,
        "runs with several snapshots each that share one budget",
        "last snapshot of the last run",
        "hybrid ensemble",
        "one",
        "",
    ),
    "temporal": StrategyRow(
        temporal,
        "a standard run that agrees with its earlier predictions, labelled or not",
        "temporal ensembling",
        "temporal ensembling",
        "one",
        "Laine and Aila 2017, arXiv 1610.02242",
    ),
    "pi": StrategyRow(
        pi,
        "a standard run whose predictions agree in pairs, labelled or not",
        "Π-model",
        "Π-models",
        "one",
        "Laine and Aila 2017, arXiv 1610.02242",
    ),
    "independent": StrategyRow(
        independent,
        "full independent runs: a deep ensemble",
        "one independent run",
        "deep ensemble",
        "one for each member",
        "Lakshminarayanan et al. 2017, arXiv 1612.01474",
    ),
}
