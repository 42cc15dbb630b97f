"""Fisher merging: every element as the models that know it best would have it.

Shape suffixes: K, models; N, examples; C, classes.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.func import grad, vmap

from dale.errors import InputError, ModelError, nearest
from dale.keys import key
from dale.merge.informed.observe import (
    Seen,
    called,
    logits_of,
    mapped,
    quiet,
    stand_ins,
    tensors_of,
)
from dale.merge.informed.statistics import Statistics, combined
from dale.weights import Weights, digest, wide
from dale.weights.statistics import Batch

Variant = Literal["expected", "sampled", "empirical"]


def fisher(
    module: nn.Module,
    weights: Weights,
    batches: Iterable[tuple[Batch, Tensor | None]],
    *,
    variant: Variant = "expected",
    seed: int = 0,
    chunk: int = 64,
    data: str | None = None,
) -> Statistics:
    """Diagonal of the Fisher information of a classifier, example by example.

    ::

        F = (1/N) Σ_n E_y (∇ log p(y | x_n))²

    The square is of each example's own gradient, not of a batch's mean. The label y is

    * ``"expected"``: every class, by the model's probability, so nothing is random;
    * ``"sampled"``: one draw from the model's probabilities for each example;
    * ``"empirical"``: the example's own label.

    Args:
        module: The network, left exactly as it is. It runs in evaluation mode.
        weights: The weights to be measured.
        batches: Inputs, see `dale.weights.reestimate`, and int64 targets ``[N]`` or
            None where the variant needs none; on the network's device.
        variant: Which labels count. ``"expected"`` costs C times as much.
        seed: Of ``"sampled"``; draws depend on the position of an example alone.
        chunk: Examples at once; memory grows with it times the parameters.
        data: Words for the data; by default a digest of what was walked over.

    Returns:
        float32, one tensor for every trained parameter, in nats² per unit² of it.

    Raises:
        InputError: No examples, or targets that are missing or not classes.
        ModelError: The output is not logits, or gradients of single examples cannot be
            had from this network.
        WeightsError: The weights do not fit the network.

    Example:
        >>> net = nn.Linear(1, 2, bias=False)
        >>> weights = {"weight": torch.zeros(2, 1)}
        >>> fisher(net, weights, [(torch.tensor([[1.0], [3.0]]), None)])["weight"]
        tensor([[1.2500],
                [1.2500]])

    References:
        Matena and Raffel (2022), Merging models with Fisher-weighted averaging, arXiv
        2111.09832; Kunstner et al. (2019), arXiv 1905.12558, on the empirical variant.
    """
    if variant not in get_args(Variant):
        known = get_args(Variant)
        raise InputError(f"unknown variant {variant!r}: {nearest(variant, known)}")
    if chunk < 1:
        raise InputError(f"chunk must be 1 or more examples, got {chunk}")
    values = stand_ins(module, weights)
    trained = {
        n: values[n] for n, p in module.named_parameters() if p.is_floating_point()
    }
    fixed = {name: value for name, value in values.items() if name not in trained}
    sums = {n: torch.zeros(t.shape, dtype=torch.float64) for n, t in trained.items()}
    generator = torch.Generator().manual_seed(key(seed, "fisher"))
    per_example = _gradients(module, fixed)
    seen = Seen()
    with quiet(module):
        for batch, targets_N in batches:
            tensors = tensors_of(batch)
            seen.add(*tensors, *([] if targets_N is None else [targets_N]))
            for start in range(0, len(tensors[0]), chunk):
                rows = slice(start, start + chunk)
                part = mapped(batch, lambda x, rows=rows: x[rows])
                labels = None if targets_N is None else targets_N[rows]
                with torch.no_grad():
                    size = len(tensors[0][rows])
                    logits_NC = logits_of(called(module, values, part), size)
                pairs = _labels(logits_NC, labels, variant, generator)
                for labels_N, weight_N in pairs:
                    _add(sums, per_example(trained, part, labels_N), weight_N)
    if not seen.examples:
        raise InputError("a Fisher diagonal needs 1 or more examples, got 0")
    means = {name: (total / seen.examples).float() for name, total in sums.items()}
    source = seen.digest() if data is None else data
    return Statistics(means, "fisher", variant, seen.examples, digest(weights), source)


def _gradients(module: nn.Module, fixed: dict[str, Tensor]):
    """From parameters, N inputs and N labels to the N gradients of log p(y | x)."""

    def likelihood(trained: dict[str, Tensor], one: Batch, label: Tensor) -> Tensor:
        alone = mapped(one, lambda x: x[None])
        logits_1C = called(module, {**fixed, **trained}, alone)
        return logits_1C.float().log_softmax(1)[0].gather(0, label[None])[0]

    together = vmap(grad(likelihood), in_dims=(None, 0, 0))

    def run(trained: dict[str, Tensor], part: Batch, labels_N: Tensor):
        try:
            return together(trained, part, labels_N)
        except RuntimeError as error:
            line = str(error).strip().splitlines()[0]
            raise ModelError(
                f"gradients of single examples cannot be had from "
                f"{type(module).__name__}: {line}"
            ) from error

    return run


def _labels(
    logits_NC: Tensor,
    targets_N: Tensor | None,
    variant: Variant,
    generator: torch.Generator,
) -> list[tuple[Tensor, Tensor]]:
    """Labels, and how much each counts, float64 on the CPU."""
    count, classes = logits_NC.shape
    ones_N = torch.ones(count, dtype=torch.float64)
    if variant == "empirical":
        if targets_N is None or targets_N.shape != (count,):
            raise InputError("the empirical variant needs one target for each example")
        if not bool(((targets_N >= 0) & (targets_N < classes)).all()):
            raise InputError(f"targets must be classes from 0 to {classes - 1}")
        return [(targets_N.to(logits_NC.device), ones_N)]
    shares_NC = logits_NC.cpu().double().softmax(1)
    if variant == "sampled":
        draw_N1 = torch.rand(count, 1, dtype=torch.float64, generator=generator)
        drawn = (shares_NC.cumsum(1) < draw_N1).sum(1).clamp(max=classes - 1)
        return [(drawn.to(logits_NC.device), ones_N)]
    labels = torch.arange(classes, device=logits_NC.device)
    return [(labels[c].expand(count), shares_NC[:, c]) for c in range(classes)]


def _add(
    sums: dict[str, Tensor], gradients: dict[str, Tensor], weight_N: Tensor
) -> None:
    for name, gradient in gradients.items():
        squares_ND = gradient.detach().float().square().flatten(1)
        total = (weight_N.to(squares_ND) @ squares_ND).cpu().double()
        sums[name] += total.view(sums[name].shape)


def fisher_merge(
    weights_K: Sequence[Weights],
    fishers_K: Sequence[Weights],
    coefficients: Sequence[float] | None = None,
    *,
    floor: float = 1e-6,
) -> dict[str, Tensor]:
    """Mean of models, each element weighted by its Fisher information.

    ::

        Σ λ_k max(F_k, floor) w_k / Σ λ_k max(F_k, floor)

    Args:
        weights_K: Models with the same names and shapes, read name by name.
        fishers_K: Of each model, from `fisher` or `load_statistics`. Tensors without
            one, such as buffers, are averaged.
        coefficients: Shares λ of the models, 0 or more; equal when not given.
        floor: Where no model has information the mean is taken; positive.

    Returns:
        New weights in the types of the first model. Counters are carried, ties kept.
        Equal models give that model, bit for bit.

    Raises:
        InputError: Numbers that do not fit, or out of range.
        WeightsError: Names or shapes differ, or statistics of another model or kind.

    Example:
        >>> models = [{"w": torch.tensor([0.0, 0.0])}, {"w": torch.tensor([4.0, 4.0])}]
        >>> known = [{"w": torch.tensor([3.0, 0.0])}, {"w": torch.tensor([1.0, 0.0])}]
        >>> fisher_merge(models, known)
        {'w': tensor([1., 2.])}

    References:
        Matena and Raffel (2022), arXiv 2111.09832; their floor is the same.
    """
    if not 0 < floor < float("inf"):
        raise InputError(f"floor must be positive, got {floor}")

    def kernel(
        tensors_K: Sequence[Tensor],
        stats_K: Sequence[Tensor],
        shares_K: Sequence[float],
    ) -> Tensor:
        first = wide(tensors_K[0])
        above, below = torch.zeros_like(first), torch.zeros_like(first)
        for tensor, information, share in zip(
            tensors_K, stats_K, shares_K, strict=True
        ):
            weight = share * information.to(first).clamp(min=floor)
            above += weight * (wide(tensor) - first)
            below += weight
        return first + above / below

    return combined(kernel, weights_K, fishers_K, coefficients, "fisher")
