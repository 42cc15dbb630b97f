"""Collectors: small values that watch a trajectory and take members out of it.

`COLLECTORS` lists those that a recipe may add to a strategy by a word under
``collect``, whatever the strategy's own collector is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dale.train.collect.average import AverageCollector as AverageCollector
from dale.train.collect.average import stride_of as stride_of
from dale.train.collect.average import swa
from dale.train.collect.best import BestCollector as BestCollector
from dale.train.collect.best import best
from dale.train.collect.collector import Collector as Collector
from dale.train.collect.collector import Span as Span
from dale.train.collect.gaussian import Gaussian as Gaussian
from dale.train.collect.moving import ema
from dale.train.collect.snapshots import SnapshotCollector as SnapshotCollector
from dale.train.collect.snapshots import Snapshots as Snapshots
from dale.train.collect.snapshots import snapshot
from dale.train.collect.swag import SwagCollector as SwagCollector
from dale.train.collect.swag import swag
from dale.train.collect.tail import TailCollector as TailCollector
from dale.train.collect.tail import tail


@dataclass(frozen=True)
class CollectorRow:
    """What is true of a collector that a recipe may name.

    Args:
        function: From a span to the collector; its keywords are the recipe's.
        summary: One line.
        title: What one of its members, or the one to take, is called in tables.
        pool: What its members together are called; empty where they are no ensemble.
        several: Whether it takes more than one member.
        reference: Where it was published.
    """

    function: Callable[..., Collector]
    summary: str
    title: str
    pool: str
    several: bool
    reference: str


COLLECTORS: Mapping[str, CollectorRow] = {
    "snapshot": CollectorRow(
        snapshot,
        "the live weights at equal distances",
        "last weights",
        "snapshots",
        several=True,
        reference="Huang et al. 2017, arXiv 1704.00109",
    ),
    "best": CollectorRow(
        best,
        "the live weights of the epoch that validation likes most",
        "best checkpoint",
        "",
        several=False,
        reference="Prechelt 1998, Early Stopping",
    ),
    "swa": CollectorRow(
        swa,
        "the mean of the weights over a tail",
        "SWA",
        "",
        several=False,
        reference="Izmailov et al. 2018, arXiv 1803.05407",
    ),
    "ema": CollectorRow(
        ema,
        "an exponential moving average",
        "EMA",
        "",
        several=False,
        reference="Polyak and Juditsky 1992",
    ),
    "tail": CollectorRow(
        tail,
        "averages over tails whose start is chosen afterwards",
        "tail average",
        "",
        several=True,
        reference="Rakhlin et al. 2012, arXiv 1109.5647",
    ),
    "swag": CollectorRow(
        swag,
        "samples from a Gaussian fitted to the path",
        "one SWAG sample",
        "SWAG",
        several=True,
        reference="Maddox et al. 2019, arXiv 1902.02476",
    ),
}
