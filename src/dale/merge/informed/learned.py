"""Soups whose shares are learned by gradient. Shape suffix: K, models."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from dale.errors import InputError, NotFiniteError, nearest
from dale.merge.informed.mixing import By, Mixture, mixed_by, update
from dale.merge.informed.observe import called, logits_of, quiet, stand_ins, tensors_of
from dale.weights import Weights
from dale.weights.statistics import Batch

Labelled = Callable[[int], Iterable[tuple[Batch, Tensor]]]
"""From an epoch, counted from 0, to its batches of inputs and targets."""


@dataclass(frozen=True)
class LearnedSoup:
    """A soup and the shares that made it.

    Attributes:
        weights: The soup.
        shares: One number for each model, by the name of the layer; ``""`` is the
            whole network, or a layer without a name.
        temperature: By which the logits were divided, 1 if it was not learned.
        losses: Mean loss of each epoch, before the updates it made.
    """

    weights: dict[str, Tensor]
    shares: dict[str, tuple[float, ...]]
    temperature: float
    losses: tuple[float, ...]


def learned_soup(
    module: nn.Module,
    weights_K: Sequence[Weights],
    batches: Labelled,
    *,
    by: By = "layer",
    softmax: bool = True,
    temperature: bool = True,
    rate: float = 0.05,
    epochs: int = 5,
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
) -> LearnedSoup:
    """Mix models by shares that lower a loss on held-out examples.

    ::

        W_ℓ = Σ s_ℓk W_ℓk        s_ℓ = softmax(a_ℓ)        min over a, β of
        E loss(β · f(x; W), y)

    by AdamW from equal shares and β = 1. All K models are in memory.

    Args:
        module: The network, left exactly as it is. It runs in evaluation mode.
        weights_K: Models with its names and shapes.
        batches: Inputs, see `dale.weights.reestimate`, and targets for an epoch. They
            should be examples that no model was trained on.
        by: One set of shares for the whole ``"model"``, or for each ``"layer"``: each
            part of the network that has tensors of its own.
        softmax: Shares are positive and sum to 1; else they are free numbers that
            start at 1/K.
        temperature: Learn β too, so that confidence alone does not move the shares.
        rate: Learning rate, positive.
        epochs: Walks over the examples, 0 or more.
        loss: From logits and targets to a scalar.

    Returns:
        The soup in the types of the first model, and its shares. Counters are carried
        from the first model, ties kept. Re-estimate normalisation statistics after.

    Raises:
        InputError: No models, settings out of range, or an epoch without batches.
        ModelError: The output is not logits.
        NotFiniteError: The loss became NaN or infinite.
        WeightsError: The weights do not fit the network.

    Example:
        >>> net = nn.Linear(1, 2, bias=False)
        >>> good, bad = torch.tensor([[1.0], [-1.0]]), torch.tensor([[-1.0], [1.0]])
        >>> pairs = [(torch.ones(4, 1), torch.zeros(4, dtype=torch.int64))]
        >>> soup = learned_soup(
        ...     net, [{"weight": good}, {"weight": bad}], lambda epoch: pairs
        ... )
        >>> soup.losses[0] > soup.losses[-1], soup.shares[""][0] > 0.5
        (True, True)

    References:
        Wortsman et al. (2022), Model soups, arXiv 2203.05482, on learned soups; five
        epochs at a rate of 0.05 are those of the published code. Here a weight and
        the bias beside it have the same shares.
    """
    _check(weights_K, by, rate, epochs)
    values_K = [stand_ins(module, weights) for weights in weights_K]
    squash = (lambda raw_LK: raw_LK.softmax(1)) if softmax else None
    soup = Mixture(module, values_K, by, 0.0 if softmax else 1 / len(values_K), squash)
    scale = soup.raw_LK.new_ones(()).requires_grad_(temperature)
    learned = [soup.raw_LK, *([scale] if temperature else [])]
    optimizer = torch.optim.AdamW(learned, lr=rate, weight_decay=0.0)
    losses: list[float] = []
    with quiet(module):
        for epoch in range(epochs):
            total, seen = 0.0, 0
            for batch, targets_N in batches(epoch):
                size = len(tensors_of(batch)[0])
                logits_NC = logits_of(called(module, soup.mixed(), batch), size)
                value = loss(scale * logits_NC, targets_N)
                if not bool(value.isfinite()):
                    raise NotFiniteError("learned soup", epoch, rate, value.item())
                update(optimizer, learned, value)
                total, seen = total + value.item() * size, seen + size
            if not seen:
                raise InputError(f"epoch {epoch} of a learned soup has no examples")
            losses.append(total / seen)
    shares = soup.final()
    own = {name: shares[layer] for name, layer in soup.layer_of.items()}
    weights = mixed_by(weights_K, own, normalize=softmax)
    return LearnedSoup(weights, shares, 1 / scale.item(), tuple(losses))


def _check(weights_K: Sequence[Weights], by: str, rate: float, epochs: int) -> None:
    if not weights_K:
        raise InputError("a soup needs 1 or more models, got 0")
    if by not in get_args(By):
        raise InputError(f"unknown kind of shares {by!r}: {nearest(by, get_args(By))}")
    if not 0 < rate < float("inf"):
        raise InputError(f"rate must be positive, got {rate}")
    if epochs < 0:
        raise InputError(f"epochs must be 0 or more, got {epochs}")
