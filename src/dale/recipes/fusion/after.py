"""Whether a fusion is sound: its weights, and the way to it on validation examples."""

from collections.abc import Sequence
from itertools import islice
from math import nan

import torch

from dale.data import Split
from dale.keys import key
from dale.merge import check
from dale.merge.after import SAMPLE, Checked
from dale.metrics import nll
from dale.predict import infer
from dale.recipes.workbench import Workbench
from dale.store import Member
from dale.train import statistics_batches
from dale.weights import Weights, has_statistics, load_into, reestimate

EXAMPLES = 2000
"""Validation examples on which a loss is measured, and training examples from which
statistics of normalisation layers are, for each point of a path, at most."""
_MANY = 6  # members from which on paths have one point between their ends, not three


def check_fused(bench: Workbench, made: Member) -> tuple[Checked, str]:
    """Measure whether a fused member is sound, barriers included.

    The loss on the straight path from every parent to the fusion is the NLL on up to
    2,000 validation examples, at five points; at three where parents are many. For
    networks with batch normalisation, the points between have statistics of their own,
    from up to 2,000 training examples. The base is no input: paths begin at what was
    moved.

    Args:
        bench: The run.
        made: A member that `fuse` made.

    Returns:
        What was found, and what the loss is.
    """
    population, base = bench.run.population, made.details.get("base")
    labels = [*dict.fromkeys(label for label in made.parents if label != base)]
    weights_K = [population.weights(population.find(label)) for label in labels]
    split = _sample(bench)

    def loss(weights: Weights) -> float:
        load_into(bench.model, weights)
        logits_NC = infer(bench.model, split)
        finite = bool(torch.isfinite(logits_NC).all())
        return nll(logits_NC, split.targets_N) if finite else nan

    def refresh(between: Sequence[Weights]) -> Sequence[Weights]:
        recipe, model = bench.recipe, bench.model
        walk = statistics_batches(bench.data, recipe, recipe.seed, model)
        return reestimate(
            model, between, islice(walk, max(1, EXAMPLES // recipe.batch))
        )

    found = check(
        population.weights(made),
        weights_K,
        None if base is None else population.weights(population.find(base)),
        loss=loss,
        points=5 if len(labels) < _MANY else 3,
        refresh=refresh if has_statistics(bench.model) else None,
        labels=(*labels, base or ""),
        sample=SAMPLE,
    )
    measure = f"NLL on {len(split):,} validation examples"
    return Checked(found, tuple(labels), base), measure


def _sample(bench: Workbench) -> Split:
    """Some validation examples, always the same."""
    split = bench.split("val")
    if len(split) <= EXAMPLES:
        return split
    generator = torch.Generator().manual_seed(key(bench.recipe.seed, "paths"))
    order = torch.randperm(len(split), generator=generator)
    return split.subset(order[:EXAMPLES].sort().values)
