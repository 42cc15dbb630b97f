"""Drift on purpose: images corrupted at five severities, batch by batch.

Every corruption works on raw values, scaled to [0, 1], and the result is clipped to
that range. Lengths are in shares of the image, so that a severity means the same for
28 pixels as for 224.

Shape suffixes: N examples, C channels, H height, W width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from math import tau

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Generator, Tensor

from dale.data.augment import Grid, fetch
from dale.data.data import Augment
from dale.errors import DataError, nearest


def gaussian_noise(x: Tensor, amount: float, generator: Generator) -> Tensor:
    """Add independent normal noise of standard deviation `amount` to every value."""
    return x + amount * torch.randn(x.shape, generator=generator)


def blur(x: Tensor, amount: float, generator: Generator) -> Tensor:
    """Gaussian blur of standard deviation `amount` / 32 of the shorter side.

    The kernel is cut off at four standard deviations, the border repeated.
    """
    channels, height, width = x.shape[1:]
    sigma = amount * min(height, width) / 32
    radius = int(4 * sigma + 0.5)
    steps = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = (-0.5 * (steps / sigma).square()).exp()
    kernel = (kernel / kernel.sum()).float().expand(channels, 1, 1, -1)
    padded = F.pad(x, (radius,) * 4, mode="replicate")
    rows = F.conv2d(padded, kernel, groups=channels)
    return F.conv2d(rows, kernel.transpose(2, 3), groups=channels)


def contrast(x: Tensor, amount: float, generator: Generator) -> Tensor:
    """Draw every value towards the mean of its channel: `amount` is what is kept."""
    mean = x.mean(dim=(2, 3), keepdim=True)
    return mean + amount * (x - mean)


def brightness(x: Tensor, amount: float, generator: Generator) -> Tensor:
    """Raise the largest of a pixel's channels by `amount`, the others in proportion."""
    value = x.amax(dim=1, keepdim=True)
    raised = (value + amount).clamp(max=1.0)
    return torch.where(value > 0, x * raised / value, raised)


def pixelate(x: Tensor, amount: float, generator: Generator) -> Tensor:
    """Shrink to the share `amount` of the sides by area averages, and enlarge again."""
    for axis in (2, 3):
        side = x.shape[axis]
        small = max(1, int(side * amount))
        resample = _areas(small, side) @ _areas(side, small)
        x = torch.tensordot(x, resample, dims=([axis], [0])).movedim(-1, axis)
    return x


def jpeg(x: Tensor, amount: float, generator: Generator) -> Tensor:
    """Store at JPEG quality `amount` with Pillow, and read back; 8 bits a channel."""
    if x.shape[1] not in (1, 3):
        raise DataError(f"jpeg needs images of 1 or 3 channels, got {x.shape[1]}")
    stored = (255 * x).round().to(torch.uint8).movedim(1, 3).numpy()
    result = []
    for pixels in stored:
        file = BytesIO()
        Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(
            file, "JPEG", quality=int(amount)
        )
        with Image.open(file) as image:
            result.append(np.array(image).reshape(pixels.shape))
    return torch.from_numpy(np.stack(result)).movedim(3, 1).float() / 255


def rotation(x: Tensor, amount: float, generator: Generator) -> Tensor:
    """Turn by `amount` degrees, to either side at random; corners are filled with 0."""
    count, _, height, width = x.shape
    signs_N = 2.0 * torch.randint(2, (count,), generator=generator) - 1
    angles_N = signs_N * amount * tau / 360
    cos_N, sin_N, zero_N = angles_N.cos(), angles_N.sin(), torch.zeros(count)
    # positions are in units of half a side, which differ if the sides do
    rows = [
        [cos_N, -sin_N * height / width, zero_N],
        [sin_N * width / height, cos_N, zero_N],
    ]
    turns_N23 = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    where = F.affine_grid(turns_N23, list(x.shape), align_corners=False)
    return F.grid_sample(x, where, padding_mode="zeros", align_corners=False)


def translation(x: Tensor, amount: float, generator: Generator) -> Tensor:
    """Move by the share `amount` of the sides in a random direction, whole pixels."""
    count, _, height, width = x.shape
    angles_N1 = tau * torch.rand(count, 1, generator=generator)
    down_N1 = (amount * height * angles_N1.sin()).round().long()
    right_N1 = (amount * width * angles_N1.cos()).round().long()
    grid = Grid(torch.arange(height) - down_N1, torch.arange(width) - right_N1)
    return fetch(x, grid, int(amount * max(height, width)) + 1)


def occlusion(x: Tensor, amount: float, generator: Generator) -> Tensor:
    """Cover a patch whose sides are the share `amount` of the image's, with 0."""
    inside = []
    for axis in (2, 3):
        side = x.shape[axis]
        length = min(side, max(1, round(amount * side)))
        drawn = torch.randint(side - length + 1, (len(x), 1), generator=generator)
        steps = torch.arange(side)
        inside.append((steps >= drawn) & (steps < drawn + length))
    covered = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return x.masked_fill(covered, 0.0)


@dataclass(frozen=True)
class Corruption:
    """One row of `CORRUPTIONS`.

    Args:
        function: Takes images (N, C, H, W) in [0, 1], float32, one of `severities`
            and a generator; returns images of that shape, of any range.
        severities: Its amount at severity 1, 2, 3, 4 and 5.
        unit: What the amount is.
        random: It draws from the generator.
        reference: Where the amounts come from.
    """

    function: Callable[[Tensor, float, Generator], Tensor]
    severities: tuple[float, float, float, float, float]
    unit: str
    random: bool
    reference: str


