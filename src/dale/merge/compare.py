"""Tensors of a merge beside those they were made from: their sums.

What is in memory at a time is one tensor of one model, and a sample of it of every
model. Shape suffixes: K, models; N, those of them that have the tensor; D, elements of
a sample.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan

import torch
from torch import Tensor

from dale.merge.mixtures import Mixtures, statistic
from dale.merge.row import TensorRow
from dale.merge.sampling import Scanned, scanned
from dale.weights.match import is_inexact

Read = Callable[[], Tensor]
"""Reads a tensor."""


@dataclass(frozen=True)
class Seen:
    """A tensor of the result and what stands beside it.

    Attributes:
        mine: That of the result.
        others: Those of the models, by their place.
        origin: That of the common ancestor, if there is one.
        whole: Whether all could be compared.
        more: What else it may be a mixture of.
    """

    mine: Scanned
    others: dict[int, Scanned]
    origin: Scanned | None
    whole: bool
    more: tuple[Scanned, ...] = ()


class Sums:
    """Sums over all tensors; those of a sample stand for the whole tensor.

    Args:
        models: K.
        based: Whether there is a common ancestor. Cosines and conflicts are of task
            vectors then, and tensors that it lacks do not count.
        sample: Elements of a tensor that are kept, at most.

    Attributes:
        apart: Names that were looked at alone.
    """

    def __init__(self, models: int, based: bool, sample: int) -> None:
        self._models, self._based, self._sample = models, based, sample
        self._gram_KK = torch.zeros(models, models, dtype=torch.float64)
        self._lengths_KK = torch.zeros(models, models, dtype=torch.float64)
        self._sizes_K = torch.zeros(models, dtype=torch.float64)
        self._steps_K = torch.zeros(models, dtype=torch.float64)
        self._conflicts, self._changed = 0.0, 0.0
        self._seen, self._whole = 0, 0
        self._mixtures = Mixtures()
        self._rows: list[TensorRow] = []
        self.apart: list[str] = []

    def add(
        self,
        name: str,
        tensor: Tensor,
        inputs: Mapping[int, Read],
        base: Read | None = None,
    ) -> None:
        """Take in one tensor of the result, and those it was made from.

        Args:
            name: Of the tensor.
            tensor: That of the result. Integers and complex numbers are passed over.
            inputs: By the place of the model.
            base: That of the common ancestor, if it has one.
        """
        self.take(name, tensor, self.look(tensor, inputs, base))

    def look(
        self,
        tensor: Tensor,
        inputs: Mapping[int, Read],
        base: Read | None = None,
        spreads: bool = False,
        more: Sequence[Read] = (),
    ) -> Seen | None:
        """Scan one tensor and those it was made from, which threads may do at once.

        Args:
            tensor: That of the result.
            inputs: By the place of the model.
            base: That of the common ancestor, if it has one.
            spreads: What is not finite in an input is not finite in the result, so a
                sample of each input is enough where the result is.
            more: Further parts of a mixture, which no figure is about.
        """
        if not _comparable(tensor):
            return None
        mine = scanned(tensor, self._sample)
        deep = mine.not_finite > 0 or not spreads
        found = {k: self._beside(tensor, read, deep) for k, read in inputs.items()}
        others = {k: other for k, other in found.items() if other is not None}
        origin = None if base is None else self._beside(tensor, base, deep)
        lost = base is not None and origin is None
        whole = bool(others) and len(others) == len(found) and not lost
        further = (self._beside(tensor, read, deep=False) for read in more)
        return Seen(mine, others, origin, whole, tuple(filter(None, further)))

    def take(self, name: str, tensor: Tensor, seen: Seen | None) -> None:
        """Take in one tensor that was looked at."""
        if seen is None:
            return
        mine, others, origin = seen.mine, seen.others, seen.origin
        if not seen.whole:
            self.alone(name, tensor, mine)
            return
        everyone = [*others.values(), *([] if origin is None else [origin])]
        if mixed := statistic(name):
            parts = [part.sample_D for part in (*everyone, *seen.more)]
            self._mixtures.take(name, mine.sample_D, torch.stack(parts))
        self._seen += mine.sample_D.numel()
        self._whole += tensor.numel()
        factor = tensor.numel() / max(mine.sample_D.numel(), 1)
        figures = self._figures(factor, mine, others, origin, counts=not mixed)
        ratio, conflict, kept = figures
        bad = [k for k, other in others.items() if other.nan]
        bad += [self._models] if origin is not None and origin.nan else []
        self._rows.append(
            TensorRow(
                name=name,
                shape=tuple(tensor.shape),
                ratio=ratio,
                conflict=conflict,
                kept=kept,
                not_finite=mine.not_finite,
                not_finite_before=max(o.not_finite for o in everyone),
                nan=mine.nan,
                nan_in=tuple(bad),
                above=mine.above,
            )
        )

    def alone(self, name: str, tensor: Tensor, found: Scanned | None = None) -> None:
        """Take in a tensor that has nothing beside it."""
        if not _comparable(tensor):
            return
        found = found or scanned(tensor, self._sample)
        self.apart.append(name)
        shape = tuple(tensor.shape)
        self._rows.append(
            TensorRow(name, shape, nan, nan, nan, found.not_finite, 0, found.nan)
        )

    def _beside(self, tensor: Tensor, read: Read, deep: bool) -> Scanned | None:
        """An input, if it has the shape of the result."""
        other = read()
        if other.shape != tensor.shape or not _comparable(other):
            return None
        return scanned(other, self._sample, deep)

    def _figures(
        self,
        factor: float,
        mine: Scanned,
        others: Mapping[int, Scanned],
        origin: Scanned | None,
        counts: bool,
    ) -> tuple[float, float, float]:
        """Norm ratio, sign conflicts, and the task vector kept.

        They count towards the sums of all tensors, unless it is a statistic.
        """
        places_N = torch.tensor([*others])
        inputs_ND = torch.stack([other.sample_D for other in others.values()])
        sizes_N = inputs_ND.square().sum(1)
        steps_N = (mine.sample_D - inputs_ND).square().sum(1)
        factor = factor if counts else 0.0
        self._sizes_K[places_N] += factor * sizes_N
        self._steps_K[places_N] += factor * steps_N
        conflict = kept = nan
        deltas_ND = inputs_ND
        if origin is not None:
            deltas_ND = inputs_ND - origin.sample_D
            clashing, changed = _clashes(deltas_ND)
            conflict = clashing / changed if changed else 0.0
            self._conflicts += factor * clashing
            self._changed += factor * changed
            moved = float((mine.sample_D - origin.sample_D).norm())
            kept = _ratio(moved, deltas_ND.norm(dim=1))
        if self._based == (origin is not None):
            gram_NN = factor * (deltas_ND @ deltas_ND.T)
            at = places_N[:, None], places_N[None, :]
            self._gram_KK[at] += gram_NN
            self._lengths_KK[at] += gram_NN.diagonal()[:, None].expand_as(gram_NN)
        return _ratio(float(mine.sample_D.norm()), sizes_N.sqrt()), conflict, kept

    @property
    def rows(self) -> list[TensorRow]:
        """One for each tensor."""
        mixed = self._mixtures.names
        return [replace(row, mixed=row.name in mixed) for row in self._rows]

    @property
    def cosines_KK(self) -> tuple[tuple[float, ...], ...]:
        """Between task vectors, or weights, over the tensors that two models have.

        NaN where one of them is zero, or there is no such tensor.
        """
        lengths_KK = (self._lengths_KK * self._lengths_KK.T).sqrt()
        cosines_KK = (self._gram_KK / lengths_KK).clamp(-1, 1)
        return tuple(tuple(row) for row in cosines_KK.tolist())

    @property
    def distances_K(self) -> tuple[float, ...]:
        """Of the result from each input, relative to the input's length."""
        return tuple((self._steps_K / self._sizes_K).sqrt().tolist())

    @property
    def conflict(self) -> float:
        """Share of conflicts among what two or more models changed."""
        if not self._based:
            return nan
        return self._conflicts / self._changed if self._changed else 0.0

    @property
    def share(self) -> float:
        """Of the elements that were compared."""
        return self._seen / self._whole if self._whole else nan


def _comparable(tensor: Tensor) -> bool:
    return is_inexact(tensor) and not tensor.is_complex()


def _clashes(deltas_ND: Tensor) -> tuple[int, int]:
    """Elements whose changes differ in sign, and those that two or more changed."""
    clashing_D = (deltas_ND.amax(0) > 0) & (deltas_ND.amin(0) < 0)
    changed_D = torch.count_nonzero(deltas_ND, 0) > 1
    return int(clashing_D.count_nonzero()), int(changed_D.count_nonzero())


def _ratio(length: float, lengths: Tensor) -> float:
    middle = float(lengths.mean())
    return length / middle if middle > 0 else nan
