"""Logistic regression on a few features, by Newton steps.

Shapes: N examples, F features, P parameters.
"""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from dale.calibrate.newton import Local, minimise


def logistic(
    features_NF: Tensor,
    soft_N: Tensor,
    start_P: Tensor,
    ridge: float,
    free: list[int] | None = None,
) -> Tensor:
    """Minimise a mean cross-entropy and a ridge; parameters not free are held at 0.

    Args:
        features_NF: One row for each example; the last column is usually 1.
        soft_N: Targets in [0, 1].
        start_P: Where to start, and the centre of the ridge; P = F.
        ridge: Strength, >= 0.
        free: Positions of the parameters that may move; all by default.

    Returns:
        The minimiser, shape (P,).

    Example:
        >>> ones_NF = torch.ones(4, 1, dtype=torch.float64)
        >>> soft_N = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
        >>> start_P = torch.zeros(1, dtype=torch.float64)
        >>> logistic(ones_NF, soft_N, start_P, 0.0).sigmoid()
        tensor([0.2500], dtype=torch.float64)
    """
    chosen = list(range(len(start_P))) if free is None else free
    spread_P = torch.zeros(len(start_P), len(chosen), dtype=torch.float64)
    spread_P[chosen, range(len(chosen))] = 1.0
    spread_P = spread_P.to(start_P.device)

    def local(at_P: Tensor) -> Local:
        value, gradient_P, hessian_PP = cross_entropy(
            features_NF, soft_N, start_P, ridge, spread_P @ at_P
        )
        return Local(value, spread_P.T @ gradient_P, spread_P.T @ hessian_PP @ spread_P)

    return spread_P @ minimise(local, start_P[chosen])


def cross_entropy(
    features_NF: Tensor, soft_N: Tensor, centre_P: Tensor, ridge: float, at_P: Tensor
) -> Local:
    """Mean cross-entropy of sigmoid(features @ at) to soft targets, and a ridge."""
    count, off_P = len(soft_N), at_P - centre_P
    odds_N = features_NF @ at_P
    q_N = odds_N.sigmoid()
    curvature_N = q_N * (1 - q_N)
    value = float((softplus(odds_N) - soft_N * odds_N).sum())
    gradient_P = features_NF.T @ (q_N - soft_N) + ridge * off_P
    hessian_PP = (features_NF * curvature_N[:, None]).T @ features_NF
    hessian_PP += ridge * torch.eye(len(at_P), dtype=torch.float64, device=at_P.device)
    value += 0.5 * ridge * float(off_P.square().sum())
    return Local(value / count, gradient_P / count, hessian_PP / count)
