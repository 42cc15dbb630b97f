"""The mean of each example's earlier predictions, row by row.

Shapes: N examples, B of them, C classes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Targets:
    """Moving averages of predictions, one for each example, without a bias.

    ``Z_i ← a Z_i + (1 − a) z_i`` from zero, and the target after t predictions is
    ``Z_i / (1 − a^t)``: t is counted for each example, so that a target is a mean
    whichever examples an epoch leaves out.

    Args:
        examples: N.
        classes: C.
        decay: The share a of the old, in [0, 1).
        device: Where the averages are kept: 4 bytes for each example and class.

    Example:
        >>> targets = Targets(examples=3, classes=2, decay=0.6)
        >>> for shares in ([1.0, 0.0], [0.0, 1.0]):
        ...     targets.update(torch.tensor([2]), torch.tensor([shares]))
        >>> found, known = targets.of(torch.tensor([2, 0]))
        >>> found, known
        (tensor([[0.3750, 0.6250],
                [0.0000, 0.0000]]), tensor([ True, False]))
    """

    def __init__(
        self,
        examples: int,
        classes: int,
        decay: float,
        device: torch.device | str = "cpu",
    ) -> None:
        self._decay, self._device = decay, device
        self._sums_NC = torch.zeros(examples, classes, device=device)
        self._times_N = torch.zeros(examples, dtype=torch.int64, device=device)

    @property
    def nbytes(self) -> int:
        """Bytes that they take."""
        return self._sums_NC.nbytes + self._times_N.nbytes

    def of(self, rows_B: Tensor) -> tuple[Tensor, Tensor]:
        """Targets of some examples, and which of them have one; the others' are 0."""
        rows_B = rows_B.to(self._device, non_blocking=True)
        times_B = self._times_N[rows_B]
        # in float64: 1 − a^t is small for an a near 1
        weight_B = 1 - self._decay ** times_B.double()
        weight_B = weight_B.where(times_B > 0, 1.0).float()
        return self._sums_NC[rows_B] / weight_B[:, None], times_B > 0

    def update(self, rows_B: Tensor, probs_BC: Tensor) -> None:
        """Let one prediction of each of these examples in: its last, if it has more."""
        places = {row: place for place, row in enumerate(rows_B.tolist())}
        if len(places) < len(rows_B):
            last = torch.tensor(list(places.values()))
            rows_B, probs_BC = rows_B[last], probs_BC[last.to(probs_BC.device)]
        rows_B = rows_B.to(self._device, non_blocking=True)
        kept_BC = self._decay * self._sums_NC[rows_B]
        self._sums_NC[rows_B] = kept_BC + (1 - self._decay) * probs_BC
        self._times_N[rows_B] += 1

    def state(self) -> dict[str, Any]:
        """The averages and how many predictions are in each."""
        return {"sums": self._sums_NC, "times": self._times_N}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._sums_NC = state["sums"].to(self._device)
        self._times_N = state["times"].to(self._device)
