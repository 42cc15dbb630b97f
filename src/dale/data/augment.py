"""Random crops and flips: one gather per batch, on raw values.

Every geometric augmentation maps a grid of source rows and columns to another; the
values are fetched once, at the end, whatever the number of augmentations.

Shape suffixes: N examples, C channels, H height, W width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

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

    function: Callable[[Grid, int, Generator], Grid] | Callable[
        [Grid, float, Generator], Grid
    ]
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
