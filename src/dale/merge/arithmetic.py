"""Task vectors of whole models: what training added, as weights of its own.

A task vector holds differences in float32 or wider, so that little is lost on the way
through it. Counters and tables of integers have no difference: those of the tuned model
are carried along and never applied. Vectors are added, scaled and compared with the
arithmetic of `dale.weights`. Shape suffix: K, vectors.
"""

from torch import Tensor

from dale.weights import Weights, lerp, map_floats, map_tensors, scale, wide
from dale.weights.kernels import difference
from dale.weights.match import is_inexact


def task_vector(tuned: Weights, base: Weights) -> dict[str, Tensor]:
    """What fine-tuning added: ``tuned − base``.

    Args:
        tuned: A model trained from the base.
        base: The base, with the same names and shapes.

    Returns:
        Differences, in float32 or wider.

    Raises:
        WeightsError: Names or shapes differ.

    Example:
        >>> import torch
        >>> task_vector({"w": torch.tensor(3.0)}, {"w": torch.tensor(1.0)})
        {'w': tensor(2.)}

    References:
        Ilharco et al. (2023), Editing models with task arithmetic, arXiv 2212.04089.
    """
    return map_tensors(_difference, tuned, base)


def _difference(tuned: Tensor, base: Tensor) -> Tensor:
    if not is_inexact(tuned):
        return tuned.detach().clone()
    return difference(tuned.detach(), wide(base.detach()))


def apply_vector(
    base: Weights, vector: Weights, factor: float = 1.0
) -> dict[str, Tensor]:
    """Add a task vector to a model: ``base + factor · vector``.

    Args:
        base: Any model with the vector's names and shapes.
        vector: From `task_vector`, or a combination of several.
        factor: Scale; 0 gives the base, negative numbers unlearn.

    Returns:
        New weights in the types of the base, with its counters.

    Raises:
        WeightsError: Names or shapes differ.

    Example:
        >>> import torch
        >>> apply_vector({"w": torch.tensor(1.0)}, {"w": torch.tensor(2.0)}, 0.5)
        {'w': tensor(2.)}

    References:
        Ilharco et al. (2023), arXiv 2212.04089.
    """
    return map_floats(lambda b, v: wide(b) + factor * wide(v), base, vector)


def negate(vector: Weights) -> dict[str, Tensor]:
    """The vector that unlearns a task: ``−vector``.

    Example:
        >>> import torch
        >>> negate({"w": torch.tensor(2.0)})
        {'w': tensor(-2.)}
    """
    return scale(vector, -1.0)


def analogy(known: Weights, learned: Weights, target: Weights) -> dict[str, Tensor]:
    """What `known` became in `learned`, done to `target`: ``target + learned − known``.

    Args:
        known: A model of one kind.
        learned: A model of the same kind with an ability.
        target: A model of another kind without it.

    Returns:
        New weights in the types of the target, with its counters.

    Raises:
        WeightsError: Names or shapes differ.

    Example:
        >>> import torch
        >>> a, b, c = ({"w": torch.tensor(value)} for value in (1.0, 3.0, 10.0))
        >>> analogy(a, b, c)
        {'w': tensor(12.)}

    References:
        Ilharco et al. (2023), arXiv 2212.04089, §5.
    """
    return apply_vector(target, task_vector(learned, known))


def extrapolate(start: Weights, end: Weights, t: float) -> dict[str, Tensor]:
    """Go on in the direction of training: ``start + t (end − start)``.

    Args:
        start: Where training began.
        end: Where it ended.
        t: 0 at the start, 1 at the end, beyond for more of the same.

    Returns:
        New weights in the types of the start, with its counters.

    Raises:
        WeightsError: Names or shapes differ.

    Example:
        >>> import torch
        >>> extrapolate({"w": torch.tensor(1.0)}, {"w": torch.tensor(2.0)}, 1.5)
        {'w': tensor(2.5000)}

    References:
        Zheng et al. (2024), Weak-to-strong extrapolation, arXiv 2404.16792.
    """
    return lerp(start, end, t)
