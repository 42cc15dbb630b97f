"""Coefficients of task vectors found without labels. Shape suffix: K, models."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor, nn

from dale.errors import InputError, NotFiniteError, nearest
from dale.merge.informed.mixing import By, Mixture, mixed_by, update
from dale.merge.informed.observe import called, logits_of, quiet, stand_ins, tensors_of
from dale.weights import Weights
from dale.weights.statistics import Batch

Unlabelled = Callable[[int], Iterable[Batch]]
"""From an epoch, counted from 0, to its batches of inputs."""


@dataclass(frozen=True)
class Confident:
    """A merge that is sure of its answers, and the coefficients that made it.

    Attributes:
        weights: The merge.
        coefficients: One number for each model, by the name of the layer; ``""`` is
            the whole network, or a layer without a name.
        entropies: Mean entropy of the predictions in each epoch, in nats, before the
            updates it made.
    """

    weights: dict[str, Tensor]
    coefficients: dict[str, tuple[float, ...]]
    entropies: tuple[float, ...]


def adamerging(
    module: nn.Module,
    weights_K: Sequence[Weights],
    base: Weights,
    batches: Unlabelled,
    *,
    by: By = "layer",
    start: float = 0.3,
    rate: float = 1e-3,
    epochs: int = 1,
) -> Confident:
    """Scale task vectors so that predictions on unlabelled inputs are sure.

    ::

        W_ℓ = base_ℓ + Σ λ_ℓk (W_ℓk − base_ℓ)        min over λ of  E H(softmax f(x; W))

    by Adam. All K models are in memory. Entropy stands in for the error where the
    models know their inputs; it can also be had by one confident class for all, so
    look at a score, and at few epochs.

    Args:
        module: The network, left exactly as it is. It runs in evaluation mode.
        weights_K: Models with its names and shapes.
        base: Their common ancestor.
        batches: Inputs of an epoch, see `dale.weights.reestimate`, of all tasks, in
            any order; one update for each batch.
        by: Coefficients for each ``"layer"``, a part of the network that has tensors
            of its own, or one for each ``"model"`` (task-wise).
        start: What all coefficients start at.
        rate: Learning rate, positive.
        epochs: Walks over the inputs, 0 or more.

    Returns:
        The merge in the types of the first model, and its coefficients. Counters are
        carried from the first model, ties kept. Re-estimate normalisation statistics
        after.

    Raises:
        InputError: No models, settings out of range, or an epoch without batches.
        ModelError: The output is not logits.
        NotFiniteError: The entropy became NaN or infinite.
        WeightsError: The weights do not fit the network.

    Example:
        >>> net = nn.Linear(1, 2, bias=False)
        >>> base, tuned = torch.zeros(2, 1), torch.tensor([[1.0], [-1.0]])
        >>> found = adamerging(net, [{"weight": tuned}], {"weight": base},
        ...                    lambda epoch: [torch.ones(4, 1)], rate=0.1, epochs=5)
        >>> found.entropies[0] > found.entropies[-1], found.coefficients[""][0] > 0.3
        (True, True)

    References:
        Yang et al. (2024), AdaMerging: adaptive model merging for multi-task learning,
        arXiv 2310.02575; their start is 0.3 and their rate 1e-3, for 500 updates of
        one batch of every task. They adapt to the test inputs; any others will do.
    """
    _check(weights_K, by, start, rate, epochs)
    values_K = [stand_ins(module, weights) for weights in weights_K]
    mixture = Mixture(module, values_K, by, start, base=stand_ins(module, base))
    optimizer = torch.optim.Adam([mixture.raw_LK], lr=rate)
    entropies: list[float] = []
    with quiet(module):
        for epoch in range(epochs):
            total, seen = 0.0, 0
            for batch in batches(epoch):
                size = len(tensors_of(batch)[0])
                logits_NC = logits_of(called(module, mixture.mixed(), batch), size)
                value = entropy(logits_NC)
                if not bool(value.isfinite()):
                    raise NotFiniteError("adamerging", epoch, rate, value.item())
                update(optimizer, [mixture.raw_LK], value)
                total, seen = total + value.item() * size, seen + size
            if not seen:
                raise InputError(f"epoch {epoch} of adamerging has no examples")
            entropies.append(total / seen)
    found = mixture.final()
    rest = {layer: (*scales, 1.0 - sum(scales)) for layer, scales in found.items()}
    own: dict[str, tuple[float, ...]] = {
        name: rest[layer] for name, layer in mixture.layer_of.items()
    }
    merged = mixed_by([*weights_K, base], own)
    return Confident(merged, found, tuple(entropies))


def entropy(logits_NC: Tensor) -> Tensor:
    """Mean entropy of predictions, in nats.

    Example:
        >>> round(entropy(torch.zeros(3, 4)).item(), 4)
        1.3863
    """
    logs_NC = logits_NC.float().log_softmax(1)
    return -(logs_NC.exp() * logs_NC).sum(1).mean()


def _check(
    weights_K: Sequence[Weights], by: str, start: float, rate: float, epochs: int
) -> None:
    if not weights_K:
        raise InputError("adamerging needs 1 or more models, got 0")
    if by not in get_args(By):
        known = get_args(By)
        raise InputError(f"unknown kind of coefficients {by!r}: {nearest(by, known)}")
    if not abs(start) < float("inf"):
        raise InputError(f"start must be finite, got {start}")
    if not 0 < rate < float("inf"):
        raise InputError(f"rate must be positive, got {rate}")
    if epochs < 0:
        raise InputError(f"epochs must be 0 or more, got {epochs}")
