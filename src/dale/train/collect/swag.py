"""SWAG: a Gaussian over weights, from the path that training takes.

Shapes: K, last deviations kept.
"""

from collections.abc import Mapping
from typing import Any

import torch

from dale.errors import RecipeError
from dale.train.collect.average import stride_of
from dale.train.collect.collector import Collector, Span
from dale.train.collect.gaussian import Gaussian
from dale.train.specs import Length
from dale.weights import Weights, wide
from dale.weights.match import is_inexact, ties_of


class SwagCollector(Collector):
    """Keeps a mean, a variance and the last deviations; its members are samples.

    ::

        δ = w_n − m_{n−1}      m_n = m_{n−1} + δ / n
        S_n = S_{n−1} + δ² (1 − 1/n)      d_n = w_n − m_n = δ (1 − 1/n)

    The variance is ``S/n``: the second moment less the squared mean, without the
    cancellation of computing it so.

    Args:
        at: Steps whose weights are counted.
        end: Step at which the samples become members.
        rank: Deviations kept, K; 0 for a diagonal Gaussian.
        samples: Number of members.
        scale: Of the variance of the samples.
        seed: Of the samples.

    Raises:
        RecipeError: Fewer than two models are counted: they have no variance.
    """

    how = "swag"
    averaged = True
    keeps = True

    def __init__(
        self, at: range, end: int, rank: int, samples: int, scale: float, seed: int
    ) -> None:
        self._at, self._end, self._rank = at, end, rank
        self._samples, self._scale, self._seed = samples, scale, seed
        if len(at) < 2:
            raise RecipeError(f"swag needs at least 2 models, {len(at)} entered")
        self._found = Gaussian()
        self.copies = 2 + min(rank, len(at))

    def wants(self, step: int) -> bool:
        """At the steps given."""
        return step in self._at

    @torch.no_grad()
    def update(self, step: int, weights: Weights) -> None:
        """Count one more model."""
        found = self._found
        plain = {name: tensor.detach() for name, tensor in weights.items()}
        if not found.count:
            self._begin(plain)
            return
        found.count += 1
        names, share = list(found.mean), 1 / found.count
        means, squares = list(found.mean.values()), list(found.square.values())
        deltas = torch._foreach_sub([wide(plain[name]) for name in names], means)
        torch._foreach_add_(means, deltas, alpha=share)
        torch._foreach_addcmul_(squares, deltas, deltas, value=1 - share)
        if self._rank:
            torch._foreach_mul_(deltas, 1 - share)
            found.deviations.append(dict(zip(names, deltas, strict=True)))
            del found.deviations[: -self._rank]
        self._carry(plain)

    def _begin(self, weights: Weights) -> None:
        found, found.count = self._found, 1
        found.ties = ties_of(weights)
        found.dtypes = {n: str(t.dtype).split(".")[1] for n, t in weights.items()}
        for name, tensor in weights.items():
            if name in found.ties or not is_inexact(tensor) or tensor.isinf().any():
                continue
            # a copy also where `wide` has nothing to do
            found.mean[name] = wide(tensor).clone()
            found.square[name] = torch.zeros_like(found.mean[name])
        if self._rank:  # the first model is its own mean
            found.deviations.append({n: t.clone() for n, t in found.square.items()})
        self._carry(weights)

    def _carry(self, weights: Weights) -> None:
        found = self._found
        found.carried = {
            name: tensor.clone()
            for name, tensor in weights.items()
            if name not in found.mean and name not in found.ties
        }

    def emits(self, step: int) -> tuple[int, ...]:
        """The samples, at the end."""
        return tuple(range(1, self._samples + 1)) if step == self._end else ()

    def cut(self, step: int) -> None:
        """Draw the samples here, if there is a variance yet."""
        self._end = step if self._found.count >= 2 else 0

    def member(self, index: int, weights: Weights) -> Weights:
        """The sample with this index."""
        return self._found.sample(self._seed, index, self._scale)

    def details(self, index: int) -> dict[str, Any]:
        """What it was drawn from."""
        found = self._found
        rank = len(found.deviations)
        return {"models": found.count, "rank": rank, "scale": self._scale}

    def state(self) -> dict[str, Any]:
        """All the statistics."""
        return self._found.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on with statistics that were saved."""
        self._found = Gaussian.from_state(state)

    def keepsake(self) -> dict[str, Any]:
        """The statistics, from which more samples can be drawn."""
        return self._found.state()


def swag(
    span: Span,
    *,
    rank: int = 20,
    samples: int = 10,
    scale: float | None = None,
    start: Length = "75%",
    every: Length = "1 epoch",
) -> SwagCollector:
    """Samples from a Gaussian fitted to the path of the weights over a tail.

    Maddox et al. 2019 (arXiv 1902.02476). Wants a rate that stays high: take it in a
    run of the strategy ``swa``.

    Args:
        span: The trajectory.
        rank: Last deviations that give the covariance; 0 for SWAG-diagonal.
        samples: Number of members drawn at the end.
        scale: Of the variance; 1/2 with deviations and 1 without, unless given. One
            half is the paper's Gaussian, whose two parts have half the weight each.
        start: Where the tail begins.
        every: Distance between two models that are counted.

    Returns:
        The collector.

    Raises:
        RecipeError: A setting is out of range, or fewer than two models are counted.
    """
    if rank < 0 or rank == 1 or samples < 1:
        raise RecipeError(
            f"swag wants rank 0 or at least 2 and 1 sample or more, got rank {rank} "
            f"and {samples} samples"
        )
    if scale is None:
        scale = 0.5 if rank else 1.0
    if not scale >= 0:
        raise RecipeError(f"scale must not be negative, got {scale}")
    at = stride_of(span, start, every)
    return SwagCollector(at, span.steps, rank, samples, scale, span.seed)
