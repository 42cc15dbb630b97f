"""Is a merge sound? What can be measured on weights alone, tensor by tensor.

What is in memory at a time is a sample of one tensor of every model, however large the
models are. Shape suffixes: K, models; D, elements of a sample.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import nan
from typing import Any

import torch
from torch import Tensor

from dale.errors import InputError
from dale.merge.barrier import Barrier, barriers
from dale.merge.engine import Model, opened
from dale.merge.verdict import Judgement, judged
from dale.weights import Weights, layout_of_weights
from dale.weights.match import is_inexact

_BLOCKS = 16  # a sample is so many runs of neighbours, evenly apart
_CHUNK = 1 << 20  # elements that are looked at at a time for NaN and infinities


@dataclass(frozen=True)
class TensorRow:
    """What one tensor of the result looks like beside those it was made from.

    Attributes:
        name: Of the tensor.
        shape: Its shape.
        ratio: ``‖w‖ / mean_k ‖x_k‖``; NaN where the inputs are all zero.
        conflict: Of the elements that two or more models changed, the share in which
            not all changes have one sign; NaN without a base.
        kept: ``‖w − base‖ / mean_k ‖x_k − base‖``; NaN without a base.
        not_finite: Elements that are NaN or infinite.
        not_finite_before: The most such elements in an input.
    """

    name: str
    shape: tuple[int, ...]
    ratio: float
    conflict: float
    kept: float
    not_finite: int
    not_finite_before: int


@dataclass(frozen=True)
class Soundness:
    """What was found about a merge; see `check`.

    Attributes:
        judgement: The verdict in words, and its reasons.
        rows: One for each tensor of numbers, in the order of the result.
        cosines_KK: Between task vectors; between weights, without a base.
        distances_K: ``‖w − x_k‖ / ‖x_k‖``.
        conflict: As in a row, over all tensors; NaN without a base.
        share: Of the elements that were compared; NaN and infinities are sought in all.
        apart: Names that are not in every input, or have another shape there.
        barriers: One for each input, where a loss was given.
    """

    judgement: Judgement
    rows: tuple[TensorRow, ...]
    cosines_KK: tuple[tuple[float, ...], ...]
    distances_K: tuple[float, ...]
    conflict: float
    share: float
    apart: tuple[str, ...]
    barriers: tuple[Barrier, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, but for numbers that are not finite."""
        return asdict(self)


def check(
    merged: Model,
    models: Sequence[Model],
    base: Model | None = None,
    *,
    loss: Callable[[Weights], float] | None = None,
    points: int = 5,
    refresh: Callable[[Sequence[Weights]], Sequence[Weights]] | None = None,
    sample: int = 1 << 16,
) -> Soundness:
    """Measure whether a merge is sound.

    With task vectors ``τ_k = x_k − base``::

        norm ratio      ‖w‖ / mean_k ‖x_k‖              1/√K for unrelated networks
        sign conflict   share of elements where τ_i τ_j < 0 for some i, j
        cosines         ⟨τ_i, τ_j⟩ / ‖τ_i‖ ‖τ_j‖        of the x_k without a base
        barrier         sup_t L(x_k + t (w − x_k)) − [(1 − t) L(x_k) + t L(w)]

    Args:
        merged: The result: a network, named tensors, or a file or folder of them.
        models: What it was made from.
        base: Their common ancestor, if it is known.
        loss: Of weights, on data; lower is better. Barriers are measured with it.
        points: Of each path, both ends included; 2 or more.
        refresh: Gives weights of each point of a path with statistics of normalisation
            layers estimated anew.
        sample: Elements of a tensor that are compared, at most: runs of neighbours,
            evenly apart. Figures of smaller tensors are exact.

    Returns:
        The figures, and a verdict in words.

    Raises:
        InputError: No models, or a number out of range.
        WeightsError: A file cannot be read.

    Example:
        >>> base = {"w": torch.tensor([1.0, 1.0])}
        >>> one, two = {"w": torch.tensor([2.0, 1.0])}, {"w": torch.tensor([0.0, 1.0])}
        >>> found = check(base, [one, two], base)
        >>> found.conflict, found.cosines_KK[0]
        (1.0, (1.0, -1.0))
        >>> found.judgement.verdict
        'doubtful'

    References:
        Yadav et al. (2023), arXiv 2306.01708 (sign conflicts); Ilharco et al. (2023),
        arXiv 2212.04089 (cosines of task vectors); Frankle et al. (2020), arXiv
        1912.05671, and Jordan et al. (2023), arXiv 2211.08403 (barriers, shrinking).
    """
    if not models:
        raise InputError("a merge is checked against its inputs; got none")
    if sample < _BLOCKS:
        raise InputError(f"sample: expected {_BLOCKS} or more, got {sample}")
    result, inputs_K = opened(merged), [opened(model) for model in models]
    origin = None if base is None else opened(base)
    everyone = inputs_K if origin is None else [*inputs_K, origin]
    sums = _Sums(len(inputs_K), origin is not None)
    rows, apart, seen, whole = [], [], 0, 0
    for name in _leaders(result):
        tensor = result[name]
        if not is_inexact(tensor) or tensor.is_complex():
            continue
        others = [weights[name] for weights in everyone if name in weights]
        if len(others) < len(everyone) or any(
            other.shape != tensor.shape or not is_inexact(other) for other in others
        ):
            apart.append(name)
            rows.append(_alone(name, tensor))
            continue
        parts = [_sampled(part, sample) for part in (tensor, *others)]
        rows.append(sums.add(name, tensor, others, parts))
        seen, whole = seen + parts[0].numel(), whole + tensor.numel()
    found = () if loss is None else barriers(loss, inputs_K, result, points, refresh)
    return Soundness(
        judgement=judged(rows, sums.cosines(), origin is not None, found),
        rows=tuple(rows),
        cosines_KK=sums.cosines(),
        distances_K=sums.distances(),
        conflict=sums.conflict(),
        share=seen / whole if whole else nan,
        apart=tuple(apart),
        barriers=found,
    )


