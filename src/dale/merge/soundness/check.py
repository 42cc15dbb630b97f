"""The check after a merge, tensor by tensor. Shape suffix: K, models."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from dale.errors import InputError
from dale.merge.soundness.barrier import Barrier, Loss, barriers
from dale.merge.soundness.measure import TensorCheck, Totals, compare
from dale.merge.soundness.verdict import THRESHOLDS, Level, findings
from dale.weights import Weights
from dale.weights.match import ties_of

SAMPLE = 65_536


@dataclass(frozen=True)
class Check:
    """What was found out about a merged network.

    Attributes:
        level: ``"sound"``, ``"doubtful"`` or ``"broken"``.
        findings: Why, one sentence each.
        labels: Names of the models.
        based: Whether there was a base; task vectors are differences from it.
        tensors: One for each tensor of the merged network, tied names counted once.
        norm_ratio: Length of the network over the mean length of the models.
        step_ratio: Its distance from the base over the models' mean distance.
        conflict: Share of elements changed by two or more models, in directions that
            differ.
        chance: What that share would be if signs were coins.
        cosines: Between task vectors, or between weights without a base; rows and
            columns are the models, then the merged network.
        barriers: One for each model, when there was a loss.
        sample: The most elements of a tensor that were compared; None is all.
    """

    level: Level
    findings: tuple[str, ...]
    labels: tuple[str, ...]
    based: bool
    tensors: tuple[TensorCheck, ...]
    norm_ratio: float | None
    step_ratio: float | None
    conflict: float | None
    chance: float | None
    cosines: tuple[tuple[float | None, ...], ...]
    barriers: tuple[Barrier, ...]
    sample: int | None

    def words(self) -> str:
        """The verdict as one line of text."""
        return f"{self.level}: {'; '.join(self.findings)}"

    def to_dict(self) -> dict[str, Any]:
        """JSON values, with the thresholds that the verdict went by."""
        return asdict(self) | {"thresholds": dict(THRESHOLDS)}


@torch.no_grad()
def check(
    merged: Weights,
    models: Sequence[Weights],
    *,
    base: Weights | None = None,
    loss: Loss | None = None,
    labels: Sequence[str] | None = None,
    sample: int | None = SAMPLE,
) -> Check:
    """Is this merge sound? Compare it with the models it was made from.

    One tensor of every model is looked at, at a time, so weights in files stay there.
    Every element of the merged network is searched for NaN and infinity; lengths, signs
    and angles are measured on a fixed sample of large tensors.

    Args:
        merged: The result of a merge.
        models: What it was made from. Tensors whose shape or name is not that of the
            merged network are left out of comparisons.
        base: Their common ancestor.
        loss: A loss of weights on data, lower is better. With it, barriers on the way
            from each model are measured, in five evaluations for each model.
        labels: Names of the models.
        sample: The most elements of one tensor to compare; all if None.

    Returns:
        What was found, and a verdict in words by `THRESHOLDS`.

    Raises:
        InputError: No models, labels that do not fit them, or an empty sample.

    Example:
        >>> base = {"w": torch.zeros(100)}
        >>> one, two = ({"w": torch.linspace(a, 1, 100)} for a in (-1, -2))
        >>> found = check({"w": (one["w"] + two["w"]) / 2}, [one, two], base=base)
        >>> found.level, round(found.cosines[0][1], 2)
        ('sound', 0.89)
        >>> check({"w": one["w"] / 0}, [one, two]).level
        'broken'
    """
    names_K = _labels(models, labels)
    if sample is not None and sample < 1:
        raise InputError(f"sample must be 1 or more elements, got {sample}")
    totals = Totals(len(models), base is not None)
    tied = ties_of(merged)
    tensors = tuple(
        _one(name, merged[name], models, base, sample, totals)
        for name in merged
        if name not in tied
    )
    paths = () if loss is None else barriers(merged, models, loss)
    conflict, ratio = totals.conflict(), totals.norm_ratio()
    level, lines = findings(tensors, ratio, conflict, paths, names_K)
    return Check(
        level,
        lines,
        names_K,
        base is not None,
        tensors,
        ratio,
        totals.step_ratio(),
        None if conflict is None else conflict[0],
        None if conflict is None else conflict[1],
        tuple(tuple(row) for row in totals.cosines()),
        paths,
        sample,
    )


def _labels(models: Sequence[Weights], labels: Sequence[str] | None) -> tuple[str, ...]:
    if not models:
        raise InputError("a merge is checked against 1 or more models, got 0")
    if labels is None:
        return tuple(f"model {position}" for position in range(1, len(models) + 1))
    if len(labels) != len(models):
        raise InputError(f"{len(labels)} labels for {len(models)} models")
    return tuple(labels)


def _one(
    name: str,
    tensor: Tensor,
    models: Sequence[Weights],
    base: Weights | None,
    sample: int | None,
    totals: Totals,
) -> TensorCheck:
    found = [_like(model, name, tensor) for model in models]
    origin = None if base is None else _like(base, name, tensor)
    everyone = [*found, *([] if base is None else [origin])]
    if any(other is None for other in everyone):
        return compare(name, tensor, [], None, sample, totals)
    return compare(
        name, tensor, [x for x in found if x is not None], origin, sample, totals
    )


def _like(weights: Mapping[str, Tensor], name: str, tensor: Tensor) -> Tensor | None:
    other = weights[name] if name in weights else None
    return other if other is not None and other.shape == tensor.shape else None
