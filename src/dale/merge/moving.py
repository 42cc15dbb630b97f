"""Importance-weighted moving average. Shape suffix: K, models."""

from collections.abc import Sequence

from torch import Tensor

from dale.errors import InputError
from dale.merge.steps import Each, divisor, each
from dale.weights import linear


def importance(
    tensors_K: Sequence[Tensor],
    base: Tensor,
    *,
    importance: Each = 1.0,
    alpha: float = 0.1,
    rounds: int = 1,
) -> Tensor:
    """Move the base towards the models, each by its importance.

    ::

        w ← (1 − α) w + α Σ a_k x_k / Σ a_k        from w = base, so many rounds

    which is ``(1 − α)ʳ base + (1 − (1 − α)ʳ) Σ a_k x_k / Σ a_k`` after r rounds.

    Args:
        tensors_K: Tensors of one shape.
        base: That of the average as it was before these models came.
        importance: One number for all models or one for each, 0 or more. For one per
            parameter see `dale.merge.informed.importance_merge`.
        alpha: How much of the average is new in a round, in ``[0, 1]``; 0.1 moves
            fast, 0.01 slowly.
        rounds: How often the same models come, 0 or more.

    Returns:
        The new average, in float32 or wider: the base, bit for bit, for an `alpha` of
        0, the weighted mean for 1.

    Raises:
        InputError: Numbers that do not fit, or out of range.

    Example:
        >>> import torch
        >>> x_K = [torch.tensor(10.0), torch.tensor(20.0)]
        >>> importance(x_K, torch.tensor(0.0), importance=(3, 1))
        tensor(1.2500)

    References:
        Polyak and Juditsky (1992) for averages of iterates; for one model and equal
        importances it is the exponential moving average of Tarvainen and Valpola
        (2017), arXiv 1703.01780.
    """
    weights = importances("importance", importance, len(tensors_K))
    kept, whole = remaining(alpha, rounds), divisor(weights)
    shares = [(1 - kept) * weight / whole for weight in weights]
    return linear([base, *tensors_K], [kept, *shares], normalize=True)


def importances(name: str, value: Each, count: int) -> list[float]:
    """A setting as one number for each model, 0 or more and not all 0.

    Raises:
        InputError: Numbers that do not fit, or out of range.
    """
    given = each(name, value, count)
    if any(number < 0 for number in given) or not any(given):
        raise InputError(f"{name} must be 0 or more and not all 0, got {given}")
    return given


def remaining(alpha: float, rounds: int) -> float:
    """What is left of a moving average after some rounds: ``(1 − α)ʳ``.

    Raises:
        InputError: A number out of range.

    Example:
        >>> remaining(0.5, 3)
        0.125
    """
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha must be in [0, 1], got {alpha}")
    if rounds < 0:
        raise InputError(f"rounds must be 0 or more, got {rounds}")
    return (1 - alpha) ** rounds
