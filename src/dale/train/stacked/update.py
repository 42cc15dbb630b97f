"""One update of all members of a stack: one pass forward, one back, one step.

Shapes: M members, B examples of each member's batch, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from dale.data import Augment, Split
from dale.errors import TrainingError
from dale.factories import one_line
from dale.keys import key
from dale.train.engine import Engine
from dale.train.stacked.stack import Stack


@dataclass(frozen=True)
class StackedUpdater:
    """Makes updates of stacked networks; which examples and rates, others decide.

    The sum of the members' mean losses has for its gradient, in each member's part
    of the stacked tensors, the gradient of that member's own loss.

    Args:
        name: Of the stack, for messages.
        seeds: Of the members' trajectories.
        stack: The networks.
        optimizer: Of the stacked parameters; its step must be linear in its rate.
        split: Training examples.
        classes: Number of classes C.
        engine: Device and precision; one process, one microbatch.
        augment: Batched augmentation of raw inputs, or None.
        label_smoothing: Share of the target spread over all classes.
    """

    name: str
    seeds: Sequence[int]
    stack: Stack
    optimizer: Optimizer
    split: Split
    classes: int
    engine: Engine
    augment: Augment | None = None
    label_smoothing: float = 0.0

    def __call__(
        self, rows_MB: Tensor, step: int, rates: Sequence[float]
    ) -> tuple[Tensor, Tensor]:
        """Make an update.

        Args:
            rows_MB: Positions of each member's batch in the training split.
            step: Updates done so far.
            rates: Learning rate of each member.

        Returns:
            ``[M]`` mean losses of the batches, and ``[M]`` numbers of errors.
        """
        inputs_MB, targets_MB = self._batch(rows_MB, step)
        # draws of the stack are its own: a generator for each member would take a
        # pass for each member
        self.engine.seed(key(self.seeds[0], "stacked", len(self.seeds), step))
        logits_MBC = self._forward(inputs_MB, step)
        losses_MB = cross_entropy(
            logits_MBC.flatten(0, 1),
            targets_MB.flatten(),
            reduction="none",
            label_smoothing=self.label_smoothing,
        ).view_as(targets_MB)
        losses_M = losses_MB.mean(dim=1)
        self._differentiate(losses_M)
        self._step(rates)
        wrong_MB = logits_MBC.detach().argmax(dim=2) != targets_MB
        return losses_M.detach(), wrong_MB.sum(dim=1)

    def _batch(self, rows_MB: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets on the device; the draws are those of the loop."""
        split, flat = self.split, rows_MB.flatten()
        if self.augment is None:
            inputs = split.batch(flat)
        else:
            drawn = []
            for seed, rows_B in zip(self.seeds, rows_MB, strict=True):
                generator = torch.Generator().manual_seed(key(seed, "augment", step))
                drawn.append(split.batch(rows_B, self.augment, generator))
            inputs = torch.cat(drawn)
        targets_MB = split.targets_N[flat].view_as(rows_MB)
        inputs_MB = inputs.view(*rows_MB.shape, *inputs.shape[1:])
        return self.engine.place(inputs_MB), self.engine.place(targets_MB)

    def _forward(self, inputs_MB: Tensor, step: int) -> Tensor:
        try:
            logits_MBC = self.stack(inputs_MB)
        except Exception as cause:
            raise TrainingError(
                f"{self.name}: the networks failed together at step {step}: "
                f"{one_line(cause)}"
            ) from cause
        expected = (*inputs_MB.shape[:2], self.classes)
        if logits_MBC.shape != expected or not logits_MBC.requires_grad:
            raise TrainingError(
                f"{self.name}: together, the networks returned "
                f"{tuple(logits_MBC.shape)} at step {step}; expected {expected}, with "
                "gradients"
            )
        return logits_MBC

    def _differentiate(self, losses_M: Tensor) -> None:
        trained = [p for p in self.stack.parameters.values() if p.requires_grad]
        gradients = torch.autograd.grad(losses_M.sum(), trained, allow_unused=True)
        for parameter, gradient in zip(trained, gradients, strict=True):
            parameter.grad = gradient
        if self.engine.spec.clip is not None:
            clip_each([g for g in gradients if g is not None], self.engine.spec.clip)

    @torch.no_grad()
    def _step(self, rates: Sequence[float]) -> None:
        peak = max(rates)
        for group in self.optimizer.param_groups:
            group["lr"] = peak
        if min(rates) == peak:
            self.optimizer.step()
            return
        # a step is linear in its rate: each member goes its share of the longest way
        moved = [p for p in self.stack.parameters.values() if p.grad is not None]
        before = [p.clone() for p in moved]
        self.optimizer.step()
        shares_M = torch.tensor([rate / peak for rate in rates], device=moved[0].device)
        for parameter, old in zip(moved, before, strict=True):
            shares = shares_M.to(old.dtype).view(-1, *[1] * (old.dim() - 1))
            parameter.copy_(torch.lerp(old, parameter, shares))


@torch.no_grad()
def clip_each(gradients_M: Sequence[Tensor], largest: float) -> None:
    """Clip each member's gradient to a global norm of its own, in place.

    ``g_m ← g_m min(1, largest / (‖g_m‖ + 10⁻⁶))``, as
    `torch.nn.utils.clip_grad_norm_` does for one network.

    Args:
        gradients_M: Of each parameter, ``[M, ...]``.
        largest: Norm that no member's gradient exceeds.

    Example:
        >>> gradient = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
        >>> clip_each([gradient], 1.0)
        >>> [round(norm, 3) for norm in gradient.norm(dim=1).tolist()]
        [1.0, 0.5]
    """
    norms = [g.flatten(start_dim=1).norm(dim=1) for g in gradients_M]
    factors_M = (largest / (torch.stack(norms).norm(dim=0) + 1e-6)).clamp(max=1.0)
    for gradient in gradients_M:
        gradient.mul_(factors_M.view(-1, *[1] * (gradient.dim() - 1)))
