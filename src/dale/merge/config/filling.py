"""The settings of every tensor: which value of which parameter holds for it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dale.errors import DaleError, InputError
from dale.merge.config.findings import Findings
from dale.merge.config.slots import Slot
from dale.merge.config.taking import Taken, taken
from dale.merge.config.values import Case, Scalar, Value, value_at
from dale.merge.engine import check, settings_of
from dale.merge.method import parameters
from dale.merge.table import METHODS

_STAND_IN = 1.0
"""For a value that is missing, so that the others can still be checked."""


class Filler:
    """From parameters to the settings of a method's function.

    Args:
        method: A name in `dale.merge.METHODS`.
        findings: For values that are missing, of the wrong kind or out of range.
    """

    def __init__(self, method: str, findings: Findings) -> None:
        self.method, self.row, self.findings = method, METHODS[method], findings
        self._checked: dict[str, bool] = {}
        self._measured: dict[str, None] = {}
        self._filters: dict[tuple[str, str], bool] = {}
        self._beyond: dict[str, float] = {}

    def settings(self, slot: Slot) -> dict[str, Any] | None:
        """Of one tensor, checked; None if there is a problem, which is told."""
        found: dict[str, Any] = {}
        whole = True
        for one in taken(self.method).values():
            try:
                value = self._own(one, slot) if one.own else self._shared(one, slot)
            except InputError as error:
                self.findings.problem(f"{slot.piece.where}: {error}")
                missing = one.required and not one.own
                value, whole = one.kind(_STAND_IN) if missing else None, False
            if value is not None:
                found[one.setting] = value
        self._heed(slot)
        if self.method == "slerp" and not 0 <= found.get("t", 0) <= 1:
            where = slot.piece.where
            farthest = self._beyond.get(where, 0.5), found["t"]
            self._beyond[where] = max(farthest, key=lambda t: abs(t - 0.5))
        whole = whole and self._given(slot)
        return found if self._accepted(slot, found) and whole else None

    def finish(self) -> None:
        """Check what must be the same for all tensors."""
        if len(self._measured) > 1 and self.row.measure is not None:
            names = ", ".join(sorted(parameters(self.row.measure)))
            self.findings.problem(
                f"{self.method} looks at all tensors at once: {names} must be the same "
                "for all of them"
            )
        for where, t in self._beyond.items():
            self.findings.note(
                f"{where}: t is {t:g} at its farthest; outside of 0 to 1 slerp goes "
                "beyond the models"
            )
        for (name, part), held in self._filters.items():
            if not held:
                self.findings.note(f"{name}: no tensor has {part!r} in its name")

    def _heed(self, slot: Slot) -> None:
        """Remember which filters hold for any tensor."""
        piece = slot.piece
        pairs = [(scope, slot.name) for scope in piece.scopes]
        for entrant, name in zip(piece.entrants, slot.names_K, strict=False):
            pairs.append((entrant.parameters, name))
        for scope, name in pairs:
            for parameter, value in scope.items():
                for case in value if isinstance(value, tuple) else ():
                    if isinstance(case, Case) and case.filter is not None:
                        key = parameter, case.filter
                        held = self._filters.get(key, False) or case.holds(name)
                        self._filters[key] = held

    def _shared(self, one: Taken, slot: Slot) -> Any:
        value = _lookup(one.name, slot.piece.scopes, slot.name, slot.t)
        if value is not None:
            return one.cast(value)
        return one.kind(_STAND_IN) if one.required else None

    def _own(self, one: Taken, slot: Slot) -> Any:
        """One value, or one for each model; None if none of them has any."""
        found = [
            None if value is None else one.cast(value)
            for _, value in self._values(one, slot)
        ]
        if all(value is None for value in found) and not one.required:
            return None
        default = _STAND_IN if one.required else settings_of(self.row)[one.setting]
        default = getattr(default, "default", default)
        numbers = [default if value is None else value for value in found]
        return numbers[0] if one.setting == "scale" else tuple(numbers)

    def _values(self, one: Taken, slot: Slot) -> Iterator[tuple[str, Scalar | None]]:
        """The name of every model, and its value."""
        piece = slot.piece
        for entrant, name in zip(piece.entrants, slot.names_K, strict=False):
            scopes = entrant.parameters, *piece.scopes
            yield entrant.model.name, _lookup(one.name, scopes, name, slot.t)

    def _given(self, slot: Slot) -> bool:
        """Whether all that must be given is."""
        whole = True
        for one in (one for one in taken(self.method).values() if one.required):
            if one.own:
                lost = [
                    name for name, value in self._values(one, slot) if value is None
                ]
            else:
                value = _lookup(one.name, slot.piece.scopes, slot.name, slot.t)
                lost = [slot.piece.where] if value is None else []
            for name in lost:
                line = f"{name}: {self.method} needs {one.name}, missing for"
                self.findings.about(line, slot.name)
            whole = whole and not lost
        return whole

    def _accepted(self, slot: Slot, settings: Mapping[str, Any]) -> bool:
        """Whether the method takes these settings; every combination is tried once."""
        count, base = len(slot.piece.entrants), slot.piece.base is not None
        fewest, most = self.row.models
        if not slot.piece.whole and not fewest <= count <= (most or count):
            return False
        key = f"{sorted(settings.items())!r} {count} {base}"
        if key not in self._checked:
            self._checked[key] = True
            try:
                check(self.method, settings, count, base)
            except DaleError as error:
                self._checked[key] = False
                self.findings.problem(f"{slot.piece.where}: {error}")
            if self.row.measure is not None:
                mine = {n: settings.get(n) for n in parameters(self.row.measure)}
                self._measured.setdefault(repr(mine))
        return self._checked[key]


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
