"""The mean NLL of softmax(b z) along b, with both derivatives from one pass.

Shapes: N examples, C classes.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

_BLOCK = 2**18  # logits that are worked on at a time: they fit a core's cache
_KEPT_BLOCK = 2**16  # the same where they are kept: less new memory to be filled
_SMALL = 2**21  # logits up to which everything is in float64, and kept between passes
_FEW = 32  # classes
_TAME = 1e6  # distance from the maximum, in units of the scale, that float32 can hold
_LOWEST = -1e150  # its square is a number


class Along(NamedTuple):
    """The mean NLL at one b.

    Args:
        nll: The value, in nats.
        slope: First derivative by b.
        curvature: Second derivative by b, never negative but for rounding.
    """

    nll: float
    slope: float
    curvature: float


class Slope:
    """Mean NLL of ``softmax(b z / scale)`` and its derivatives by b.

    With ``E_i`` the expectation under the softmax of example i, the derivatives are
    ``mean_i (E_i[z] - z_iy)`` and ``mean_i Var_i[z]``. Three sums over the classes,
    of ``e^{bz}``, ``z e^{bz}`` and ``z² e^{bz}``, give all of it; they are taken block
    by block while a block is in the cache, so the logits are read once for each b.
    With z the distance from the maximum, which is 0 at a class of probability 1 / C
    or more, the mean of squares is at most C times the variance: their difference
    loses no more than that factor of the precision.

    Up to about two million logits, and for logits that are float64, the exponentials
    are float64. In larger float32 problems they are float32, rounded as the logits
    are: the sums over the examples are float64, and errors of single terms, of about
    1e-7, average out.

    Args:
        logits_NC: Checked logits.
        targets_N: Checked targets.
        scale: Unit of the logits, positive.
    """

    def __init__(self, logits_NC: Tensor, targets_N: Tensor, scale: float) -> None:
        self._logits_NC, self._scale = logits_NC, scale
        classes = logits_NC.shape[1]
        self._top_N1 = logits_NC.amax(dim=1, keepdim=True)
        own_N1 = logits_NC.gather(1, targets_N[:, None]).double()
        self._own_N = ((own_N1 - self._top_N1.double()) / scale)[:, 0]
        self._scratch: Tensor | None = None
        self.exact = not self._allows_float32()
        small = logits_NC.numel() <= _SMALL
        self._rows = max(1, min(_BLOCK, _KEPT_BLOCK if small else _BLOCK) // classes)
        self._kept = list(self._made_blocks()) if small else None

    def at(self, b: float) -> Along:
        """Value and derivatives at b."""
        nll = slope = curvature = 0.0
        for rows, z in self._blocks():
            e = self._exp(z, b)
            zero = e.sum(dim=1).double()
            mean = e.mul_(z).sum(dim=1).double() / zero
            square = e.mul_(z).sum(dim=1).double() / zero
            own = self._own_N[rows]
            nll += float((zero.log() - b * own).sum())
            slope += float((mean - own).sum())
            curvature += max(float((square - mean.square()).sum()), 0.0)
        count = len(self._own_N)
        return Along(nll / count, slope / count, curvature / count)

    def nll(self, b: float) -> float:
        """The value alone, at less than half of the cost."""
        total = 0.0
        for rows, z in self._blocks():
            logs = self._exp(z, b).sum(dim=1).double().log()
            total += float((logs - b * self._own_N[rows]).sum())
        return total / len(self._own_N)

    def _exp(self, z: Tensor, b: float) -> Tensor:
        """e^{bz}, in memory that is used again for the next block."""
        if self._scratch is None or self._scratch.shape != z.shape:
            self._scratch = torch.empty_like(z)
        return torch.mul(z, b, out=self._scratch).exp_()

    def _blocks(self) -> Iterable[tuple[slice, Tensor]]:
        """Distances from the maximum over the scale, finite and at most 0."""
        return self._made_blocks() if self._kept is None else self._kept

    def _made_blocks(self) -> Iterator[tuple[slice, Tensor]]:
        count, classes = self._logits_NC.shape
        wide = torch.float64 if self.exact else torch.float32
        for start in range(0, count, self._rows):
            rows = slice(start, start + self._rows)
            z, top = self._logits_NC[rows], self._top_N1[rows].to(wide)
            if classes < _FEW:  # class by class in memory, sums over classes are faster
                z = z.new_empty(z.shape[::-1], dtype=wide).copy_(z.t()).t().sub_(top)
            else:
                z = z - top if z.dtype == wide else z.to(wide).sub_(top)
            z = z.div_(self._scale)
            # -inf is a class of probability zero; below a number z e^{bz} is 0, not NaN
            yield rows, z.clamp_(min=_LOWEST) if self.exact else z

    def _allows_float32(self) -> bool:
        logits_NC = self._logits_NC
        if logits_NC.dtype == torch.float64 or logits_NC.numel() <= _SMALL:
            return False
        lowest_N1 = logits_NC.amin(dim=1, keepdim=True)
        farthest = float((self._top_N1 - lowest_N1).max())
        return farthest < _TAME * self._scale
