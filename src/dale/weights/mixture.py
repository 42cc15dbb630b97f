"""Moments of a mixture: what normalisation layers of several models saw together.

A running mean and a running variance describe the values that a layer sees, so they
are no parameters to be moved about: a variance extrapolated like one can be negative,
and the mean of variances leaves out how far the means lie apart. Shape suffix: K,
models.
"""

from collections.abc import Sequence

from torch import Tensor

from dale.weights.kernels import linear, wide
from dale.weights.match import Weights

MEAN, VARIANCE = "running_mean", "running_var"
"""What PyTorch's normalisation layers call their statistics."""


def mixed_mean(tensors_K: Sequence[Tensor], *, shares: Sequence[float]) -> Tensor:
    """Mean of a mixture: ``μ = Σ s_k μ_k``, with ``Σ s_k = 1``.

    Args:
        tensors_K: Running means.
        shares: Of each model in the mixture, not negative; divided by their sum.

    Returns:
        The mean, in float32 or wider. Equal means give that mean, bit for bit.

    Example:
        >>> import torch
        >>> mixed_mean([torch.tensor(0.0), torch.tensor(4.0)], shares=(3, 1))
        tensor(1.)
    """
    return linear(tensors_K, shares, True)


def mixed_variance(tensors_2K: Sequence[Tensor], *, shares: Sequence[float]) -> Tensor:
    """Variance of a mixture, by the law of total variance.

    ::

        σ² = Σ s_k σ_k² + Σ s_k (μ_k − μ)²        μ = Σ s_k μ_k

    Args:
        tensors_2K: Running variances of the K models, then their running means.
        shares: Of each model in the mixture, not negative; divided by their sum.

    Returns:
        The variance, in float32 or wider; never below the least of the variances.
        Equal models give their variance, bit for bit.

    Example:
        >>> import torch
        >>> values = [torch.tensor(v) for v in (1.0, 1.0, -2.0, 2.0)]
        >>> mixed_variance(values, shares=(1, 1))
        tensor(5.)
    """
    count = len(shares)
    variances_K, means_K = tensors_2K[:count], tensors_2K[count:]
    center, whole = mixed_mean(means_K, shares=shares), sum(shares)
    result = linear(variances_K, shares, True)
    for share, mean in zip(shares, means_K, strict=True):
        if share:
            result = result + (wide(mean) - center).square() * (share / whole)
    return result


def mix_variances(
    result: dict[str, Tensor], weights_K: Sequence[Weights], shares: Sequence[float]
) -> dict[str, Tensor]:
    """An average whose running variances are those of the mixture.

    Args:
        result: The average, changed in place and returned.
        weights_K: The models.
        shares: Of each; negative ones count as none.
    """
    done: dict[int, Tensor] = {}
    shares = normal_shares(shares)
    for name in [n for n in result if n.rpartition(".")[2] == VARIANCE]:
        mean = f"{name.removesuffix(VARIANCE)}{MEAN}"
        if mean not in result or not result[name].is_floating_point():
            continue
        old = result[name]
        if id(old) not in done:
            parts = [weights[n].detach() for n in (name, mean) for weights in weights_K]
            done[id(old)] = mixed_variance(parts, shares=shares).to(old.dtype)
        result[name] = done[id(old)]
    return result


def normal_shares(shares: Sequence[float]) -> tuple[float, ...]:
    """Shares with a sum of 1; negative ones count as none, none at all as equal ones.

    Example:
        >>> normal_shares([3.0, 1.0, -0.5])
        (0.75, 0.25, 0.0)
    """
    kept = [max(0.0, share) for share in shares]
    whole = sum(kept)
    if whole == 0:
        return (1 / len(kept),) * len(kept)
    return tuple(share / whole for share in kept)
