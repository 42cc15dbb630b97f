"""What the figures of a merge say, in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import median
from typing import Literal

from dale.merge.barrier import Barrier
from dale.merge.row import TensorRow

Verdict = Literal["sound", "doubtful", "broken"]

_HEADLINES = {
    "sound": "Nothing speaks against this merge.",
    "doubtful": "Test this merge before you use it.",
    "broken": "This merge is broken.",
}
_FAR = 10.0  # a tensor so many times larger or smaller than the inputs' is broken
_NEAR = 1.1  # matrices whose median is within this factor are as large as the inputs'
_AGAINST = -0.2  # cosine of task vectors that pull against each other
_RELATED = 0.5  # cosine of weights with a common ancestor
_RISE = 0.1  # a barrier worth a word, as a share of the larger loss at its ends
_SHOWN = 3


@dataclass(frozen=True)
class Judgement:
    """A verdict and what it rests on.

    Attributes:
        verdict: ``"sound"``, ``"doubtful"`` or ``"broken"``.
        headline: The verdict in one sentence.
        reasons: What speaks against the merge, the worst first, and then for it.
        against: How many of them speak against it.
    """

    verdict: Verdict
    headline: str
    reasons: tuple[str, ...]
    against: int = 0


def judged(
    rows: Sequence[TensorRow],
    cosines_KK: Sequence[Sequence[float]],
    based: bool,
    barriers: Sequence[Barrier] = (),
    labels: Sequence[str] = (),
) -> Judgement:
    """Put figures into words.

    A merge is *broken* when an element is NaN, or became infinite, when a tensor is
    more than ten times larger or smaller than those of the inputs, or when the loss is
    more than twice that of the worst input. It is *doubtful* when an input has a NaN
    that the result has not, when the result has a +∞ from an input, when the matrices'
    median norm is off by more than a tenth, when running variances are as a mixture's
    must be but more than ten times the inputs', when two models pull against each other
    (cosine of task vectors below −0.2) or are strangers (cosine of weights below 0.5),
    when a path to an input crosses a barrier
    of more than a tenth of the larger loss at its ends, or when the loss is above that
    of the worst input. The thresholds are rules of thumb; data decides.

    Args:
        rows: One for each tensor.
        cosines_KK: Between task vectors, or weights.
        based: The cosines are those of task vectors.
        barriers: From each input to the result.
        labels: What to call the inputs and, last, the base.

    Returns:
        The verdict and its reasons.

    Example:
        >>> judged([], ((1.0, -0.5), (-0.5, 1.0)), based=True).reasons[0]
        'two models pull against each other: their cosine is -0.50'
    """
    count = len(cosines_KK)
    known = labels or (*(f"input {k + 1}" for k in range(count)), "the base")
    broken = [*_values(rows), *_sizes(rows), *_losses(barriers, 2.0)]
    doubts = [
        *_spoilt(rows, known),
        *_infinite(rows),
        *_shrunk(rows),
        *_spread(rows),
        *_directions(cosines_KK, based),
        *(() if broken else _losses(barriers, 1.0)),
        *_paths(barriers, known),
    ]
    verdict: Verdict = "broken" if broken else "doubtful" if doubts else "sound"
    calm = (
        *_finite(rows),
        *(("no barrier on the way to any input",) if _flat(barriers) else ()),
    )
    against = (*broken, *doubts)
    return Judgement(
        verdict, _HEADLINES[verdict], (*against, *calm), against=len(against)
    )


def _values(rows: Sequence[TensorRow]) -> list[str]:
    """What became NaN or infinite, or was NaN before."""
    bad = [row for row in rows if row.not_finite > row.not_finite_before or row.nan]
    if not bad:
        return []
    count = sum(row.not_finite for row in bad)
    noun = "element is" if count == 1 else "elements are"
    return [f"{count} {noun} NaN or infinite, in {_named(bad)}"]


def _spoilt(rows: Sequence[TensorRow], labels: Sequence[str]) -> list[str]:
    """Inputs with values that are not a number."""
    found = []
    for place, label in enumerate(labels):
        bad = [row for row in rows if place in row.nan_in]
        if bad:
            found.append(f"{label} has values that are NaN, in {_named(bad)}")
    return found if len(found) <= _SHOWN else [*found[:_SHOWN], "and more inputs do"]


def _infinite(rows: Sequence[TensorRow]) -> list[str]:
    """What was +∞ before; a mask is −∞."""
    bad = [row for row in rows if row.above and not _values([row])]
    if not bad:
        return []
    count = sum(row.above for row in bad)
    noun = "element is" if count == 1 else "elements are"
    return [f"{count} {noun} +∞, as in an input, in {_named(bad)}"]


def _finite(rows: Sequence[TensorRow]) -> list[str]:
    odd = [row for row in rows if row.not_finite]
    if not odd:
        return ["all values are finite"]
    if _values(rows) or _infinite(rows):
        return []
    return [f"infinite values only where inputs have them, in {_named(odd)}"]


def _sizes(rows: Sequence[TensorRow]) -> list[str]:
    sized = [row for row in _sized(rows) if not row.mixed]
    bad = [row for row in sized if not 1 / _FAR <= row.ratio <= _FAR]
    if not bad:
        return []
    worst = max(bad, key=lambda row: max(row.ratio, 1 / max(row.ratio, 1e-9)))
    return [
        f"{_named(bad)}: far from the inputs in size; the norm of {worst.name!r} is "
        f"{worst.ratio:.3g} of theirs"
    ]


def _spread(rows: Sequence[TensorRow]) -> list[str]:
    """Variances of mixtures that are mostly between the parts and not in them."""
    bad = [row for row in _sized(rows) if row.mixed and row.ratio > _FAR]
    if not bad:
        return []
    worst = max(row.ratio for row in bad)
    return [
        f"{_named(bad)}: up to {worst:.3g} times the inputs', as their running means "
        "lie far apart; right for a mixture of them, but measure statistics on data"
    ]


def _sized(rows: Sequence[TensorRow]) -> list[TensorRow]:
    """Those whose size says something: nothing was lost to NaN or infinities."""
    return [row for row in rows if isfinite(row.ratio) and not _values([row])]


def _shrunk(rows: Sequence[TensorRow]) -> list[str]:
    ratios = [r.ratio for r in _sized(rows) if len(r.shape) > 1]
    if not ratios or 1 / _NEAR <= median(ratios) <= _NEAR:
        return []
    way = "smaller" if median(ratios) < 1 else "larger"
    why = "; the mean of unrelated networks shrinks like this" if way[0] == "s" else ""
    return [
        f"matrices are {way} than the inputs': the median norm ratio is "
        f"{median(ratios):.2f}{why}"
    ]


def _directions(cosines_KK: Sequence[Sequence[float]], based: bool) -> list[str]:
    count = len(cosines_KK)
    pairs = [cosines_KK[i][j] for i in range(count) for j in range(i)]
    low = min((value for value in pairs if isfinite(value)), default=1.0)
    if based and low < _AGAINST:
        return [f"two models pull against each other: their cosine is {low:.2f}"]
    if not based and low < _RELATED:
        return [
            f"two inputs are strangers: the cosine of their weights is {low:.2f}; "
            "align them first"
        ]
    return []


def _losses(barriers: Sequence[Barrier], factor: float) -> list[str]:
    """The loss at the end of the paths against that at the worst beginning."""
    if not barriers:
        return []
    end, worst = barriers[0].loss_T[-1], max(path.loss_T[0] for path in barriers)
    if isfinite(end) and end <= factor * worst:
        return []
    return [f"the loss is {end:.4g}, that of the worst input {worst:.4g}"]


def _paths(barriers: Sequence[Barrier], labels: Sequence[str]) -> list[str]:
    found = []
    for label, path in zip(labels, barriers, strict=False):
        if _high(path):
            found.append(
                f"the loss rises by {path.height:.3g} on the way from {label}, "
                f"at t = {path.at:.2f}"
            )
    return found[:_SHOWN]


def _high(path: Barrier) -> bool:
    return path.height > _RISE * max(path.loss_T[0], path.loss_T[-1])


def _flat(barriers: Sequence[Barrier]) -> bool:
    return bool(barriers) and not any(map(_high, barriers))


def _named(rows: Sequence[TensorRow]) -> str:
    shown = ", ".join(repr(row.name) for row in rows[:_SHOWN])
    more = len(rows) - _SHOWN
    return shown if more <= 0 else f"{shown} and {more} more"
