"""A walk over the training examples, for statistics of normalisation."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from dale.data import Data, training_split
from dale.keys import key
from dale.train.batches import Batches
from dale.train.recipe import Recipe


def statistics_batches(
    data: Data,
    recipe: Recipe,
    seed: int,
    model: nn.Module,
    rows_N: Tensor | None = None,
    unlabelled: bool = False,
) -> Iterator[Tensor]:
    """One walk over the training examples, mixed, without augmentation.

    Args:
        data: The data.
        recipe: For the size of the batches.
        seed: Of the order.
        model: The network that will see them; they are put on its device.
        rows_N: Rows to walk over in place of every row once.
        unlabelled: Whether it goes over those without a label too.

    Yields:
        Inputs.
    """
    split = training_split(data, unlabelled)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    batches = Batches(len(split), recipe.batch)
    generator = torch.Generator().manual_seed(key(seed, "statistics"))
    order = torch.randperm(len(split), generator=generator)
    order = order if rows_N is None else rows_N[order]
    for index in range(batches.per_epoch):
        start, end = batches.bounds(index)
        yield split.batch(order[start:end]).to(device)
