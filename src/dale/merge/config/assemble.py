"""From slots to jobs: settings, types, shapes and ties of every tensor."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from dale.errors import DaleError, InputError
from dale.merge.config.anatomy import is_vocabulary
from dale.merge.config.findings import Findings
from dale.merge.config.schema import TYPES, MergeConfig
from dale.merge.config.slots import Slot
from dale.merge.config.taking import Taken, taken
from dale.merge.config.values import Scalar, Value, value_at
from dale.merge.engine import check, settings_of
from dale.merge.job import Job, Source
from dale.merge.method import parameters
from dale.merge.table import METHODS
from dale.weights import Weights


class Assembler:
    """Slots to jobs.

    Args:
        config: The configuration.
        weights: Of every model by its identity, as it is merged: with adapters put on
            and vocabularies aligned.
        findings: For what does not fit.
    """

    def __init__(
        self, config: MergeConfig, weights: Mapping[int, Weights], findings: Findings
    ) -> None:
        self.method = config.merge_method
        self.row = METHODS[self.method]
        self.findings = findings
        self._weights = weights
        self._cast = None if config.dtype is None else TYPES[config.dtype]
        self._out = None if config.out_dtype is None else TYPES[config.out_dtype]
        self._known: dict[str, bool] = {}
        self._measured: dict[str, None] = {}

    def jobs(self, slots: Sequence[Slot]) -> list[Job]:
        """One job for every tensor; those with a problem are left out."""
        found = [job for slot in slots for job in self._job(slot)]
        if len(self._measured) > 1:
            names = ", ".join(sorted(parameters(self.row.measure)))  # type: ignore[arg-type]
            self.findings.problem(
                f"{self.method} looks at all tensors at once: {names} must be the same "
                "for all of them"
            )
        return _tied(found)

    def _job(self, slot: Slot) -> Iterator[Job]:
        sources = []
        for entrant, name in zip(slot.piece.everyone, slot.names_K, strict=True):
            sources.append(Source(self._weights[id(entrant.model)], name))
        settings = self._settings(slot)
        dtype = self._dtype(slot, sources)
        if settings is None or dtype is None or not self._same_shape(slot, sources):
            return
        base = None if slot.piece.base is None else sources.pop()
        if not self._accepted(slot, settings, len(sources), base is not None):
            return
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

    def _settings(self, slot: Slot) -> dict[str, Any] | None:
        found: dict[str, Any] = {}
        whole = True
        for one in taken(self.method).values():
            try:
                value = self._own(one, slot) if one.own else self._shared(one, slot)
            except InputError as error:
                self.findings.problem(str(error))
                value, whole = None, False
            if value is not None:
                found[one.setting] = value
            elif one.required:
                whole = False
        return found if whole else None

    def _shared(self, one: Taken, slot: Slot) -> Any:
        value = _lookup(one.name, slot.piece.scopes, slot.name, slot.t)
        if value is None:
            if one.required:
                line = (
                    f"{slot.piece.where}: {self.method} needs {one.name}, missing for"
                )
                self.findings.about(line, slot.name)
            return None
        return one.cast(value)

    def _own(self, one: Taken, slot: Slot) -> Any:
        """One value, or one for each model; None if none of them has any."""
        piece, found = slot.piece, []
        for entrant, name in zip(piece.entrants, slot.names_K, strict=False):
            scopes = entrant.parameters, *piece.scopes
            value = _lookup(one.name, scopes, name, slot.t)
            if value is None and one.required:
                line = (
                    f"{entrant.model.name}: {self.method} needs {one.name}, missing for"
                )
                self.findings.about(line, slot.name)
                return None
            found.append(None if value is None else one.cast(value))
        if all(value is None for value in found):
            return None
        default = settings_of(self.row)[one.setting].default
        numbers = [default if value is None else value for value in found]
        single = one.setting == "scale"
        return numbers[0] if single else tuple(numbers)

    def _dtype(self, slot: Slot, sources: Sequence[Source]) -> torch.dtype | None:
        kinds = [source.dtype for source in sources]
        inexact = [kind.is_floating_point or kind.is_complex for kind in kinds]
        if any(inexact) != all(inexact):
            self.findings.about("floating-point in one model and not in all", slot.name)
            return None
        if not inexact[0]:
            return kinds[0]
        if self._cast is not None:
            return self._cast
        kind = kinds[0]
        for other in kinds[1:]:
            kind = torch.promote_types(kind, other)
        return kind

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
        if words:
            self.findings.about(
                f"vocabularies differ, {shape[0]} rows in {first} and {found[0]} in "
                f"{other}; set tokenizer_source to base, union or a model",
                slot.name,
            )
        else:
            line = f"{other}: shape {found}, but {shape} in {first}"
            self.findings.about(line, slot.name)

    def _accepted(
        self, slot: Slot, settings: Mapping[str, Any], count: int, base: bool
    ) -> bool:
        """Whether the method takes these settings; every combination is tried once."""
        fewest, most = self.row.models
        if not slot.piece.whole and not fewest <= count <= (most or count):
            return False
        key = f"{sorted(settings.items())!r} {count} {base}"
        if key not in self._known:
            self._known[key] = True
            try:
                check(self.method, settings, count, base)
            except DaleError as error:
                self._known[key] = False
                self.findings.problem(f"{slot.piece.where}: {error}")
            if self.row.measure is not None:
                mine = {n: settings.get(n) for n in parameters(self.row.measure)}
                self._measured.setdefault(repr(mine))
        return self._known[key]


def _lookup(
    parameter: str, scopes: Sequence[Mapping[str, Value]], name: str, t: float
) -> Scalar | None:
    """The first scope that has a value for this tensor."""
    for scope in scopes:
        if parameter in scope:
            value = value_at(scope[parameter], name, t)
            if value is not None:
                return value
    return None


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
