"""Vector scaling: a slope and a bias for each class.

Shapes: N examples, C classes, P = 2 C parameters.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dale.calibrate.calibrator import check_number
from dale.calibrate.fitted import Facts, Fitted, log_probs, ruled_out, settled
from dale.calibrate.newton import Local, minimise
from dale.calibrate.scaling import fit_temperature
from dale.metrics import blocks, checked


@dataclass(frozen=True, eq=False)
class Vector(Fitted):
    """Slopes and biases: probabilities softmax(w * log p + b), p = softmax(z / T).

    Args:
        facts: How the fit went, with T.
        weight: w, float64, shape (C,).
        bias: b, float64, shape (C,).
    """

    name: ClassVar[str] = "vector"
    weight: Tensor
    bias: Tensor

    def _map(self, logits_NC: Tensor) -> Tensor:
        self._check_classes(logits_NC, len(self.bias))
        weight_C, bias_C = (x.to(logits_NC.device) for x in (self.weight, self.bias))
        x_NC = log_probs(logits_NC, self.facts.temperature)
        return ruled_out(logits_NC, weight_C * x_NC + bias_C)


def fit_vector(logits_NC: Tensor, targets_N: Tensor, ridge: float = 0.1) -> Vector:
    """The slopes and biases that minimise the NLL, starting from the temperature.

    The map is ``w_c log p_c + b_c`` with ``p = softmax(z / T)`` and T fitted first; on
    log-probabilities, because a constant that is added to an example's logits means
    nothing and must not matter. The mean NLL plus ``ridge / (2 N) (sum_c (w_c - 1)^2
    + sum_c b_c^2)`` is strictly convex and is minimised by Newton steps with the exact
    Hessian. The ridge is a Gaussian prior of variance ``1 / ridge`` around temperature
    scaling; it fades as N grows.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        ridge: Strength of the prior, > 0.

    Returns:
        The fitted calibrator.

    Raises:
        InputError: Wrong types, shapes, labels, NaN; probabilities instead of logits;
            a target with a logit of -inf; or an impossible ridge.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]]).repeat(50, 1)
        >>> fitted = fit_vector(logits, (torch.arange(100) % 10 > 7).long())
        >>> fitted.facts.nll_after < fitted.facts.nll_before
        True

    Reference:
        C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, On Calibration of Modern Neural
        Networks, 2017, arXiv 1706.04599. Theirs acts on the raw logits, without ridge.
    """
    check_number("ridge", ridge)
    logits_NC, targets_N = checked(logits_NC, targets_N)
    base = fit_temperature(logits_NC, targets_N)

    def local(at_P: Tensor) -> Local:
        return _local(logits_NC, targets_N, base.value, ridge, at_P)

    classes = logits_NC.shape[1]
    start_P = torch.cat([torch.ones(classes), torch.zeros(classes)]).double()
    weight_C, bias_C = minimise(local, start_P.to(logits_NC.device)).cpu().chunk(2)

    def make(facts: Facts) -> Vector:
        return Vector(facts, weight_C.clone(), bias_C.clone())

    return settled(make, base, logits_NC, targets_N)


def _local(
    logits_NC: Tensor, targets_N: Tensor, temperature: float, ridge: float, at_P: Tensor
) -> Local:
    """Penalised mean NLL of softmax(w log p + b) at (w, b)."""
    weight_C, bias_C = at_P.chunk(2)
    classes = len(bias_C)
    off_P = at_P - torch.cat([torch.ones_like(weight_C), torch.zeros_like(bias_C)])
    value = 0.5 * ridge * float(off_P.square().sum())
    gradient_P = ridge * off_P
    hessian_PP = ridge * torch.diag(torch.ones_like(at_P))
    for part, labels in blocks(logits_NC, targets_N):
        x_NC = log_probs(part, temperature)
        log_p_NC = (weight_C * x_NC + bias_C).log_softmax(dim=1)
        value -= float(log_p_NC.gather(1, labels[:, None]).sum())
        p_NC = log_p_NC.exp()
        residual_NC = p_NC.scatter_add(
            1, labels[:, None], -torch.ones_like(p_NC[:, :1])
        )
        gradient_P += torch.cat([residual_NC * x_NC, residual_NC], dim=1).sum(dim=0)
        moved_NP = torch.cat([p_NC * x_NC, p_NC], dim=1)
        hessian_PP -= moved_NP.T @ moved_NP
        # what each class adds by itself, to the diagonals of the four C x C blocks
        own = [(p_NC * x_NC.pow(k)).sum(dim=0) for k in (2, 1, 0)]
        hessian_PP[:classes, :classes] += torch.diag(own[0])
        hessian_PP[:classes, classes:] += torch.diag(own[1])
        hessian_PP[classes:, :classes] += torch.diag(own[1])
        hessian_PP[classes:, classes:] += torch.diag(own[2])
    count = len(targets_N)
    return Local(value / count, gradient_P / count, hessian_PP / count)
