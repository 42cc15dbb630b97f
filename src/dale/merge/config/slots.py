"""Every tensor of the result: its name, its depth, and the tensors it is made from."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from dale.merge.config.anatomy import Anatomy, embedding, is_derived, is_early, is_head
from dale.merge.config.findings import Findings
from dale.merge.config.heads import tied_heads
from dale.merge.config.pieces import Piece, Section
from dale.merge.config.reference import Opened

_INSIDE = {
    "text_decoder": ("language_model", "text_model"),
    "vision_tower": ("visual", "vision_model"),
    "vision_model": ("vision_tower", "visual"),
}
"""Parts of names that stand for a module that is called otherwise in configurations."""


@dataclass(frozen=True)
class Slot:
    """One tensor of the result.

    Attributes:
        name: In the result.
        piece: What it belongs to.
        names_K: Its name in every model of the piece, the base last.
        t: Depth, from 0 to 1; 0 outside of the layers.
        order: Where it stands among others.
    """

    name: str
    piece: Piece
    names_K: tuple[str, ...]
    t: float
    order: tuple[int, str, int, str]


@dataclass(frozen=True)
class Lengths:
    """How many layers a list has in the result, and where they come from.

    Attributes:
        section: Name of the module.
        stack: Start of their names.
        before: How many the donor has.
        origin: For every layer, the layer of the first model of its piece.
    """

    section: str | None
    stack: str
    before: int
    origin: tuple[int, ...]


class Slotter:
    """Names of tensors to slots.

    Args:
        sections: What goes where.
        findings: For what is missing.
        read: Compare a stored head with the table of embeddings where the configuration
            of its model does not say that it is its own; otherwise only headers count.

    Attributes:
        slots: Every tensor of the result.
        lengths: Of lists of layers that slices put together.
        tied: Whether the head of the result is its table of embeddings, where that is
            not as every model says it.
    """

    def __init__(
        self, sections: Sequence[Section], findings: Findings, read: bool = False
    ) -> None:
        self.findings = findings
        self.sections = sections
        self.lengths: list[Lengths] = []
        self.tied: bool | None = None
        self._ties = tied_heads(_models(sections), findings, read)
        self._all_tied = bool(self._ties) and all(self._ties.values())
        if any(self._ties.values()) and not self._all_tied:
            self.tied = False
        self.slots = [slot for section in sections for slot in self._section(section)]
        self.slots.sort(key=lambda slot: slot.order)
        self._unclaimed()

    def _section(self, section: Section) -> Iterator[Slot]:
        if not section.pieces:
            return
        if section.pieces[0].count is None:
            yield from self._whole(section, section.pieces[0])
            return
        stack = self._stack(section)
        if stack is None:
            return
        first, last = section.pieces[0], section.pieces[-1]
        yield from self._outside(section, first, stack, early=True)
        origin: list[int] = []
        for piece in section.pieces:
            if not self._in_range(piece, stack):
                continue
            yield from self._layers(piece, stack, len(origin))
            start = piece.everyone[0].first
            origin += range(start, start + (piece.count or 0))
        yield from self._outside(section, last, stack, early=False)
        depth = first.everyone[0].model.anatomy.stacks[stack]
        self.lengths.append(Lengths(section.name, stack, depth, tuple(origin)))

    def _whole(self, section: Section, piece: Piece) -> Iterator[Slot]:
        shortest = self._shortest(piece)
        anatomy = piece.everyone[0].model.anatomy
        for name in self._union(piece, lambda model: self._mine(section, model)):
            place = anatomy.place(name)
            if place.index >= shortest.get(place.stack, 1):
                continue
            depth = anatomy.stacks.get(place.stack, 1)
            t = place.index / (depth - 1) if depth > 1 else float(bool(place.stack))
            order = 1 if place.stack else 2 - 2 * is_early(name)
            names = [name] * len(piece.everyone)
            where = (order, place.stack, place.index, place.rest)
            yield from self._slot(name, piece, names, t, where)

    def _outside(
        self, section: Section, piece: Piece, stack: str, early: bool
    ) -> Iterator[Slot]:
        def outside(model: Opened) -> Iterator[str]:
            for name in self._mine(section, model):
                if not name.startswith(stack) and is_early(name) == early:
                    yield name

        for name in self._union(piece, outside):
            names = [name] * len(piece.everyone)
            order = (2 - 2 * early, "", 0, name)
            yield from self._slot(name, piece, names, 0.0, order)

    def _in_range(self, piece: Piece, stack: str) -> bool:
        count = piece.count or 0
        for entrant in piece.everyone:
            depth = entrant.model.anatomy.stacks.get(stack, 0)
            if not 0 <= entrant.first <= entrant.first + count <= depth:
                self.findings.problem(
                    f"{piece.where}: layers {entrant.first} to {entrant.first + count} "
                    f"of {entrant.model.name}, which has {depth}"
                )
                return False
        return True

    def _layers(self, piece: Piece, stack: str, above: int) -> Iterator[Slot]:
        count = piece.count or 0
        for i in range(count):
            starts = [f"{stack}{one.first + i}." for one in piece.everyone]
            rests: dict[str, None] = {}
            for entrant, start in zip(piece.everyone, starts, strict=True):
                names = entrant.model.anatomy.names
                rests |= {
                    n.removeprefix(start): None for n in names if n.startswith(start)
                }
            for rest in rests:
                names = [start + rest for start in starts]
                name = f"{stack}{above + i}.{rest}"
                t = i / (count - 1) if count > 1 else 1.0
                yield from self._slot(
                    name, piece, names, t, (1, stack, above + i, rest)
                )

    def _slot(
        self,
        name: str,
        piece: Piece,
        names: Sequence[str],
        t: float,
        order: tuple[int, str, int, str],
    ) -> Iterator[Slot]:
        """The slot, unless the tensor need not or cannot be made."""
        if is_head(name) and self._all_tied and self._stored_apart(piece, name):
            self.findings.note(
                f"{name} is tied to the embeddings in every model and not stored again"
            )
            self.tied = True
            return
        found = []
        for entrant, given in zip(piece.everyone, names, strict=True):
            found.append(self._name_in(entrant.model, given))
        lost = [
            e.model.name for e, n in zip(piece.everyone, found, strict=True) if not n
        ]
        if lost and is_derived(name):
            self.findings.note(f"{name} is left out: networks make it by themselves")
            return
        for one in lost:
            self.findings.about(f"{one}: names missing", name)
        if not lost:
            sure = tuple(given for given in found if given is not None)
            yield Slot(name, piece, sure, t, order)

    def _name_in(self, model: Opened, name: str) -> str | None:
        """What a model calls a tensor; embeddings stand for a head that is tied."""
        if name in model.weights:
            return name
        tied = is_head(name) and self._ties[id(model)]
        return embedding(model.anatomy.names) if tied else None

    def _stored_apart(self, piece: Piece, name: str) -> bool:
        return not all(name in one.model.ties for one in piece.everyone)

    def _union(
        self, piece: Piece, names_of: Callable[[Opened], Iterable[str]]
    ) -> Iterable[str]:
        found: dict[str, None] = {}
        for entrant in piece.everyone:
            found |= dict.fromkeys(names_of(entrant.model))
        return found

    def _mine(self, section: Section, model: Opened) -> Iterator[str]:
        """Names of the section."""
        for name in model.anatomy.names:
            if section.name in {None, "default"} or self._owner(name) == section.name:
                yield name

    def _owner(self, name: str) -> str | None:
        parts = name.split(".")
        for section in self.sections:
            words = (section.name, *_INSIDE.get(section.name or "", ()))
            if any(word in parts for word in words):
                return section.name
        return None

    def _stack(self, section: Section) -> str | None:
        """The list of layers that slices are taken from."""
        model = section.pieces[0].everyone[0].model
        own = Anatomy(tuple(self._mine(section, model)))
        if len(own.stacks) == 1:
            return own.main
        where = section.pieces[0].where
        if not own.stacks:
            self.findings.problem(f"{where}: {model.name} has no layers to take")
        else:
            self.findings.problem(
                f"{where}: {model.name} has several lists of layers, "
                f"{', '.join(own.stacks)}; write modules"
            )
        return None

    def _shortest(self, piece: Piece) -> dict[str, int]:
        """How many layers of each list all models have, which ought to be all."""
        first = piece.everyone[0].model
        found = dict(first.anatomy.stacks)
        for entrant in piece.everyone[1:]:
            for stack, depth in first.anatomy.stacks.items():
                other = entrant.model.anatomy.stacks.get(stack, depth)
                found[stack] = min(found[stack], other)
                if other != depth:
                    self.findings.problem(
                        f"{entrant.model.name} has {other} layers {stack}N, "
                        f"{first.name} has {depth}; use slices"
                    )
        return found

    def _unclaimed(self) -> None:
        if all(section.name in {None, "default"} for section in self.sections):
            return
        for model in _models(self.sections):
            for name in model.anatomy.names:
                if self._owner(name) is None:
                    self.findings.about("names that belong to none of modules", name)


def _models(sections: Iterable[Section]) -> list[Opened]:
    found: dict[int, Opened] = {}
    for section in sections:
        for piece in section.pieces:
            for entrant in piece.everyone:
                found.setdefault(id(entrant.model), entrant.model)
    return list(found.values())
