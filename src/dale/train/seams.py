"""Where other rooms reach into an update: plain callables, in a fixed order.

Nobody needs a loop of their own to change what an update does. What a seam carries
from one update to the next goes into the saved state, so that a resume stays exact.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor
from torch.nn.functional import cross_entropy

Call = Callable[[Tensor], Tensor]
"""Inputs to logits, in training mode; what comes back has been checked."""


@dataclass(frozen=True)
class Batch:
    """One microbatch.

    Args:
        inputs: On the device, augmented.
        targets_N: int64 classes on the device.
        rows_N: Positions in the training split, on the CPU.
        again: Gives the inputs under augmentation drawn anew; without augmentation
            they are the same.
        whole_N: Positions of the whole batch, over all microbatches and processes.
        start: Where in those this microbatch begins.
    """

    inputs: Tensor
    targets_N: Tensor
    rows_N: Tensor
    again: Callable[[], Tensor]
    whole_N: Tensor
    start: int


Objective = Callable[[Call, Batch, int], tuple[Tensor, Tensor]]
"""The model, a microbatch and the step to a mean loss and the logits ``(N, C)``.

The model may be called as often as wanted. The loss must be a mean over the rows of
the microbatch: means of microbatches are weighted by their rows.
"""


class Carried(Protocol):
    """Something that a checkpoint must hold."""

    def state(self) -> Mapping[str, Any]:
        """Tensors and JSON values."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        ...


def classification(label_smoothing: float = 0.0) -> Objective:
    """The cross-entropy of the targets.

    Args:
        label_smoothing: Share of the target spread over all classes.

    Returns:
        The objective.
    """

    def objective(call: Call, batch: Batch, step: int) -> tuple[Tensor, Tensor]:
        logits_NC = call(batch.inputs)
        loss = cross_entropy(
            logits_NC, batch.targets_N, label_smoothing=label_smoothing
        )
        return loss, logits_NC

    return objective


@dataclass(frozen=True)
class Seams:
    """What is hung into the loop.

    Args:
        before_step: Called with the number of updates done, after the rate of the
            coming update was set.
        objective: The loss, or None for cross-entropy.
        after_step: Called with the number of updates done, after each update and
            before collectors see the weights.
        carried: What checkpoints must hold beside the model and the optimiser.
        records: What the log line of an epoch says beside the loop's own; a function
            of the state.
    """

    before_step: tuple[Callable[[int], None], ...] = ()
    objective: Objective | None = None
    after_step: tuple[Callable[[int], None], ...] = ()
    carried: Mapping[str, Carried] = field(default_factory=dict)
    records: tuple[Callable[[], Mapping[str, Any]], ...] = ()
