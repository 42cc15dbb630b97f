"""Other shares of the classes, and classes that were never seen.

Shape suffixes: N examples, C classes.
"""

from collections.abc import Sequence
from math import floor, isfinite
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from dale.errors import DataError


def resample_priors(
    targets_N: Tensor, priors_C: Tensor | Sequence[float], generator: Generator
) -> Tensor:
    """Positions of the largest subset with given shares of the classes.

    The subset is as large as the scarcest class allows without repeating an example,
    ``n = min_c n_c / q_c`` over the classes with ``q_c > 0``; class c gives ``n q_c``,
    rounded so that the sum fits (largest remainders first), drawn at random. Within a
    class nothing changes: this is label shift and nothing else.

    Args:
        targets_N: Integer classes in [0, C), shape (N,).
        priors_C: Shares q of the classes, >= 0; divided by their sum.
        generator: Source of the draws.

    Returns:
        Positions, int64, ascending, without repeats.

    Raises:
        DataError: Impossible shares; a label that has none; or a class that is asked
            for and does not occur.

    Example:
        >>> targets = torch.tensor([0, 0, 0, 0, 1, 1, 1])
        >>> chosen = resample_priors(targets, [0.25, 0.75], torch.Generator())
        >>> targets[chosen].tolist()
        [0, 1, 1, 1]
    """
    shares = _shares(priors_C)
    if len(targets_N) and not 0 <= int(targets_N.min()) <= int(targets_N.max()) < len(
        shares
    ):
        raise DataError(
            f"priors_C has {len(shares)} shares; the targets lie between "
            f"{int(targets_N.min())} and {int(targets_N.max())}"
        )
    counts = torch.bincount(targets_N.flatten(), minlength=len(shares)).tolist()
    missing = [c for c, share in enumerate(shares) if share > 0 and not counts[c]]
    if missing:
        raise DataError(f"no example of the classes {missing}, which have a share")
    size = min(n / share for n, share in zip(counts, shares, strict=True) if share > 0)
    chosen = []
    for c, take in enumerate(_rounded([size * share for share in shares], counts)):
        positions = (targets_N == c).nonzero().flatten().cpu()
        chosen.append(positions[torch.randperm(counts[c], generator=generator)[:take]])
    return torch.cat(chosen).sort().values


class Novelty(NamedTuple):
    """A split into classes that are known and classes that are new.

    Args:
        known_N: Positions of the examples of known classes, ascending.
        novel_N: Positions of the examples of held-out classes, ascending.
        classes: The known classes; the new label of a class is its position here.
        known_targets_N: New labels of the known examples, from 0 without gaps.
    """

    known_N: Tensor
    novel_N: Tensor
    classes: tuple[int, ...]
    known_targets_N: Tensor


def hold_out_classes(
    targets_N: Tensor, held_out: Sequence[int], classes: int | None = None
) -> Novelty:
    """Set whole classes apart, to ask later whether a network notices them as new.

    Args:
        targets_N: Integer classes, shape (N,).
        held_out: The classes to set apart.
        classes: Number of classes C; the largest label + 1 by default.

    Returns:
        The positions of both kinds, and labels for the known.

    Raises:
        DataError: No class is held out, a class is named twice or does not exist, or
            fewer than two stay known.

    Example:
        >>> parts = hold_out_classes(torch.tensor([0, 1, 2, 3, 3]), [1])
        >>> parts.known_N.tolist(), parts.novel_N.tolist()
        ([0, 2, 3, 4], [1])
        >>> parts.classes, parts.known_targets_N.tolist()
        ((0, 2, 3), [0, 1, 2, 2])
    """
    total = int(targets_N.max()) + 1 if classes is None else classes
    if not held_out or len(set(held_out)) != len(held_out):
        raise DataError(f"held_out is {list(held_out)}; expected different classes")
    unknown = sorted(c for c in held_out if not 0 <= c < total)
    if unknown:
        raise DataError(f"held_out names {unknown}; the classes are 0 to {total - 1}")
    known = tuple(c for c in range(total) if c not in held_out)
    if len(known) < 2:
        raise DataError(
            f"{len(known)} of {total} classes stay known; expected 2 or more"
        )
    labels_C = torch.full((total,), -1, dtype=torch.int64)
    labels_C[list(known)] = torch.arange(len(known))
    labels_N = labels_C[targets_N.cpu().long()]
    known_N = (labels_N >= 0).nonzero().flatten()
    novel_N = (labels_N < 0).nonzero().flatten()
    return Novelty(known_N, novel_N, known, labels_N[known_N])


def _shares(priors_C: Tensor | Sequence[float]) -> list[float]:
    if isinstance(priors_C, Tensor):
        priors_C = priors_C.flatten().double().tolist()
    values = [float(value) for value in priors_C]
    if len(values) < 2 or not all(isfinite(v) and v >= 0 for v in values):
        raise DataError(f"priors_C is {values}; expected at least 2 shares >= 0")
    if not sum(values):
        raise DataError(f"priors_C is {values}; expected a positive sum")
    return [value / sum(values) for value in values]


def _rounded(ideals: list[float], counts: list[int]) -> list[int]:
    """Whole numbers of the same sum, the largest remainders rounded up first."""
    # 2.9999999999999996 is 3 examples
    taken = [min(floor(x + 1e-9), n) for x, n in zip(ideals, counts, strict=True)]
    missing = floor(sum(ideals) + 1e-9) - sum(taken)
    order = sorted(range(len(ideals)), key=lambda c: taken[c] - ideals[c])
    for c in order[:missing]:
        taken[c] += 1
    return taken
