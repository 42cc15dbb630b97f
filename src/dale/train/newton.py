"""Newton's method for networks small enough to hold their Hessian.

Shapes: P parameters, all of them in one vector.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from dale.errors import InputError

LARGEST = 4096
"""Most parameters: the Hessian is P × P, and its eigenvectors cost about 10 P³."""


class Newton(Optimizer):
    """Newton's method with the absolute values of the curvatures.

    ::

        H = V diag(κ) Vᵀ               the Hessian of the loss
        w ← w − η V diag(1 / (|κ| + δ)) Vᵀ g

    Where all curvatures κ are positive this is the damped Newton step, and with
    ``δ = 0`` and ``η = 1`` it solves a quadratic at once. Where some are negative
    the step still goes downhill, away from the saddle that Newton's own step would go
    to. The gradient and the Hessian are those of one batch: take large ones.

    Args:
        params: At most 4096 numbers in all.
        lr: Learning rate η.
        damping: δ ≥ 0, added to each curvature.
        weight_decay: Factor λ of ``λ/2 ‖w‖²``, added to the loss.

    Raises:
        InputError: There are too many parameters, or a setting is negative.

    Example:
        >>> w = Parameter(torch.tensor([3.0, -2.0]))
        >>> newton = Newton([w], damping=0.0)
        >>> loss = newton.step(lambda: (w[0] - 1) ** 2 + 5 * (w[1] + w[0]) ** 2)
        >>> (w.detach() * 1000).round().tolist()
        [1000.0, -1000.0]

    References:
        Dauphin et al. 2014, arXiv 1406.2572 (saddle-free Newton). Ours uses the
        exact Hessian in place of a Krylov subspace.
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1.0,
        damping: float = 1e-3,
        weight_decay: float = 0.0,
    ) -> None:
        for name, value in (("damping", damping), ("weight_decay", weight_decay)):
            if not value >= 0:
                raise InputError(f"{name} must be at least 0, got {value}")
        defaults = {"lr": lr, "damping": damping, "weight_decay": weight_decay}
        super().__init__(params, defaults)
        if len(self.param_groups) > 1:
            raise InputError("Newton's method takes all parameters in one group")
        size = sum(p.numel() for p in self._trained())
        if size > LARGEST:
            raise InputError(
                f"Newton's method holds a Hessian of {size} × {size} numbers; expected "
                f"at most {LARGEST} parameters"
            )

    def _trained(self) -> list[Parameter]:
        return [p for p in self.param_groups[0]["params"] if p.requires_grad]

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor]) -> Tensor:  # type: ignore[override]
        """Make a step.

        Args:
            closure: Gives the loss, with its graph; it calls no ``backward``.

        Returns:
            The loss before the step.
        """
        (group,), parameters = self.param_groups, self._trained()
        with torch.enable_grad():
            loss = closure()
            loss_and_decay = loss
            if group["weight_decay"]:
                squares = sum((p * p).sum() for p in parameters)
                loss_and_decay = loss + group["weight_decay"] / 2 * squares
            gradient_P, hessian_PP = curvature(loss_and_decay, parameters)
        step_P = newton_step(gradient_P, hessian_PP, group["damping"])
        sizes = [p.numel() for p in parameters]
        for parameter, part in zip(parameters, step_P.split(sizes), strict=True):
            parameter.add_(part.view_as(parameter), alpha=group["lr"])
        return loss.detach()


def curvature(loss: Tensor, parameters: list[Parameter]) -> tuple[Tensor, Tensor]:
    """Gradient and Hessian of a loss.

    Args:
        loss: A scalar with its graph.
        parameters: What to derive by.

    Returns:
        ``gradient_P`` and ``hessian_PP``, symmetric, in the type of the parameters.
    """
    first = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
    gradient_P = torch.cat(
        [
            torch.zeros_like(p).flatten() if g is None else g.flatten()
            for p, g in zip(parameters, first, strict=True)
        ]
    )
    if not gradient_P.requires_grad:  # the loss is linear
        return gradient_P, gradient_P.new_zeros(len(gradient_P), len(gradient_P))
    rows = torch.autograd.grad(
        gradient_P,
        parameters,
        torch.eye(len(gradient_P), dtype=loss.dtype, device=loss.device),
        is_grads_batched=True,
        allow_unused=True,
    )
    hessian_PP = torch.cat(
        [
            gradient_P.new_zeros(len(gradient_P), p.numel())
            if row is None
            else row.flatten(start_dim=1)
            for p, row in zip(parameters, rows, strict=True)
        ],
        dim=1,
    )
    return gradient_P.detach(), (hessian_PP + hessian_PP.T).detach() / 2


def newton_step(gradient_P: Tensor, hessian_PP: Tensor, damping: float) -> Tensor:
    """``−V diag(1 / (|κ| + δ)) Vᵀ g``, computed in float64.

    Directions without curvature and without damping are left alone.

    Args:
        gradient_P: The gradient.
        hessian_PP: The Hessian, symmetric.
        damping: δ.

    Returns:
        The step ``[P]``, in the type of the gradient.
    """
    kappa_P, vectors_PP = torch.linalg.eigh(hessian_PP.double())
    size_P = kappa_P.abs()
    flat_P = size_P <= size_P.max() * len(size_P) * torch.finfo(torch.float32).eps
    inverse_P = 1 / (size_P + damping)
    if damping == 0:
        inverse_P = inverse_P.masked_fill(flat_P, 0)
    along_P = vectors_PP.T @ gradient_P.double()
    return (-(vectors_PP @ (inverse_P * along_P))).to(gradient_P.dtype)
