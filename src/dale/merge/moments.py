"""Normalisation statistics in a merge: the moments of the models' data, mixed.

Shape suffix: K, models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dale.merge.method import Method, parameters
from dale.merge.steps import each
from dale.merge.table import METHODS
from dale.weights.mixture import (
    MEAN,
    VARIANCE,
    mixed_mean,
    mixed_variance,
    normal_shares,
)

if TYPE_CHECKING:
    from dale.merge.job import Job, Source

LABEL = "from moments"
"""What the header of a file says of statistics that were made here."""
WORD = "statistics"
"""The name in the header that says where normalisation statistics are from."""


STATISTICS: dict[str, Method] = {
    "mixed_mean": Method(
        mixed_mean,
        "mean of a mixture, for running means",
        "the law of total expectation",
        idempotent=True,
    ),
    "mixed_variance": Method(
        mixed_variance,
        "variance of a mixture, for running variances",
        "the law of total variance",
        idempotent=True,
    ),
}
"""What is done to statistics, whatever the method of a merge."""


def with_moments(jobs: Sequence["Job"]) -> list["Job"]:
    """The same jobs, with running means and variances mixed in place of merged.

    Args:
        jobs: Checked; those of statistics have a mean for every variance.

    Returns:
        Jobs in the same order. Layers without a pair of statistics are left alone.
    """
    return [_mixed(job) for job in jobs]


def label_of(jobs: Sequence["Job"]) -> dict[str, str]:
    """The word that a file's header gets if some of its statistics were mixed."""
    mixed = any(job.method in STATISTICS for job in jobs)
    return {WORD: LABEL} if mixed else {}


def _mixed(job: "Job") -> "Job":
    leaf = job.sources_K[0].name.rpartition(".")[2]
    known = {MEAN: "mixed_mean", VARIANCE: "mixed_variance"}
    if leaf not in known or job.sources_K[0].entry.role != "statistic":
        return job
    base = [] if job.base is None else [job.base]
    sources = [*job.sources_K, *base]
    means = [_beside(source, MEAN) for source in sources]
    variances = [_beside(source, VARIANCE) for source in sources]
    if None in means or None in variances:
        return job
    shares = shares_of(job.method, job.settings, len(job.sources_K), bool(base))
    found = sources if leaf == MEAN else [*sources, *filter(None, means)]
    return replace(
        job,
        method=known[leaf],
        sources_K=tuple(found),
        base=None,
        settings={"shares": shares},
    )


def _beside(source: "Source", leaf: str) -> "Source | None":
    above, dot, _ = source.name.rpartition(".")
    name = f"{above}{dot}{leaf}"
    return replace(source, name=name) if name in source.weights else None


def shares_of(
    method: str, settings: Mapping[str, Any], count: int, base: bool
) -> tuple[float, ...]:
    """How much of the result is each model's, as far as the settings say.

    A sum of task vectors holds ``λ w_k`` of model k and the rest of the base; a path
    holds ``1 − t`` and ``t`` of its ends. Negative shares count as none. Where the
    settings say nothing, models share equally.

    Args:
        method: A name in `dale.merge.METHODS`.
        settings: Of the method.
        count: Models, the base not counted.
        base: Whether there is a base; its share is the last.

    Returns:
        Shares with a sum of 1. Those of ``λ = 0`` are the base's alone.

    Example:
        >>> shares_of("task_arithmetic", {"weight": (0.25, 0.5)}, 2, True)
        (0.25, 0.5, 0.25)
        >>> shares_of("slerp", {"t": 0.25}, 2, False)
        (0.75, 0.25)
    """
    row = METHODS[method]
    known = {n: p.default for n, p in parameters(row.function).items()}
    given = known | dict(settings)
    if method == "slerp":
        return normal_shares([1 - given["t"], given["t"]])
    weights = each("weight", given.get("coefficients", given.get("weight", 1)), count)
    if given.get("last") is not None:
        weights[: count - given["last"]] = [0.0] * (count - given["last"])
    if not base:
        return normal_shares(weights)
    if "lambda_" not in given:
        # pairwise methods keep about as much of the model that is moved
        return normal_shares([*weights, float(row.models == (1, 1))])
    scale = sum(weights) if given.get("normalize") else 1.0
    parts = [given["lambda_"] * weight / (scale or 1.0) for weight in weights]
    return normal_shares([*parts, 1.0 - sum(parts)])
