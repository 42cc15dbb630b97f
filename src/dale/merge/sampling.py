"""A sample of a tensor, and a search of all of it for what is not finite.

Shape suffix: D, elements of a sample.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCKS = 16
"""A sample is so many runs of neighbours, evenly apart."""
_CHUNK = 1 << 20  # elements that are looked at at a time where some are not finite
_QUICK = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


@dataclass(frozen=True)
class Scanned:
    """A sample of a tensor, and what was found in all of it.

    Attributes:
        sample_D: In float64; zero where it is not finite.
        not_finite: Elements that are NaN or infinite.
        nan: Elements that are NaN.
        above: Elements that are +∞.
    """

    sample_D: Tensor
    not_finite: int
    nan: int
    above: int


def scanned(tensor: Tensor, most: int, deep: bool = True) -> Scanned:
    """Keep at most so many elements, and look at every one or at those alone.

    Example:
        >>> found = scanned(torch.tensor([1.0, float("nan"), float("inf")]), 16)
        >>> found.sample_D.tolist(), found.not_finite, found.nan
        ([1.0, 0.0, 0.0], 2, 1)
    """
    flat = tensor.detach().reshape(-1)
    sample = _sampled(flat, most)
    sample_D, odd = sample.cpu().double(), _not_finite(flat if deep else sample)
    return Scanned(sample_D.nan_to_num(0, 0, 0) if odd[0] else sample_D, *odd)


def _sampled(flat: Tensor, most: int) -> Tensor:
    if flat.numel() > most:
        run = most // BLOCKS
        apart = (flat.numel() - run) // (BLOCKS - 1)
        flat = flat.as_strided((BLOCKS, run), (apart * flat.stride(0), flat.stride(0)))
    return flat.reshape(-1)


def _not_finite(flat: Tensor) -> tuple[int, int, int]:
    """How many elements are NaN or infinite, how many are NaN, and how many +∞."""
    if flat.dtype in _QUICK and flat.numel():
        # twenty times faster than isfinite, and NaN is handed on
        least, most = flat.aminmax()
        if math.isfinite(least.item()) and math.isfinite(most.item()):
            return 0, 0, 0
    odd = broken = above = 0
    for part in flat.split(_CHUNK):
        wide = part if part.dtype in _QUICK else part.float()
        odd += int((~wide.isfinite()).sum())
        broken += int(wide.isnan().sum())
        above += int(wide.isposinf().sum())
    return odd, broken, above
