"""Folds for cross-validation: every example is held out once.

Shape suffixes: N examples, C classes, K folds.
"""

from dataclasses import replace

import torch
from torch import Tensor

from dale.data.data import Data, Split
from dale.errors import DataError
from dale.keys import key


def make_folds(
    targets_N: Tensor, folds: int, seed: int = 0, groups_N: Tensor | None = None
) -> Tensor:
    """Give each example a fold, so that each class keeps its share in every fold.

    The examples of a class are put in an order drawn from the seed and the class, and
    dealt to the folds in turn, class after class: the sizes of two folds differ by one
    at most, and so does what they have of a class.

    With groups, no group is divided. The largest come first; each goes to the fold in
    which the squared numbers of its classes, as shares of the class, add up to least.

    Args:
        targets_N: int64 classes.
        folds: K, at least 2.
        seed: Of the order within each class.
        groups_N: int64; examples with the same number stay together, such as those
            of one patient.

    Returns:
        int64 folds, from 0 to K − 1, for each example.

    Raises:
        DataError: There are too few examples or groups, or a class or its only group
            would be missing where its fold is held out.

    Example:
        >>> make_folds(torch.tensor([0, 0, 0, 1, 1, 1]), 3).bincount().tolist()
        [2, 2, 2]
        >>> targets, groups = torch.tensor([0, 1, 0, 1]), torch.tensor([7, 7, 8, 8])
        >>> make_folds(targets, 2, groups_N=groups).tolist()
        [1, 1, 0, 0]
    """
    count = len(targets_N) if groups_N is None else len(groups_N.unique())
    if groups_N is not None and groups_N.shape != targets_N.shape:
        raise DataError(
            f"{len(groups_N)} groups for {len(targets_N)} examples; expected one each"
        )
    if not 2 <= folds <= count:
        what = "examples" if groups_N is None else "groups"
        raise DataError(f"{folds} folds of {count} {what}; expected from 2 to {count}")
    if groups_N is None:
        fold_N = _dealt(targets_N, folds, seed)
    else:
        fold_N = _grouped(targets_N, groups_N, folds, seed)
    for target in targets_N.unique().tolist():
        held = fold_N[targets_N == target].unique()
        if len(held) == 1:
            raise DataError(
                f"class {target} would be missing where fold {int(held) + 1} of "
                f"{folds} is held out: all its examples are in it"
            )
    return fold_N


def fold_size(examples: int, folds: int, fold: int) -> int:
    """Examples of a fold without groups: they depend on the numbers alone.

    Example:
        >>> [fold_size(11, 3, fold) for fold in range(3)]
        [4, 4, 3]
    """
    return examples // folds + (fold < examples % folds)


def leave_out(data: Data, fold_N: Tensor, fold: int) -> tuple[Data, Split]:
    """Data without a fold of the training examples, and that fold.

    Args:
        data: Whose training split is divided; inputs stay normalised as they were.
        fold_N: The fold of each training example.
        fold: Which is left out.

    Returns:
        The data, of which only the training split is smaller, and the examples that
        are missing there.
    """
    train = data.splits["train"]
    seen, held = ((fold_N != fold).nonzero(), (fold_N == fold).nonzero())
    smaller = {**data.splits, "train": train.subset(seen.flatten())}
    return replace(data, splits=smaller), train.subset(held.flatten())


def _dealt(targets_N: Tensor, folds: int, seed: int) -> Tensor:
    order = []
    for target in targets_N.unique().tolist():
        positions = (targets_N == target).nonzero().flatten()
        generator = torch.Generator().manual_seed(key(seed, "folds", target))
        order.append(positions[torch.randperm(len(positions), generator=generator)])
    fold_N = torch.empty_like(targets_N)
    fold_N[torch.cat(order)] = torch.arange(len(targets_N)) % folds
    return fold_N


def _grouped(targets_N: Tensor, groups_N: Tensor, folds: int, seed: int) -> Tensor:
    groups, place_N = groups_N.unique(return_inverse=True)
    classes, class_N = targets_N.unique(return_inverse=True)
    counts_GC = torch.zeros(len(groups), len(classes), dtype=torch.float64)
    counts_GC.index_put_(
        (place_N, class_N), torch.ones(len(targets_N)).double(), accumulate=True
    )
    shares_GC = counts_GC / counts_GC.sum(0)
    generator = torch.Generator().manual_seed(key(seed, "folds"))
    mixed = torch.randperm(len(groups), generator=generator)
    order = mixed[counts_GC.sum(1)[mixed].argsort(descending=True, stable=True)]
    held_KC = torch.zeros(folds, len(classes), dtype=torch.float64)
    fold_G = torch.empty(len(groups), dtype=torch.int64)
    for group in order.tolist():
        share_C = shares_GC[group]
        # what the sum of squares over all folds grows by
        growth_K = ((held_KC + share_C) ** 2 - held_KC**2).sum(1)
        fold_G[group] = growth_K.argmin()
        held_KC[fold_G[group]] += share_C
    return fold_G[place_N]
