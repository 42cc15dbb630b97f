"""Averages of the members' predictive distributions.

Shapes: M members, N examples, C classes.

Every combiner takes logits of shape (M, N, C) and optional weights, and returns
normalised log-probabilities of shape (N, C), which are valid logits. Arithmetic is in
the dtype of the logits, or float32 where that is narrower. NaN in gives NaN out.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dale.errors import InputError
from dale.metrics import check_shape

MemberWeights = Tensor | Sequence[float] | None


def mean_probability(logits_MNC: Tensor, weights_M: MemberWeights = None) -> Tensor:
    """Log of the weighted mean of the members' probabilities (linear opinion pool).

    ``log p_c = log sum_m w_m softmax(z_m)_c``, computed as a log-sum-exp, so that no
    probability underflows. Its NLL is at most the weighted mean of the members' NLLs
    (Jensen's inequality). Differentiable.

    Args:
        logits_MNC: Floating, shape (M, N, C).
        weights_M: Non-negative, M numbers with a positive sum; normalised here.
            Equal weights when left out.

    Returns:
        Log-probabilities, shape (N, C).

    Raises:
        InputError: Wrong type or shape, or impossible weights.

    Example:
        >>> logits = torch.tensor([[[0.9, 0.1]], [[0.5, 0.5]]]).log()
        >>> mean_probability(logits).exp()
        tensor([[0.7000, 0.3000]])

    Reference:
        L. K. Hansen, P. Salamon, Neural Network Ensembles, 1990; B. Lakshminarayanan,
        A. Pritzel, C. Blundell, Simple and Scalable Predictive Uncertainty Estimation
        using Deep Ensembles, 2017, arXiv 1612.01474.
    """
    weights_M = normalised(weights_M, logits_MNC)
    log_probs_MNC = widened(logits_MNC).log_softmax(dim=2)
    # a member of weight 0 is shifted to -inf and so adds nothing
    shifted_MNC = log_probs_MNC + weights_M.log()[:, None, None]
    return shifted_MNC.logsumexp(dim=0)


def geometric(logits_MNC: Tensor, weights_M: MemberWeights = None) -> Tensor:
    """Log of the normalised weighted geometric mean (logarithmic opinion pool).

    ``log p_c = sum_m w_m log softmax(z_m)_c - log Z``. A class that one member of
    positive weight rules out is ruled out. Since Z <= 1, its NLL too is at most the
    weighted mean of the members' NLLs. Differentiable.

    Args:
        logits_MNC: Floating, shape (M, N, C).
        weights_M: As for `mean_probability`.

    Returns:
        Log-probabilities, shape (N, C).

    Raises:
        InputError: Wrong type or shape, impossible weights, or an example for which
            the members rule out every class between them.

    Example:
        >>> logits = torch.tensor([[[0.8, 0.2]], [[0.5, 0.5]]]).log()
        >>> geometric(logits).exp()
        tensor([[0.6667, 0.3333]])

    Reference:
        C. Genest, J. V. Zidek, Combining Probability Distributions, 1986; T. Heskes,
        Selecting Weighting Factors in Logarithmic Opinion Pools, 1998.
    """
    weights_M = normalised(weights_M, logits_MNC)
    return _log_linear(widened(logits_MNC).log_softmax(dim=2), weights_M)


def mean_logit(logits_MNC: Tensor, weights_M: MemberWeights = None) -> Tensor:
    """Log-softmax of the weighted mean of the members' logits.

    ``log p = log_softmax(sum_m w_m z_m)``. A member's logits and its log-probabilities
    differ by one number per example, which the softmax cancels: this is the same
    distribution as `geometric`, reached by the route that papers on logit averaging
    describe. Differentiable.

    Args:
        logits_MNC: Floating, shape (M, N, C).
        weights_M: As for `mean_probability`.

    Returns:
        Log-probabilities, shape (N, C).

    Raises:
        InputError: As `geometric`.

    Example:
        >>> logits = torch.tensor([[[2.0, 0.0]], [[0.0, 0.0]]])
        >>> torch.equal(mean_logit(logits), torch.tensor([[1.0, 0.0]]).log_softmax(1))
        True

    Reference:
        D. Arpit, H. Wang, Y. Zhou, C. Xiong, Ensemble of Averages: Improving Model
        Selection and Boosting Performance in Domain Generalization, 2022, arXiv
        2110.10832.
    """
    weights_M = normalised(weights_M, logits_MNC)
    return _log_linear(widened(logits_MNC), weights_M)


def normalised(weights_M: MemberWeights, logits_MNC: Tensor) -> Tensor:
    """Weights that sum to 1, in the dtype and on the device of the arithmetic.

    Args:
        weights_M: Non-negative, M numbers with a positive sum, or None for equal ones.
        logits_MNC: The logits they are for; their shape is checked here as well.

    Returns:
        Shape (M,).

    Raises:
        InputError: Wrong type or shape, a negative or non-finite weight, or sum 0.

    Example:
        >>> normalised([1, 3], torch.zeros(2, 1, 2))
        tensor([0.2500, 0.7500])
    """
    check_shape(logits_MNC, "logits_MNC")
    members = len(logits_MNC)
    dtype = torch.promote_types(logits_MNC.dtype, torch.float32)
    if weights_M is None:
        return torch.full((members,), 1 / members, dtype=dtype).to(logits_MNC.device)
    if not isinstance(weights_M, Tensor):
        weights_M = torch.tensor(weights_M, dtype=torch.float64)
    if weights_M.shape != (members,):
        raise InputError(
            f"weights_M: expected {members} weights, one per member, got shape "
            f"{tuple(weights_M.shape)}"
        )
    weights_M = weights_M.to(logits_MNC.device, dtype)
    # values cannot be looked at while the graph is being captured
    if not torch.compiler.is_compiling():
        _check_weights(weights_M)
    return weights_M / weights_M.sum()


def widened(logits_MNC: Tensor) -> Tensor:
    """The logits in their own dtype, or in float32 where that is narrower."""
    return logits_MNC.to(torch.promote_types(logits_MNC.dtype, torch.float32))


def _log_linear(terms_MNC: Tensor, weights_M: Tensor) -> Tensor:
    weights_M11 = weights_M[:, None, None]
    # a member of weight 0 counts nothing even where it is -inf: 0 * inf is NaN
    terms_MNC = (weights_M11 * terms_MNC).masked_fill(weights_M11 == 0, 0.0)
    pooled_NC = terms_MNC.sum(dim=0)
    if not torch.compiler.is_compiling():
        _check_possible(pooled_NC)
    return pooled_NC.log_softmax(dim=1)


def _check_possible(pooled_NC: Tensor) -> None:
    impossible_N = pooled_NC.detach().amax(dim=1) == -torch.inf
    if bool(impossible_N.any()):
        raise InputError(
            f"example {int(impossible_N.nonzero()[0])}: expected a class that every "
            "member holds possible, got probability 0 from some member for each class; "
            "use mean_probability or smooth the members"
        )


def _check_weights(weights_M: Tensor) -> None:
    values = weights_M.detach().tolist()
    sound = all(0 <= value < float("inf") for value in values)
    if not sound or not 0 < sum(values) < float("inf"):
        raise InputError(
            "weights_M: expected finite weights >= 0 with a positive sum, got "
            f"{[round(value, 6) for value in values]}"
        )
