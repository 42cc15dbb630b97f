"""Is a merge sound? What can be measured on weights alone, tensor by tensor.

What is in memory at a time is one tensor of one model, and a sample of it of every
model, however large the models are. Shape suffix: K, models.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from dale.errors import InputError
from dale.merge.barrier import Barrier, barriers
from dale.merge.compare import Sums
from dale.merge.engine import Model, opened
from dale.merge.row import TensorRow
from dale.merge.sampling import BLOCKS
from dale.merge.threads import one_thread
from dale.merge.verdict import Judgement, judged
from dale.weights import Weights, layout_of_weights


@dataclass(frozen=True)
class Soundness:
    """What was found about a merge; see `check`.

    Attributes:
        judgement: The verdict in words, and its reasons.
        rows: One for each tensor of numbers, in the order of the result.
        cosines_KK: Between task vectors; between weights, without a base.
        distances_K: ``‖w − x_k‖ / ‖x_k‖``.
        conflict: As in a row, over all tensors; NaN without a base. Statistics of
            normalisation are no weights: they count neither here nor in the two above.
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
    labels: Sequence[str] = (),
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
        labels: What the verdict calls the inputs and, last, the base.

    Returns:
        The figures, and a verdict in words.

    Raises:
        InputError: No models, or a number out of range.
        WeightsError: A file cannot be read.

    Example:
        >>> import torch
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
    if sample < BLOCKS:
        raise InputError(f"sample: expected {BLOCKS} or more, got {sample}")
    result, inputs_K = opened(merged), [opened(model) for model in models]
    origin = None if base is None else opened(base)
    everyone = inputs_K if origin is None else [*inputs_K, origin]
    sums = Sums(len(inputs_K), origin is not None, sample)
    with one_thread():
        for name in leaders(result):
            if all(name in weights for weights in everyone):
                reads = [partial(weights.__getitem__, name) for weights in everyone]
                own = dict(enumerate(reads[: len(inputs_K)]))
                base_of = None if origin is None else reads[-1]
                sums.add(name, result[name], own, base_of)
            else:
                sums.alone(name, result[name])
    found = () if loss is None else barriers(loss, inputs_K, result, points, refresh)
    return concluded(sums, origin is not None, found, labels)


def concluded(
    sums: Sums,
    based: bool,
    barriers: tuple[Barrier, ...] = (),
    labels: Sequence[str] = (),
) -> Soundness:
    """The figures of all tensors, and the verdict on them; see `judged`."""
    cosines_KK, rows = sums.cosines_KK, tuple(sums.rows)
    return Soundness(
        judgement=judged(rows, cosines_KK, based, barriers, labels),
        rows=rows,
        cosines_KK=cosines_KK,
        distances_K=sums.distances_K,
        conflict=sums.conflict,
        share=sums.share,
        apart=tuple(sums.apart),
        barriers=barriers,
    )


def leaders(weights: Weights) -> Iterator[str]:
    """Names, those that share a tensor once."""
    layout = getattr(weights, "layout", None)
    ties = (layout_of_weights(weights) if layout is None else layout).ties
    return (name for name in weights if name not in ties)
