"""Means of directions, at the mean length. Shape suffixes: K, models; R, parts."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from dale.errors import InputError
from dale.merge.blocks import piecewise
from dale.merge.gram import along, length
from dale.merge.steps import Each, divisor, each


@piecewise
def multislerp(
    tensors_K: Sequence[Tensor],
    base: Tensor | None = None,
    *,
    weight: Each = 1.0,
    normalize_weights: bool = True,
    eps: float = 1e-8,
) -> Iterator[Tensor]:
    """Weighted mean of directions in the plane that touches the sphere at their mean.

    ::

        u_k = x_k / (|x_k| + ε)      m = Σ w_k u_k / |Σ w_k u_k|
        v = Σ w_k (u_k − ⟨u_k, m⟩ m)
        (Σ w_k |x_k|) · (cos |v| m + sin |v| v / |v|)

    of the tensors, or of task vectors that are added to the base. Where directions
    cancel out, within ε, it is ``Σ w_k x_k``.

    Args:
        tensors_K: Tensors of one shape, each taken as one vector.
        base: That of their common ancestor, to average task vectors.
        weight: One number for all or one for each.
        normalize_weights: Divide the weights by their sum.
        eps: The ε above, positive.

    Yields:
        The result in flat pieces, which a call joins, in float32 or wider.

    Raises:
        InputError: Weights that do not fit, a sum of 0 to be divided by, or `eps` is
            not positive.

    Example:
        >>> pair = [torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0])]
        >>> multislerp(pair)
        tensor([1.4142, 1.4142])

    References:
        Goddard (2025), Multi-SLERP, a method of mergekit.
    """
    weights = torch.tensor(each("weight", weight, len(tensors_K)), dtype=torch.float64)
    if normalize_weights:
        weights /= divisor(weights.tolist())
    if not eps > 0:
        raise InputError(f"eps must be positive, got {eps}")

    def coefficients(grams_RKK: Tensor) -> Tensor:
        (inner,) = grams_RKK
        norms = inner.diagonal().sqrt()
        mean = weights / (norms + eps)
        size = length(mean, inner)
        if size < eps:
            return weights[None]
        mean /= size
        lean = mean * (mean @ inner @ (weights / (norms + eps)))
        tangent = weights / (norms + eps) - lean
        angle = length(tangent, inner) + eps
        found = mean * angle.cos() + tangent * (angle.sin() / angle)
        return (weights @ norms * found)[None]

    yield from along(tensors_K, base, coefficients)


@piecewise
def karcher(
    tensors_K: Sequence[Tensor], *, max_iter: int = 10, tol: float = 1e-5
) -> Iterator[Tensor]:
    """The direction with the least sum of squared angles, at the mean length.

    ::

        u_k = x_k / |x_k|        cos θ_k = ⟨u_k, m⟩
        v = mean of θ_k / sin θ_k · (u_k − cos θ_k m)
        m ← cos |v| m + sin |v| v / |v|

    from the direction of ``Σ u_k``, until ``|v| < tol``. Tensors of zeros have no
    direction but count for the length. Where directions cancel out, within `tol`, it
    is the mean.

    Args:
        tensors_K: Tensors of one shape, each taken as one vector.
        max_iter: The largest number of steps, at least 0.
        tol: Length of a step that counts as none, positive.

    Yields:
        The result in flat pieces, which a call joins, in float32 or wider.

    Raises:
        InputError: `max_iter` or `tol` is out of range.

    Example:
        >>> karcher([torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0])])
        tensor([1.4142, 1.4142])

    References:
        Karcher (1977), Riemannian center of mass and mollifier smoothing; for merging,
        arXiv 2603.04972.
    """
    if max_iter < 0 or not tol > 0:
        raise InputError(
            f"max_iter must be 0 or more and tol positive, got {max_iter} and {tol}"
        )

    def coefficients(grams_RKK: Tensor) -> Tensor:
        (inner,) = grams_RKK
        norms = inner.diagonal().sqrt()
        known = norms > 0
        inverse = torch.where(known, 1 / norms, 0)
        units = inner * inverse * inverse[:, None]
        share = known.double() / known.sum().clamp(min=1)
        size = length(share, units)
        if size < tol:
            return torch.full_like(norms, 1 / len(norms))[None]
        mean = _iterate(units, share, share / size, max_iter, tol)
        return (mean * inverse * norms.mean())[None]

    yield from along(tensors_K, None, coefficients)


def _iterate(
    units: Tensor, share: Tensor, mean: Tensor, max_iter: int, tol: float
) -> Tensor:
    """Karcher's iteration on coefficients of unit vectors."""
    for _ in range(max_iter):
        cosines = (units @ mean).clamp(-1, 1)
        angles = cosines.acos()
        stretch = torch.where(angles < tol, 1, angles / angles.sin().clamp(min=1e-12))
        pull = share * stretch
        step = pull - (pull @ cosines) * mean
        size = length(step, units)
        if size < tol:
            break
        mean = size.cos() * mean + size.sin() / size * step
        mean = mean / length(mean, units)
    return mean
