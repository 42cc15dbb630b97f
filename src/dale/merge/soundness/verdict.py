"""From what was measured to words, with the thresholds in one place."""

from collections.abc import Sequence
from typing import Literal

from dale.merge.soundness.barrier import Barrier
from dale.merge.soundness.measure import TensorCheck

Level = Literal["sound", "doubtful", "broken"]

THRESHOLDS: dict[str, float] = {
    "norm_low": 0.9,
    "norm_high": 1.1,
    "tensor_low": 0.5,
    "tensor_high": 2.0,
    "conflict": 0.9,
    "barrier": 0.1,
    "barrier_floor": 0.02,
}
"""Where a merge becomes doubtful: the length of the whole network, and of one tensor,
over that of the models; sign conflicts over what coins would give; the height of a
barrier over the mean loss of its ends, and in nats or whatever the loss is in."""


def findings(
    tensors: Sequence[TensorCheck],
    norm_ratio: float | None,
    conflict: tuple[float, float] | None,
    barriers: Sequence[Barrier],
    labels: Sequence[str],
) -> tuple[Level, tuple[str, ...]]:
    """A level, and one sentence for each thing that led to it.

    Example:
        >>> findings([TensorCheck("w", 4, 4, 1)], 1.0, None, [], ["a"])
        ('broken', ("NaN or infinite: 1 of 4 elements of 'w'",))
    """
    broken = [
        f"NaN or infinite: {t.not_finite} of {t.elements} elements of {t.name!r}"
        for t in tensors
        if t.not_finite
    ]
    doubts = [
        *_length(norm_ratio),
        *_lengths(tensors),
        *_signs(conflict),
        *(line for one in barriers for line in _height(one, labels)),
    ]
    if broken:
        return "broken", (*broken, *doubts)
    if doubts:
        return "doubtful", tuple(doubts)
    return "sound", (_praise(conflict, barriers),)


def _length(ratio: float | None) -> list[str]:
    low, high = THRESHOLDS["norm_low"], THRESHOLDS["norm_high"]
    if ratio is None or low <= ratio <= high:
        return []
    if ratio < low:
        why = "the models point in different directions and cancel out"
    else:
        why = "task vectors add up to more than any model moved"
    return [
        f"the network is {ratio:.2f} times as long as its models, outside "
        f"{low} to {high}: {why}"
    ]


def _lengths(tensors: Sequence[TensorCheck]) -> list[str]:
    low, high = THRESHOLDS["tensor_low"], THRESHOLDS["tensor_high"]
    known = [(t.norm_ratio, t.name) for t in tensors if t.norm_ratio is not None]
    odd = sorted((abs(r - 1), r, name) for r, name in known if not low <= r <= high)
    if not odd:
        return []
    _, ratio, name = odd[-1]
    return [
        f"{len(odd)} of {len(known)} tensors are outside {low} to {high} times the "
        f"length of the models', most of all {name!r} with {ratio:.2f}"
    ]


def _signs(conflict: tuple[float, float] | None) -> list[str]:
    if conflict is None or not conflict[1]:
        return []
    found, chance = conflict
    if found <= THRESHOLDS["conflict"] * chance:
        return []
    return [
        f"models change {100 * found:.0f} % of shared elements in different "
        f"directions, where coins would give {100 * chance:.0f} %: their task vectors "
        "have nothing in common, and a mean dilutes each; TIES, Fisher or RegMean may "
        "do better"
    ]


def _height(barrier: Barrier, labels: Sequence[str]) -> list[str]:
    ends = (barrier.losses[0] + barrier.losses[-1]) / 2
    limit = max(THRESHOLDS["barrier_floor"], THRESHOLDS["barrier"] * abs(ends))
    if barrier.height <= limit:
        return []
    return [
        f"between {labels[barrier.model]} and the merged network the loss rises by "
        f"{barrier.height:.3g}, more than {limit:.3g}: they do not share a valley"
    ]


def _praise(conflict: tuple[float, float] | None, barriers: Sequence[Barrier]) -> str:
    parts = ["every number is finite and lengths are those of the models"]
    if conflict is not None:
        parts.append("changes agree in sign more often than coins")
    if barriers:
        parts.append("no barrier lies between the models and the merged network")
    return "; ".join(parts)