_CIFAR_C = "CIFAR-10-C: Hendrycks and Dietterich 2019, arXiv:1903.12261"

CORRUPTIONS = {
    "gaussian_noise": Corruption(
        gaussian_noise,
        (0.04, 0.06, 0.08, 0.09, 0.10),
        "deviation, of the range of values",
        True,
        _CIFAR_C,
    ),
    "blur": Corruption(
        blur,
        (0.4, 0.6, 0.7, 0.8, 1.0),
        "deviation, in pixels of a side of 32",
        False,
        _CIFAR_C,
    ),
    "contrast": Corruption(
        contrast,
        (0.75, 0.5, 0.4, 0.3, 0.15),
        "share of the contrast that is kept",
        False,
        _CIFAR_C,
    ),
    "brightness": Corruption(
        brightness,
        (0.05, 0.1, 0.15, 0.2, 0.3),
        "rise, of the range of values",
        False,
        _CIFAR_C,
    ),
    "pixelate": Corruption(
        pixelate,
        (0.95, 0.9, 0.85, 0.75, 0.65),
        "share of the resolution that is kept",
        False,
        _CIFAR_C,
    ),
    "jpeg": Corruption(
        jpeg, (80, 65, 58, 50, 40), "quality, of 95 at best", False, _CIFAR_C
    ),
    "rotation": Corruption(
        rotation, (8, 16, 24, 32, 40), "degrees, to either side", True, "dale's own"
    ),
    "translation": Corruption(
        translation,
        (0.04, 0.08, 0.12, 0.16, 0.24),
        "distance, of the sides",
        True,
        "dale's own",
    ),
    "occlusion": Corruption(
        occlusion,
        (0.15, 0.25, 0.35, 0.45, 0.55),
        "sides of the patch, of the image's",
        True,
        "dale's own",
    ),
}
"""Name to what corrupts images, and how much at each severity."""

SEVERITIES = (1, 2, 3, 4, 5)
"""From hardly visible to severe."""


def corruption(name: str, severity: int = 3, high: float | None = None) -> Augment:
    """A corruption of the kind that `dale.data.Split.batch` takes as ``augment``.

    Args:
        name: A key of `CORRUPTIONS`.
        severity: From 1 to 5.
        high: The raw value of white; 0 is black. 255 for bytes by default; for floats
            it must be given, as nothing is guessed from the values.

    Returns:
        A function of raw images ``(N, C, H, W)`` in [0, `high`] and a generator, to
        images of the same shape, type and range, bytes rounded. It draws from that
        generator alone, and from none where the row is not random.

    Raises:
        DataError: The name or the severity is unknown. The function raises one for
            what is not an image, values outside the range, or floats without `high`.

    Example:
        >>> images = torch.full((1, 1, 4, 4), 100, dtype=torch.uint8)
        >>> corruption("brightness", 4)(images, torch.Generator())[0, 0, 0].tolist()
        [151, 151, 151, 151]

    Reference:
        D. Hendrycks, T. Dietterich, Benchmarking Neural Network Robustness to Common
        Corruptions and Perturbations, 2019, arXiv 1903.12261. Pixelation takes areas
        where theirs takes whole pixels.
    """
    if name not in CORRUPTIONS:
        raise DataError(f"unknown corruption {name!r}; {nearest(name, CORRUPTIONS)}")
    if isinstance(severity, bool) or severity not in SEVERITIES:
        raise DataError(f"severity is {severity!r}; expected 1, 2, 3, 4 or 5")
    function = CORRUPTIONS[name].function
    amount = CORRUPTIONS[name].severities[severity - 1]

    def apply(raw: Tensor, generator: Generator) -> Tensor:
        white = _white(raw, name, high)
        if not len(raw):
            return raw.clone()
        made = function(raw.float() / white, amount, generator).clamp(0.0, 1.0) * white
        return made.round().to(raw.dtype) if raw.dtype == torch.uint8 else made.to(raw)

    return apply


def _white(raw: Tensor, name: str, high: float | None) -> float:
    if raw.ndim != 4:
        raise DataError(
            f"corruption {name!r} needs images (channels, height, width); the inputs "
            f"have shape {tuple(raw.shape[1:])}"
        )
    if high is None and raw.dtype != torch.uint8:
        raise DataError(
            f"corruption {name!r}: the raw values are {raw.dtype}, not bytes; say with "
            "`high` which value is white"
        )
    white = 255.0 if high is None else float(high)
    if not 0 < white < float("inf"):
        raise DataError(f"high is {high!r}; expected a finite value above 0")
    if len(raw):
        lowest, highest = float(raw.min()), float(raw.max())
        if not (lowest >= 0 and highest <= white):
            raise DataError(
                f"corruption {name!r} needs values from 0 to {white:g}; the raw values "
                f"lie between {lowest:g} and {highest:g}"
            )
    return white


def _areas(into: int, of: int) -> Tensor:
    """Weights (of, into): each of the `into` new cells is the mean under it."""
    ends = torch.arange(into + 1, dtype=torch.float64) * of / into
    cells = torch.arange(of, dtype=torch.float64)[:, None]
    overlap = torch.minimum(ends[1:], cells + 1) - torch.maximum(ends[:-1], cells)
    return (overlap.clamp(min=0.0) * into / of).float()
