"""What the gradients and the curvature at a member say.

Shapes: P parameters.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from dale.data import Split
from dale.diagnose import gradient_noise, lanczos, perturbation
from dale.errors import InputError
from dale.recipes.workbench import PROBE, Workbench
from dale.weights import Weights, load_into

_ROWS = 512  # examples that go through the network at a time


def diagnose(
    bench: Workbench,
    label: str | None = None,
    *,
    batches: Sequence[int] = (),
    draws: int = 20,
    examples: int = 1024,
    steps: int = 20,
    scale: float = 0.05,
) -> dict[str, Any]:
    """Measure gradient noise and curvature at a member, on training examples.

    The loss is the cross-entropy in evaluation mode: dropout is off, and normalisation
    uses the member's statistics, so that the loss of a batch is the mean over its
    examples. Nothing is augmented.

    Args:
        bench: The run.
        label: The member; the last one unless given.
        batches: Batch sizes; powers of two up to half of the examples unless given.
        draws: Batches of each size, and random changes of the weights.
        examples: Training examples that are used, at most.
        steps: Products with the Hessian.
        scale: Relative size of the random changes.

    Returns:
        As JSON values: ``noise``, ``curvature`` and ``perturbation``; also stored as
        ``results/diagnosis.json``.

    Raises:
        InputError: There is no such member, or a number is out of range.
    """
    member = bench.members(labels=[label] if label else None)[-1]
    split = bench.split(PROBE)
    if examples < 2:
        raise InputError(f"examples: expected 2 or more, got {examples}")
    split = split.subset(torch.arange(min(examples, len(split))))
    weights = bench.run.population.weights(member)
    load_into(bench.model, weights)
    point = _Point(bench.model, split, bench.recipe.label_smoothing)
    sizes = tuple(batches) or _sizes(len(split))
    noise = gradient_noise(point.gradient, len(split), sizes, draws=draws)
    curves = lanczos(point.product, point.size, steps=steps, device=point.device)
    shaken = perturbation(weights, point.loss_at, scale, draws=draws)
    load_into(bench.model, weights)
    found = {
        "member": member.label,
        "split": PROBE,
        "examples": len(split),
        "noise": noise.to_dict(),
        "curvature": {
            "values": list(curves.values),
            "residuals": list(curves.residuals),
        },
        "perturbation": {
            "scale": shaken.scale,
            "loss": shaken.loss,
            "rise": shaken.rise,
            "standard_error": shaken.standard_error,
        },
    }
    with bench.run.lock():
        bench.run.write_result("diagnosis", found)
    return found


def _sizes(examples: int) -> tuple[int, ...]:
    """1, 2, 4, … up to half of the examples."""
    return tuple(2**power for power in range((examples // 2).bit_length()))


class _Point:
    """The loss of examples around one point in weight space."""

    def __init__(self, model: nn.Module, split: Split, smoothing: float) -> None:
        self.model, self.split, self._smoothing = model.eval(), split, smoothing
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self.size = sum(p.numel() for p in self._parameters)
        self.device = self._parameters[0].device

    def _loss(self, rows_B: Tensor) -> Tensor:
        """The sum of the losses of these rows."""
        targets_B = self.split.targets_N[rows_B].to(self.device)
        logits_BC = self.model(self.split.batch(rows_B).to(self.device))
        return cross_entropy(
            logits_BC, targets_B, label_smoothing=self._smoothing, reduction="sum"
        )

    def gradient(self, rows_B: Tensor) -> Tensor:
        """Of the mean loss of these rows."""
        total_P = torch.zeros(self.size, dtype=torch.float64)
        for part in rows_B.split(_ROWS):
            found = torch.autograd.grad(self._loss(part), self._parameters)
            total_P += torch.cat([g.flatten() for g in found]).double().cpu()
        return total_P / len(rows_B)

    def product(self, vector_P: Tensor) -> Tensor:
        """The Hessian of the mean loss of all rows times a vector."""
        sizes = [p.numel() for p in self._parameters]
        parts = [
            part.view_as(p).to(p.dtype)
            for part, p in zip(vector_P.split(sizes), self._parameters, strict=True)
        ]
        total_P = torch.zeros(self.size, dtype=torch.float64, device=self.device)
        for rows_B in torch.arange(len(self.split)).split(_ROWS):
            loss = self._loss(rows_B)
            first = torch.autograd.grad(loss, self._parameters, create_graph=True)
            second = torch.autograd.grad(
                first, self._parameters, parts, materialize_grads=True
            )
            total_P += torch.cat([g.flatten() for g in second]).double()
        return total_P / len(self.split)

    @torch.no_grad()
    def loss_at(self, weights: Weights) -> float:
        """The mean loss of all rows at other weights."""
        load_into(self.model, weights)
        parts = torch.arange(len(self.split)).split(_ROWS)
        total = sum(float(self._loss(rows_B)) for rows_B in parts)
        return total / len(self.split)
