"""Temperature scaling with a bias for each class.

Shapes: N examples, C classes, P = 1 + C parameters.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dale.calibrate.calibrator import check_number
from dale.calibrate.fitted import Facts, Fitted, settled
from dale.calibrate.newton import Local, minimise
from dale.calibrate.scaling import fit_temperature
from dale.metrics import blocks, checked

_RANGE = 1e4  # T is sought within this factor of the temperature without biases


@dataclass(frozen=True, eq=False)
class BiasCorrected(Fitted):
    """Temperature and biases: the calibrated probabilities are softmax(z / T + b).

    Args:
        facts: How the fit went.
        temperature: T > 0, float64, shape (1,).
        bias: b, float64, shape (C,), of sum 0.
    """

    name: ClassVar[str] = "bcts"
    temperature: Tensor
    bias: Tensor

    def _map(self, logits_NC: Tensor) -> Tensor:
        self._check_classes(logits_NC, len(self.bias))
        bias_C, temperature = (
            x.to(logits_NC.device) for x in (self.bias, self.temperature)
        )
        return logits_NC / temperature + bias_C


def fit_bias_corrected(
    logits_NC: Tensor, targets_N: Tensor, ridge: float = 0.1
) -> BiasCorrected:
    """The temperature and biases that minimise the NLL of softmax(z / T + b).

    In ``(1/T, b)`` the mean NLL is convex, with the gradient ``mean_i (p_i - y_i)`` by
    b, and is minimised by Newton steps with the exact Hessian, starting from the
    fitted temperature. A small ridge, ``ridge / (2 N) sum_c b_c^2``, keeps the bias
    of a class that never occurs finite; it is a Gaussian prior of variance ``1 /
    ridge`` on each bias, fades as N grows, and fixes the sum of the biases, of which
    the softmax takes no notice, at 0. Where the optimal 1/T would be negative, T stays
    at 10^4 times the temperature without biases, which leaves little but the biases.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        ridge: Strength of the prior on the biases, > 0.

    Returns:
        The fitted calibrator.

    Raises:
        InputError: Wrong types, shapes, labels, NaN; probabilities instead of logits;
            a target with a logit of -inf; or an impossible ridge.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]]).repeat(50, 1)
        >>> fitted = fit_bias_corrected(logits, (torch.arange(100) % 10 > 7).long())
        >>> fitted.bias[0] > fitted.bias[1]
        tensor(True)

    Reference:
        A. Alexandari, A. Kundaje, A. Shrikumar, Maximum Likelihood with Bias-Corrected
        Calibration is Hard-To-Beat at Label Shift Adaptation, 2020, arXiv 1901.06852.
        The ridge and the Newton steps are ours.
    """
    check_number("ridge", ridge)
    logits_NC, targets_N = checked(logits_NC, targets_N)
    base = fit_temperature(logits_NC, targets_N)

    def local(at_P: Tensor) -> Local:
        return _local(logits_NC, targets_N, base.value, ridge, at_P)

    start_P = torch.zeros(1 + logits_NC.shape[1], dtype=torch.float64)
    start_P[0] = 1.0
    at_P = minimise(local, start_P.to(logits_NC.device))
    inside = min(max(float(at_P[0]), 1 / _RANGE), _RANGE)
    if inside != float(at_P[0]):
        # the optimum of a convex function over an interval is then at this end of it
        at_P = at_P.clone()
        at_P[0] = inside
        at_P = minimise(lambda x_P: _held(local(x_P)), at_P)
    temperature, bias_C = base.value / at_P[:1].cpu(), at_P[1:].cpu()

    def make(facts: Facts) -> BiasCorrected:
        return BiasCorrected(facts, temperature, bias_C)

    return settled(make, base, logits_NC, targets_N)


def _held(local: Local) -> Local:
    """The same function with its first parameter held where it is."""
    gradient_P, hessian_PP = local.gradient_P.clone(), local.hessian_PP.clone()
    gradient_P[0] = 0.0
    hessian_PP[0, 1:] = hessian_PP[1:, 0] = 0.0
    hessian_PP[0, 0] = 1.0
    return Local(local.value, gradient_P, hessian_PP)


def _local(
    logits_NC: Tensor, targets_N: Tensor, temperature: float, ridge: float, at_P: Tensor
) -> Local:
    """Penalised mean NLL of softmax(scale z / T + b) at (scale, b)."""
    count, bias_C = len(targets_N), at_P[1:]
    value = 0.5 * ridge * float(bias_C.square().sum())
    gradient_P = torch.cat([torch.zeros_like(at_P[:1]), ridge * bias_C])
    hessian_PP = ridge * torch.diag(torch.ones_like(at_P))
    hessian_PP[0, 0] = 0.0
    for part, labels in blocks(logits_NC, targets_N):
        x_NC = (part - part.amax(dim=1, keepdim=True)) / temperature
        log_p_NC = (at_P[0] * x_NC.clamp(min=-1e300) + bias_C).log_softmax(dim=1)
        p_NC = log_p_NC.exp()
        own_N1 = labels[:, None]
        value -= float(log_p_NC.gather(1, own_N1).sum())
        own_x_N1 = x_NC.gather(1, own_N1)
        x_NC.masked_fill_(p_NC == 0.0, 0.0)  # it may be huge, and count for nothing
        mean_N1 = (p_NC * x_NC).sum(dim=1, keepdim=True)
        spread_NC = p_NC * (x_NC - mean_N1)
        gradient_P[0] += (mean_N1 - own_x_N1).sum()
        gradient_P[1:] += p_NC.sum(dim=0) - torch.bincount(
            labels, minlength=len(bias_C)
        )
        hessian_PP[0, 0] += (spread_NC * (x_NC - mean_N1)).sum()
        hessian_PP[0, 1:] += spread_NC.sum(dim=0)
        hessian_PP[1:, 1:] += torch.diag(p_NC.sum(dim=0)) - p_NC.T @ p_NC
    hessian_PP[1:, 0] = hessian_PP[0, 1:]
    return Local(value / count, gradient_P / count, hessian_PP / count)
