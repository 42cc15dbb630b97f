"""Statistics of a run's members for merging, measured once and kept."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from dale.data import Split
from dale.keys import key
from dale.merge import Statistics, fisher, grams, load_statistics
from dale.recipes.workbench import Workbench
from dale.store import Member

Kind = Literal["fisher", "gram"]

EXAMPLES = 1024
"""Training examples that statistics are measured on, or all if there are fewer."""
_BATCH = 256
_DIGEST = 16


def member_statistics(bench: Workbench, member: Member, kind: Kind) -> Statistics:
    """Statistics of a member on training examples, from ``statistics/`` if they are.

    Args:
        bench: The run.
        member: One of its members.
        kind: ``"fisher"``, labels sampled from the member, or ``"gram"``.

    Returns:
        The statistics.

    Raises:
        StoreError: The file is of another member or other examples.
        CorruptError: It is truncated or altered.
    """
    split, seed = bench.data.splits["train"], bench.recipe.seed
    words = f"{split.digest()}:{min(EXAMPLES, len(split))}:{seed}"
    path = statistics_path(bench.run.folder, member, kind)
    if path.exists():
        return load_statistics(path, kind=kind, model=member.digest, data=words)
    weights = bench.run.population.weights(member)
    generator = torch.Generator().manual_seed(key(seed, "merge statistics"))
    rows_N = torch.randperm(len(split), generator=generator)[:EXAMPLES]
    walk = pairs(bench, split, rows_N, _BATCH)
    if kind == "gram":
        inputs = (batch for batch, _ in walk)
        made = grams(bench.model, weights, inputs, data=words)
    else:
        made = fisher(
            bench.model, weights, walk, variant="sampled", seed=seed, data=words
        )
    path.parent.mkdir(exist_ok=True)
    made.save(path)
    return made


def statistics_path(folder: Path, member: Member, kind: Kind) -> Path:
    """Where the statistics of a member lie."""
    return folder / "statistics" / f"{member.digest[:_DIGEST]}-{kind}.safetensors"


def validation_epochs(
    bench: Workbench,
) -> Callable[[int], Iterator[tuple[Tensor, Tensor]]]:
    """The validation examples in an order of its own for every epoch."""
    split, seed = bench.split("val"), bench.recipe.seed

    def walk(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(key(seed, "learned soup", epoch))
        rows_N = torch.randperm(len(split), generator=generator)
        return pairs(bench, split, rows_N, bench.recipe.batch)

    return walk


def pairs(
    bench: Workbench, split: Split, rows_N: Tensor, batch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets of rows of a split, on the model's device."""
    device = next((p.device for p in bench.model.parameters()), torch.device("cpu"))
    for rows in rows_N.split(batch):
        yield split.batch(rows).to(device), split.targets_N[rows].to(device)
