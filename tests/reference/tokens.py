"""Slow twins of vocabularies: one token of one model at a time."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor


def table(
    k: int,
    tokens: Sequence[str],
    owned_K: Sequence[Mapping[str, Tensor]],
    base: int | None,
    size: int,
) -> Tensor:
    """Rows of model k: its own, the base's, the only owner's or the mean of owners'."""
    rows = []
    for token in tokens:
        owners = [rows_of[token] for rows_of in owned_K if token in rows_of]
        if token in owned_K[k]:
            rows.append(owned_K[k][token])
        elif base is not None and token in owned_K[base]:
            rows.append(owned_K[base][token])
        else:
            rows.append(sum(owners) / len(owners))
    mean = torch.stack(rows).mean(0)
    return torch.stack([*rows, *[mean] * (size - len(rows))])


def cut(text: str, merges: Sequence[tuple[str, str]]) -> list[str]:
    """A text as byte pair encoding cuts it: the earliest pair is joined."""
    parts = list(text)
    while True:
        pairs = [*pairwise(parts)]
        known = [pair for pair in pairs if pair in merges]
        if not known:
            return parts
        best = min(known, key=merges.index)
        at = pairs.index(best)
        parts[at : at + 2] = ["".join(best)]
