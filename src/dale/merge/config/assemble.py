"""From slots to jobs: types, shapes and ties of every tensor."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce

import torch

from dale.merge.config.anatomy import is_vocabulary
from dale.merge.config.filling import Filler
from dale.merge.config.findings import Findings
from dale.merge.config.schema import TYPES, MergeConfig
from dale.merge.config.slots import Slot
from dale.merge.config.vocabulary import Words
from dale.merge.job import Job, Source
from dale.merge.moments import with_moments
from dale.merge.table import METHODS


class Assembler:
    """Slots to jobs.

    Args:
        config: The configuration.
        words: Weights of every model by its identity, as it is merged: with adapters
            put on and vocabularies aligned.
        findings: For what does not fit.
    """

    def __init__(self, config: MergeConfig, words: Words, findings: Findings) -> None:
        self.method = config.merge_method
        self.findings = findings
        self._weights = words.weights
        self._cast = None if config.dtype is None else TYPES[config.dtype]
        self._out = None if config.out_dtype is None else TYPES[config.out_dtype]
        self._wanted = bool(config.tokenizer or config.tokenizer_source)
        self._aligned = words.vocabulary is not None
        self._filler = Filler(self.method, findings)

    def jobs(self, slots: Sequence[Slot]) -> list[Job]:
        """One job for every tensor; those with a problem are left out.

        Running means and variances are mixed, see `dale.merge.moments`.
        """
        found = [job for slot in slots for job in self._job(slot)]
        self._filler.finish()
        return with_moments(_tied(found))

    def _job(self, slot: Slot) -> Iterator[Job]:
        sources = []
        for entrant, name in zip(slot.piece.everyone, slot.names_K, strict=True):
            sources.append(Source(self._weights[id(entrant.model)], name))
        settings = self._filler.settings(slot)
        dtype = self._dtype(slot, sources)
        fits = self._same_shape(slot, sources)
        if settings is None or dtype is None or not fits:
            return
        base = None if slot.piece.base is None else sources.pop()
        inexact = dtype.is_floating_point or dtype.is_complex
        yield Job(
            slot.name,
            tuple(sources),
            base,
            self.method,
            settings,
            sources[0].shape,
            self._out if inexact and self._out is not None else dtype,
            self._cast,
        )

    def _dtype(self, slot: Slot, sources: Sequence[Source]) -> torch.dtype | None:
        kinds = [source.dtype for source in sources]
        inexact = [kind.is_floating_point or kind.is_complex for kind in kinds]
        if any(inexact) != all(inexact):
            self.findings.about("floating-point in one model and not in all", slot.name)
            return None
        if not inexact[0]:
            return kinds[0]
        if any(kind.is_complex for kind in kinds) and not METHODS[self.method].complex:
            self.findings.about(
                f"{self.method} cannot merge complex tensors", slot.name
            )
            return None
        if self._cast is not None:
            return self._cast
        try:
            return reduce(torch.promote_types, kinds)
        except RuntimeError:  # types of 8 bits go with no other
            shown = " and ".join(sorted({str(kind) for kind in kinds}))
            line = f"{shown} have no common type; set dtype, such as float32"
            self.findings.about(line.replace("torch.", ""), slot.name)
            return None

    def _same_shape(self, slot: Slot, sources: Sequence[Source]) -> bool:
        first, *others = sources
        whole = True
        for entrant, source in zip(slot.piece.everyone[1:], others, strict=True):
            if source.shape != first.shape:
                whole = False
                name = entrant.model.name
                self._mismatch(slot, first.shape, name, source.shape)
        return whole

    def _mismatch(
        self, slot: Slot, shape: tuple[int, ...], other: str, found: tuple[int, ...]
    ) -> None:
        first = slot.piece.everyone[0].model.name
        words = is_vocabulary(slot.name) and shape[1:] == found[1:] and shape and found
        if words and self._wanted and not self._aligned:
            return  # why they could not be aligned is told already
        if words and not self._aligned:
            self.findings.about(
                f"vocabularies differ, {shape[0]} rows in {first} and {found[0]} in "
                f"{other}; set tokenizer_source to base, union or a model",
                slot.name,
            )
        else:
            line = f"{other}: shape {found}, but {shape} in {first}"
            self.findings.about(line, slot.name)


def _tied(jobs: list[Job]) -> list[Job]:
    """Jobs whose sources are tied in every model, as one."""
    groups: dict[object, list[Job]] = {}
    for job in jobs:
        everyone = [*job.sources_K, *([] if job.base is None else [job.base])]
        tied = all(source.entry.tie is not None for source in everyone)
        if tied:
            places = tuple((id(s.weights), s.entry.tie) for s in everyone)
            groups.setdefault((places, repr(job.settings)), []).append(job)
        else:
            groups[job.name] = [job]
    return [_one(group) for group in groups.values()]


def _one(group: Sequence[Job]) -> Job:
    first, *others = group
    return replace(first, ties=tuple(job.name for job in others)) if others else first