class _Sums:
    """Sums over all tensors; those of a sample stand for the whole tensor."""

    def __init__(self, models: int, based: bool) -> None:
        self._models, self._based = models, based
        self._gram_KK = torch.zeros(models, models, dtype=torch.float64)
        self._sizes_K = torch.zeros(models, dtype=torch.float64)
        self._steps_K = torch.zeros(models, dtype=torch.float64)
        self._conflicts, self._changed = 0.0, 0.0

    def add(
        self,
        name: str,
        tensor: Tensor,
        others: Sequence[Tensor],
        parts: Sequence[Tensor],
    ) -> TensorRow:
        """Take in one tensor: the result's part first, then the inputs', the base's."""
        merged_D, *rest = parts
        inputs_KD = torch.stack(rest[: self._models])
        factor = tensor.numel() / max(merged_D.numel(), 1)
        sizes_K = inputs_KD.square().sum(1)
        self._sizes_K += factor * sizes_K
        self._steps_K += factor * (merged_D - inputs_KD).square().sum(1)
        conflict = kept = nan
        deltas_KD = inputs_KD
        if self._based:
            deltas_KD = inputs_KD - rest[-1]
            clashing, changed = _clashes(deltas_KD)
            conflict = clashing / changed if changed else 0.0
            self._conflicts += factor * clashing
            self._changed += factor * changed
            moved = float((merged_D - rest[-1]).norm())
            kept = _ratio(moved, deltas_KD.norm(dim=1))
        self._gram_KK += factor * (deltas_KD @ deltas_KD.T)
        return TensorRow(
            name=name,
            shape=tuple(tensor.shape),
            ratio=_ratio(float(merged_D.norm()), sizes_K.sqrt()),
            conflict=conflict,
            kept=kept,
            not_finite=_not_finite(tensor),
            not_finite_before=max(map(_not_finite, others[: self._models])),
        )

    def cosines(self) -> tuple[tuple[float, ...], ...]:
        """Between task vectors, or weights; NaN where one of them is zero."""
        lengths_K = self._gram_KK.diagonal().sqrt()
        cosines_KK = self._gram_KK / torch.outer(lengths_K, lengths_K)
        return tuple(tuple(row) for row in cosines_KK.clamp(-1, 1).tolist())

    def distances(self) -> tuple[float, ...]:
        """Of the result from each input, relative to the input's length."""
        return tuple((self._steps_K / self._sizes_K).sqrt().tolist())

    def conflict(self) -> float:
        """Share of conflicts among what two or more models changed."""
        if not self._based:
            return nan
        return self._conflicts / self._changed if self._changed else 0.0


def _leaders(weights: Weights) -> Iterator[str]:
    """Names, those that share a tensor once."""
    layout = getattr(weights, "layout", None)
    ties = (layout_of_weights(weights) if layout is None else layout).ties
    return (name for name in weights if name not in ties)


def _sampled(tensor: Tensor, most: int) -> Tensor:
    """At most so many elements in float64; zero where they are not finite."""
    flat = tensor.detach().reshape(-1)
    if flat.numel() > most:
        run, starts = most // _BLOCKS, flat.numel() - most // _BLOCKS
        places = [starts * block // (_BLOCKS - 1) for block in range(_BLOCKS)]
        flat = torch.cat([flat[place : place + run] for place in places])
    return flat.cpu().double().nan_to_num(0, 0, 0)


def _clashes(deltas_KD: Tensor) -> tuple[int, int]:
    """Elements whose changes differ in sign, and those that two or more changed."""
    up_D, down_D = (deltas_KD > 0).sum(0), (deltas_KD < 0).sum(0)
    clashing_D = (up_D > 0) & (down_D > 0)
    return int(clashing_D.sum()), int((up_D + down_D > 1).sum())


def _ratio(length: float, lengths_K: Tensor) -> float:
    middle = float(lengths_K.mean())
    return length / middle if middle > 0 else nan


def _not_finite(tensor: Tensor) -> int:
    flat = tensor.detach().reshape(-1)
    return sum(int((~part.isfinite()).sum()) for part in flat.split(_CHUNK))


def _alone(name: str, tensor: Tensor) -> TensorRow:
    broken = _not_finite(tensor)
    return TensorRow(name, tuple(tensor.shape), nan, nan, nan, broken, 0)
