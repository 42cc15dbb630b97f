"""Contribution averaging: shares by softmax. Shape suffix: K, models."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dale.errors import InputError
from dale.merge.steps import Each, each
from dale.weights import linear, wide


def contribution(
    tensors_K: Sequence[Tensor], *, scores: Each = 0.0, temperature: float = 1.0
) -> Tensor:
    """Mean weighted by the models' contributions, a softmax of their scores.

    ::

        P_k = exp(s_k / T) / Σ exp(s_j / T)        P̃_k = P_k / √Σ P_j²
        Σ P̃_k x_k / Σ P̃_k

    The root is the same for all models and cancels, so this is the mean weighted by P.

    Args:
        tensors_K: Tensors of one shape.
        scores: One number for all models, which gives the mean, or one for each; higher
            is better.
        temperature: T, positive: near 0 the best model alone, large the mean.
            Accuracies lie close to one another, and ask for 0.1 or less.

    Returns:
        The result, in float32 or wider.

    Raises:
        InputError: Scores that do not fit, or a temperature that is not positive.

    Example:
        >>> x_K = [torch.tensor(0.0), torch.tensor(4.0)]
        >>> contribution(x_K, scores=(0.0, 1.0986123))
        tensor(3.)

    References:
        None that we know of; see `contribution_literal` for the formula word by word.
    """
    found = contributions(each("scores", scores, len(tensors_K)), temperature)
    return linear(tensors_K, found, normalize=True)


def contributions(scores_K: Sequence[float], temperature: float = 1.0) -> list[float]:
    """Contributions P̃ of models by their scores, of unit length.

    Args:
        scores_K: Finite; higher is better.
        temperature: T, positive.

    Returns:
        K positive numbers whose squares sum to 1.

    Raises:
        InputError: The temperature is not positive.

    Example:
        >>> contributions([1.0, 1.0, 1.0, 1.0])
        [0.5, 0.5, 0.5, 0.5]
    """
    scores = torch.tensor([*map(float, scores_K)], dtype=torch.float64)
    shares = (scores / _positive(temperature)).softmax(0)
    return (shares / shares.norm()).tolist()


def contribution_literal(
    tensors_K: Sequence[Tensor], *, temperature: float = 1.0
) -> Tensor:
    """Mean in which every weight speaks for itself: a softmax of the weights.

    ::

        P_k = exp(x_k / T) / Σ exp(x_j / T)        element by element
        P̃_k = P_k / √Σ P_j²                       Σ P̃_k x_k / Σ P̃_k

    It leans towards the largest value of every element, the more the further the
    models are apart in units of T; for small weights it is the mean.

    Args:
        tensors_K: Tensors of one shape.
        temperature: T, positive, in units of the weights.

    Returns:
        The result, in float32 or wider. K equal tensors give that tensor, bit for bit.

    Raises:
        InputError: The temperature is not positive.

    Example:
        >>> x_K = [torch.tensor([0.0, -1.0]), torch.tensor([1.0986123, -1.0])]
        >>> contribution_literal(x_K)
        tensor([ 0.8240, -1.0000])

    References:
        The formula of `contribution` with the weights themselves for scores.
    """
    scale = _positive(temperature)
    top = wide(tensors_K[0])
    for tensor in tensors_K[1:]:
        top = torch.maximum(top, wide(tensor))
    above, below = torch.zeros_like(top), torch.zeros_like(top)
    for tensor in tensors_K:
        # masks hold infinities, which differ from themselves by no number
        apart = torch.where(wide(tensor) == top, 0.0, wide(tensor) - top)
        share = (apart / scale).exp()
        above += torch.where(share > 0, share * apart, 0.0)
        below += share
    return top + above / below


def _positive(temperature: float) -> float:
    if not 0 < temperature < float("inf"):
        raise InputError(f"temperature must be positive, got {temperature}")
    return temperature
