"""What one tensor of a merge and of its models says, and sums over all tensors.

Shape suffixes: K, models; S, sampled elements of one tensor.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dale.weights import wide
from dale.weights.match import is_inexact

_RUN = 1024


@dataclass(frozen=True)
class TensorCheck:
    """One tensor of the merged network.

    Attributes:
        name: Its name, the first of those that share it.
        elements: How many it has.
        seen: How many of them the comparison looked at; 0 if there is nothing to
            compare with.
        not_finite: How many are NaN or infinite where no model is; all were looked at.
        norm_ratio: Its length over the mean length of the models' tensors.
        step_ratio: How far it is from the base, over the mean distance of the models.
        conflict: Share of elements that two or more models changed, in directions that
            differ; None without a base, or where there is no such element.
    """

    name: str
    elements: int
    seen: int
    not_finite: int
    norm_ratio: float | None = None
    step_ratio: float | None = None
    conflict: float | None = None


class Totals:
    """Sums over tensors: inner products of models and of the merged network.

    Args:
        models: K.
        based: Whether differences from a base are meant.
    """

    def __init__(self, models: int, based: bool) -> None:
        self.based = based
        self._inner = torch.zeros(models + 1, models + 1, dtype=torch.float64)
        self._shifts = self._inner.clone()
        self.conflicts = self.shared = self.chance = 0.0

    def add(self, rows: Tensor, base_S: Tensor | None, factor: float) -> None:
        """Count one tensor; `rows` is ``[K + 1, S]``, the merged one last."""
        self._inner += factor * (rows @ rows.T)
        if base_S is None:
            return
        shifts = rows - base_S
        self._shifts += factor * (shifts @ shifts.T)
        found, shared, chance = conflicts(shifts[:-1])
        self.conflicts += factor * found
        self.shared += factor * shared
        self.chance += factor * chance

    def norm_ratio(self) -> float | None:
        """Length of the whole network over the mean length of the models."""
        return _over(self._inner)

    def step_ratio(self) -> float | None:
        """Distance from the base over the mean distance of the models."""
        return _over(self._shifts) if self.based else None

    def conflict(self) -> tuple[float, float] | None:
        """Share of shared changes that conflict, and what chance would give."""
        if not self.shared:
            return None
        return self.conflicts / self.shared, self.chance / self.shared

    def cosines(self) -> list[list[float | None]]:
        """Of task vectors, or of weights without a base; the merged one last."""
        inner = self._shifts if self.based else self._inner
        norms = inner.diagonal().clamp(min=0).sqrt()
        below = norms[:, None] * norms
        table = (inner / below).clamp(-1, 1).tolist()
        return [[v if math.isfinite(v) else None for v in row] for row in table]


def conflicts(shifts_KS: Tensor) -> tuple[float, float, float]:
    """Elements whose changes differ in sign, elements that two or more models changed,
    and how many of those would differ if signs were coins.

    Example:
        >>> conflicts(torch.tensor([[1.0, 2.0, 0.0], [-1.0, 3.0, 1.0]]))
        (1.0, 2.0, 1.0)
    """
    up, down = (shifts_KS > 0).sum(0), (shifts_KS < 0).sum(0)
    several = (up + down)[(up + down) > 1].double()
    differ = ((up > 0) & (down > 0)).sum().item()
    return float(differ), float(len(several)), (1 - 2 ** (1 - several)).sum().item()


def sample(tensor: Tensor, most: int | None) -> Tensor:
    """Elements of a tensor in runs that are spread evenly, always the same ones.

    Args:
        tensor: Any tensor; one in a file is read only where it is looked at.
        most: How many at most; all if None.

    Returns:
        float64, ``[S]``.

    Example:
        >>> sample(torch.arange(6.0), None)
        tensor([0., 1., 2., 3., 4., 5.], dtype=torch.float64)
        >>> len(sample(torch.zeros(10**6), 4096))
        4096
    """
    flat = tensor.detach().reshape(-1)
    if most is not None and len(flat) > most:
        size = min(_RUN, most)
        count = most // size
        gap = (len(flat) - size) / max(1, count - 1)
        starts = [round(i * gap) for i in range(count)]
        flat = torch.cat([flat[start : start + size] for start in starts])
    if flat.is_complex():
        flat = torch.view_as_real(flat).reshape(-1)
    return wide(flat).cpu().double()


def not_finite(merged: Tensor, models: Sequence[Tensor]) -> int:
    """How many elements are NaN or infinite in the merged tensor and in no model.

    Example:
        >>> mask = torch.tensor([0.0, -torch.inf])
        >>> not_finite(mask, [mask]), not_finite(mask, [torch.zeros(2)])
        (0, 1)
    """
    if not is_inexact(merged) or not merged.numel():
        return 0
    if not merged.is_complex() and merged.dtype.itemsize > 1:
        low, high = torch.aminmax(merged)  # one fast pass; NaN comes through
        if bool(low.isfinite() & high.isfinite()):
            return 0
    bad = ~wide(merged).isfinite()
    for tensor in models:
        bad &= wide(tensor).isfinite().to(bad.device)
    return int(bad.sum())


def compare(
    name: str,
    merged: Tensor,
    models_K: Sequence[Tensor],
    base: Tensor | None,
    most: int | None,
    totals: Totals,
) -> TensorCheck:
    """Look at one tensor, and count it in the totals."""
    bad = not_finite(merged, models_K)
    if not models_K or not is_inexact(merged) or not merged.numel():
        return TensorCheck(name, merged.numel(), 0, bad)
    rows = torch.stack([sample(tensor, most) for tensor in [*models_K, merged]])
    origin = None if base is None else sample(base, most)
    # masks of −∞ have no length
    kept = rows.isfinite().all(0) & (True if origin is None else origin.isfinite())
    rows = rows[:, kept]
    origin = None if origin is None else origin[kept]
    seen = rows.shape[1]
    if not seen:
        return TensorCheck(name, merged.numel(), 0, bad)
    own = Totals(len(models_K), origin is not None)
    factor = merged.numel() / max(seen, 1)
    for sums in (own, totals):
        sums.add(rows, origin, factor)
    conflict = own.conflict()
    return TensorCheck(
        name,
        merged.numel(),
        seen,
        bad,
        own.norm_ratio(),
        own.step_ratio(),
        None if conflict is None else conflict[0],
    )


def _over(inner: Tensor) -> float | None:
    norms = inner.diagonal().clamp(min=0).sqrt()
    mean = norms[:-1].mean().item()
    return norms[-1].item() / mean if mean > 0 else None
