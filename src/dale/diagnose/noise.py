"""How noisy the gradients of mini-batches are, and from which batch on that is wasted.

Shapes: N examples, P parameters.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import inf, isfinite, log, nan
from typing import Any

import torch
from torch import Tensor

from dale.errors import InputError
from dale.keys import key


@dataclass(frozen=True)
class GradientNoise:
    """The variance of the gradient by batch size.

    Args:
        examples: Number of examples N.
        draws: Batches of each size.
        squared_norm: ``|G|²`` of the gradient of all examples.
        batches: Batch sizes b.
        variances: Mean of ``|g_b − G|²`` over the draws: the variance, summed over
            the parameters.
        biases: ``draws · |mean g_b − G|² / variance``: about 1 where the gradient of a
            batch is unbiased, and growing with the draws where it is not.
        exponent: Slope of the logarithm of the variance, freed of what drawing without
            replacement takes from it, by the logarithm of b: −1 in theory.
        noise_scale: ``tr Σ / |G|²``: the batch at which noise and gradient are equally
            large; infinite where the gradient vanishes.
    """

    examples: int
    draws: int
    squared_norm: float
    batches: tuple[int, ...]
    variances: tuple[float, ...]
    biases: tuple[float, ...]
    exponent: float
    noise_scale: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; None for what is not finite."""
        found = asdict(self)
        for name in ("exponent", "noise_scale"):
            found[name] = found[name] if isfinite(found[name]) else None
        found["biases"] = [bias if isfinite(bias) else None for bias in self.biases]
        return found


def gradient_noise(
    gradient: Callable[[Tensor], Tensor],
    examples: int,
    batches: Sequence[int],
    *,
    draws: int = 20,
    seed: int = 0,
) -> GradientNoise:
    """Measure the variance of mini-batch gradients.

    With ``Σ`` the covariance of the gradients of single examples, a batch of b examples
    drawn without replacement from N has a gradient of mean G and variance::

        E |g_b − G|² = tr Σ / b · (N − b) / (N − 1)

    Since G is known, each variance is unbiased. ``tr Σ`` is the mean over all sizes of
    what each says of it.

    Args:
        gradient: From positions, int64 ``[b]``, to the gradient ``[P]`` of the *mean*
            loss of these examples at fixed weights.
        examples: Number of examples N, at least 2.
        batches: Batch sizes, each in ``[1, N)``.
        draws: Batches of each size, at least 2.
        seed: Of the draws.

    Returns:
        What was measured.

    Raises:
        InputError: A number is out of range.

    Example:
        The loss ``½ (w − x_i)²`` at w = 0 of examples x with mean 2 and variance 1:

        >>> x = torch.tensor([1.0, 3.0] * 50)
        >>> found = gradient_noise(lambda rows: -x[rows].mean()[None], 100, (2, 8, 32))
        >>> found.squared_norm, 0.15 < found.noise_scale < 0.35
        (4.0, True)

    References:
        McCandlish, Kaplan, Amodei et al. 2018, An empirical model of large-batch
        training, arXiv 1812.06162, whose "simple" noise scale this is. They estimate it
        from two batch sizes; here G is exact.
    """
    if examples < 2 or draws < 2 or not batches:
        raise InputError(
            f"gradient noise: expected 2 or more examples and draws and a batch size, "
            f"got {examples=}, {draws=} and batches {tuple(batches)}"
        )
    for size in batches:
        if not 1 <= size < examples:
            raise InputError(
                f"batch size {size}: expected at least 1 and less than the {examples} "
                "examples"
            )
    whole_P = gradient(torch.arange(examples)).double()
    variances, biases, traces = [], [], []
    for size in batches:
        total_P, square = torch.zeros_like(whole_P), 0.0
        for draw in range(draws):
            generator = torch.Generator().manual_seed(key(seed, "noise", size, draw))
            rows_B = torch.randperm(examples, generator=generator)[:size]
            off_P = gradient(rows_B).double() - whole_P
            total_P += off_P
            square += float(off_P.square().sum())
        variance = square / draws
        mean = float((total_P / draws).square().sum())
        variances.append(variance)
        biases.append(draws * mean / variance if variance > 0 else nan)
        traces.append(variance * size * (examples - 1) / (examples - size))
    trace, squared = sum(traces) / len(traces), float(whole_P.square().sum())
    return GradientNoise(
        examples=examples,
        draws=draws,
        squared_norm=squared,
        batches=tuple(batches),
        variances=tuple(variances),
        biases=tuple(biases),
        exponent=_exponent(batches, traces),
        noise_scale=trace / squared if squared > 0 else inf,
    )


def _exponent(batches: Sequence[int], traces: Sequence[float]) -> float:
    """Least-squares slope of ``log(trace / b)`` by ``log b``; NaN if there is none."""
    if len(set(batches)) < 2 or min(traces) <= 0:
        return nan
    x = [log(size) for size in batches]
    y = [log(trace / size) for trace, size in zip(traces, batches, strict=True)]
    middle, height = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - middle) * (b - height) for a, b in zip(x, y, strict=True))
    return above / sum((a - middle) ** 2 for a in x)
