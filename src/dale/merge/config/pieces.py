"""What goes into which part of the result: modules, and pieces of them.

However a configuration is written, with whole models, slices or modules, it comes to a
list of pieces: models side by side, from which layer on, with their parameters.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dale.errors import nearest
from dale.merge.config.findings import Findings
from dale.merge.config.reference import Opened
from dale.merge.config.schema import Input, MergeConfig, Reference, Slice, Span
from dale.merge.config.shelf import Shelf
from dale.merge.config.taking import EVERY, base_first, taken, unused
from dale.merge.config.values import Value
from dale.merge.table import METHODS

Scopes = tuple[Mapping[str, Value], ...]
"""Parameters, those that come first count first."""


@dataclass(frozen=True)
class Entrant:
    """One model of a piece.

    Attributes:
        model: Which.
        parameters: Its own.
        first: The first of its layers.
    """

    model: Opened
    parameters: Mapping[str, Value]
    first: int = 0


@dataclass(frozen=True)
class Piece:
    """Models merged side by side.

    Attributes:
        where: Its place in the configuration.
        entrants: The models, without the base if the method takes one.
        base: The base, if the method takes one.
        count: How many layers; None for all of whole models.
        scopes: Parameters that are no model's own.
        whole: All models could be opened.
    """

    where: str
    entrants: tuple[Entrant, ...]
    base: Entrant | None
    count: int | None
    scopes: Scopes
    whole: bool = True

    @property
    def everyone(self) -> tuple[Entrant, ...]:
        """All models, the base last."""
        return (*self.entrants, *([] if self.base is None else [self.base]))


@dataclass(frozen=True)
class Section:
    """A module of the result.

    Attributes:
        name: In the configuration; None if there are no modules.
        pieces: One after the other, by layers.
    """

    name: str | None
    pieces: tuple[Piece, ...]


def sections(config: MergeConfig, shelf: Shelf, findings: Findings) -> list[Section]:
    """The modules of the result, with every model opened.

    Args:
        config: The configuration.
        shelf: Opens models.
        findings: For problems: models that cannot be opened, parameters that no method
            has, a missing base.

    Returns:
        Sections; pieces with a problem are left out.
    """
    if config.base_model is not None:
        shelf(config.base_model)
    reader = _Reader(config, shelf, findings)
    reader.known(config.parameters, "parameters", own=True)
    if config.modules is None:
        found = reader.pieces(config.models, config.slices, (config.parameters,))
        return [Section(None, tuple(found))]
    made = []
    for name, module in config.modules.items():
        where = f"modules.{name}."
        reader.known(module.parameters, f"{where}parameters", own=True)
        scopes = module.parameters, config.parameters
        pieces = reader.pieces(module.models, module.slices, scopes, where)
        made.append(Section(name, tuple(pieces)))
    return made


class _Reader:
    def __init__(self, config: MergeConfig, shelf: Shelf, findings: Findings) -> None:
        self.config, self.shelf, self.findings = config, shelf, findings
        self.method = config.merge_method
        self.row = METHODS[self.method]

    def pieces(
        self,
        models: Sequence[Input] | None,
        slices: Sequence[Slice] | None,
        scopes: Scopes,
        where: str = "",
    ) -> Iterator[Piece]:
        if models is not None:
            yield from self._piece(f"{where}models", models, None, None, scopes)
        for i, part in enumerate(slices or ()):
            place = f"{where}slices[{i}]"
            self.known(part.parameters, f"{place}.parameters", own=True)
            counts = {
                span.layer_range[1] - span.layer_range[0] for span in part.sources
            }
            if len(counts) > 1 or min(counts) < 1:
                shown = ", ".join(str([*span.layer_range]) for span in part.sources)
                self.findings.problem(
                    f"{place}: layer ranges must have one length, 1 or more; "
                    f"got {shown}"
                )
                counts = {0}
            inner = part.parameters, *scopes
            sources = part.sources
            place = f"{place}.sources"
            yield from self._piece(place, sources, part.base_model, counts.pop(), inner)

    def _piece(
        self,
        where: str,
        inputs: Sequence[Input],
        base_model: Reference | None,
        count: int | None,
        scopes: Scopes,
    ) -> Iterator[Piece]:
        entrants = []
        for k, given in enumerate(inputs):
            self.known(given.parameters, f"{where}[{k}].parameters", own=False)
            first = given.layer_range[0] if isinstance(given, Span) else 0
            model = self.shelf(given.model)
            if model is not None:
                entrants.append(Entrant(model, given.parameters, first))
        names = Counter(entrant.model.name for entrant in entrants)
        for name in (name for name, n in names.items() if n > 1 and count is None):
            self.findings.note(f"{where}: {name} stands {names[name]} times")
        reference = base_model or self.config.base_model
        base = None if reference is None else self.shelf(reference)
        if not entrants or (reference is not None and base is None):
            return
        piece = self._arranged(where, entrants, base, count, scopes)
        if piece is not None and piece.everyone:
            yield replace(piece, whole=len(entrants) == len(inputs))

    def _arranged(
        self,
        where: str,
        entrants: list[Entrant],
        base: Opened | None,
        count: int | None,
        scopes: Scopes,
    ) -> Piece | None:
        """The base apart from the models, or first among them, as the method has it."""
        leading = base_first(self.method)
        if self.row.base == "none" and not leading:
            self._unread(where, entrants, base)
            return Piece(where, tuple(entrants), None, count, scopes)
        if base is None:
            if leading or self.row.needs_base:
                self.findings.problem(f"{self.method} needs base_model")
                return None
            return Piece(where, tuple(entrants), None, count, scopes)
        listed = [one for one in entrants if one.model is base]
        if not listed and count is not None:
            self.findings.problem(f"{where}: base_model {base.name} must be among them")
            return None
        origin = listed[0] if listed else Entrant(base, {})
        others = [one for one in entrants if one.model is not base]
        if leading:
            return Piece(where, (origin, *others), None, count, scopes)
        return Piece(where, tuple(others), origin, count, scopes)

    def _unread(
        self, where: str, entrants: Sequence[Entrant], base: Opened | None
    ) -> None:
        if base is not None and all(one.model is not base for one in entrants):
            self.findings.note(
                f"base_model {base.name} is not among {where} and {self.method} takes "
                "no base: it gives config and tokenizer only"
            )

    def known(self, parameters: Mapping[str, Value], where: str, own: bool) -> None:
        """Refuse parameters that nothing takes; note those that have no effect here."""
        mine = taken(self.method)
        for name in parameters:
            if name in mine:
                if not own and not mine[name].own:
                    self.findings.note(
                        f"{where}: {name} is no model's own and has no effect there; "
                        "it belongs under parameters at the top"
                    )
            elif name in EVERY:
                if name not in unused(self.method):
                    self.findings.note(
                        f"{where}: {self.method} takes no {name}; it has no effect"
                    )
            else:
                self.findings.problem(
                    f"{where}: unknown parameter {name!r}; {nearest(name, mine)}"
                )
