"""Random crops and flips: one gather per batch, on raw values.

Every geometric augmentation maps a grid of source rows and columns to another; the
values are fetched once, at the end, whatever the number of augmentations.

Shape suffixes: N examples, C channels, H height, W width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from dale.data.data import Augment
from dale.errors import DataError


class Grid(NamedTuple):
    """The source row and column of each pixel; a position outside the image is 0.

    Args:
        rows_NH: int64 row that each row of the result is taken from.
        cols_NW: int64 column that each column of the result is taken from.
    """

    rows_NH: Tensor
    cols_NW: Tensor


def crop(grid: Grid, amount: int, generator: Generator) -> Grid:
    """Pad by `amount` zeros on each side and cut out the original size at random.

    The offsets are drawn for each example, uniform on ``{−amount, …, amount}``: first
    all vertical ones, then all horizontal ones.

    Args:
        grid: Where pixels come from so far.
        amount: Padding in pixels, at least 1.
        generator: Source of the offsets.

    Returns:
        The shifted grid.

    Example:
        >>> grid = Grid(torch.arange(4)[None], torch.arange(4)[None])
        >>> crop(grid, 1, torch.Generator().manual_seed(0)).rows_NH.tolist()
        [[1, 2, 3, 4]]

    Reference:
        He et al. 2016, arXiv:1512.03385, section 4.2 (4 pixels on 32×32 images).
    """
    shape = (2, len(grid.rows_NH), 1)
    offsets = torch.randint(-amount, amount + 1, shape, generator=generator)
    return Grid(grid.rows_NH + offsets[0], grid.cols_NW + offsets[1])


def flip(grid: Grid, amount: float, generator: Generator) -> Grid:
    """Mirror left and right with probability `amount`, drawn for each example.

    Args:
        grid: Where pixels come from so far.
        amount: Probability in ``[0, 1]``.
        generator: Source of the draws.

    Returns:
        The grid with the columns of the chosen examples in reverse.

    Example:
        >>> grid = Grid(torch.arange(3)[None], torch.arange(3)[None])
        >>> flip(grid, 1.0, torch.Generator()).cols_NW.tolist()
        [[2, 1, 0]]

    Reference:
        Krizhevsky et al. 2012, ImageNet classification with deep convolutional neural
        networks, NeurIPS, section 4.1.
    """
    chosen_N = torch.rand(len(grid.cols_NW), 1, generator=generator) < amount
    return Grid(grid.rows_NH, torch.where(chosen_N, grid.cols_NW.flip(1), grid.cols_NW))


@dataclass(frozen=True)
class Augmentation:
    """One row of `AUGMENTATIONS`.

    Args:
        function: Maps a grid, an amount and a generator to a grid.
        summary: What it does, in one line.
        reference: Where it was published.
    """

    function: Callable[[Grid, Any, Generator], Grid]
    summary: str
    reference: str


AUGMENTATIONS = {
    "crop": Augmentation(
        crop, "random crop after padding with zeros", "He et al. 2016, arXiv:1512.03385"
    ),
    "flip": Augmentation(
        flip, "random mirror image", "Krizhevsky et al. 2012, NeurIPS"
    ),
}
"""Name to what moves the pixels, in the order of application."""


def augmentation(crop: int = 0, flip: bool | float = False) -> Augment:
    """An augmentation of the kind that `dale.data.Split.batch` takes.

    Args:
        crop: Padding of the random crop in pixels; 0 for none.
        flip: Probability of the mirror image; True means 0.5, False none.

    Returns:
        A function of raw images ``(N, C, H, W)`` and a generator. It draws from that
        generator alone, in the order of `AUGMENTATIONS`, and fetches the pixels once.

    Raises:
        DataError: A value is out of range. The function raises one for inputs that are
            not images.

    Example:
        >>> images = torch.arange(9, dtype=torch.uint8).reshape(1, 1, 3, 3)
        >>> augmentation(flip=1.0)(images, torch.Generator())[0, 0, 0].tolist()
        [2, 1, 0]
    """
    probability = (0.5 if flip else 0.0) if isinstance(flip, bool) else flip
    if isinstance(crop, bool) or not isinstance(crop, int) or crop < 0:
        raise DataError(f"crop is {crop!r}; expected a padding of 0 or more pixels")
    if not 0 <= probability <= 1:
        raise DataError(f"flip is {flip!r}; expected a probability in [0, 1]")
    amounts = {"crop": crop, "flip": probability}
    chosen = tuple((name, amount) for name, amount in amounts.items() if amount)

    def apply(raw: Tensor, generator: Generator) -> Tensor:
        if raw.ndim != 4:
            raise DataError(
                f"augmentation {dict(chosen)} needs images (channels, height, width); "
                f"the inputs have shape {tuple(raw.shape[1:])}"
            )
        height, width = raw.shape[2:]
        grid = Grid(
            torch.arange(height).expand(len(raw), -1),
            torch.arange(width).expand(len(raw), -1),
        )
        for name, amount in chosen:
            grid = AUGMENTATIONS[name].function(grid, amount, generator)
        return fetch(raw, grid, crop)

    return apply if chosen else compose()


def compose(*augments: Augment) -> Augment:
    """Augmentations one after the other, with one generator.

    Args:
        augments: From the first applied to the last; none leaves inputs as they are.

    Returns:
        Their composition.

    Example:
        >>> halve = lambda raw, generator: raw / 2
        >>> compose(halve, halve)(torch.tensor([[4.0]]), torch.Generator()).item()
        1.0
    """

    def apply(raw: Tensor, generator: Generator) -> Tensor:
        for augment in augments:
            raw = augment(raw, generator)
        return raw

    return apply


def fetch(raw: Tensor, grid: Grid, margin: int) -> Tensor:
    """The pixels that a grid asks for, by one gather.

    ``result[n, c, i, j] = raw[n, c, rows[n, i], cols[n, j]]``, and 0 outside the image.

    Args:
        raw: ``(N, C, H, W)`` of any type; not changed.
        grid: Positions in ``[−margin, H + margin)`` and ``[−margin, W + margin)``.
        margin: How far positions reach outside the image.

    Returns:
        A new tensor of the shape and type of `raw`.

    Example:
        >>> images = torch.tensor([[[[1, 2], [3, 4]]]])
        >>> grid = Grid(torch.tensor([[1, 2]]), torch.tensor([[0, 1]]))
        >>> fetch(images, grid, 1)[0, 0].tolist()
        [[3, 4], [0, 0]]
    """
    count, channels = raw.shape[:2]
    padded = F.pad(raw, (margin,) * 4) if margin else raw
    stride = padded.shape[3]
    # one flat position per pixel: four times as fast as an index for each axis
    starts_NH = (grid.rows_NH + margin) * stride + margin
    flat = (starts_NH[:, :, None] + grid.cols_NW[:, None, :]).reshape(count, 1, -1)
    pixels = padded.reshape(count, channels, -1)
    return pixels.gather(2, flat.expand(-1, channels, -1)).reshape(raw.shape)
