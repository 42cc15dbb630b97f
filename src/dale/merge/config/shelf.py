"""The models that a configuration names, each opened once."""

from collections.abc import Iterator
from pathlib import Path

from dale.merge.config.findings import Findings
from dale.merge.config.reference import Opened, find, open_model
from dale.merge.config.schema import MergeConfig, Reference


class Shelf:
    """Models by reference; each is opened once.

    Args:
        near: Folder of the configuration.
        findings: For models that cannot be opened.
    """

    def __init__(self, near: Path, findings: Findings) -> None:
        self.near, self.findings = near, findings
        self._by_name: dict[str, Opened | None] = {}
        self._by_place: dict[tuple[str, str], Opened] = {}

    @property
    def models(self) -> list[Opened]:
        """All that were opened, in the order in which they were first named."""
        return list(self._by_place.values())

    def __call__(self, reference: Reference) -> Opened | None:
        """The model; None if there is none, which is a problem already noted."""
        name = str(reference)
        if name not in self._by_name:
            self._by_name[name] = None
            with self.findings.catching():
                self._by_name[name] = self._open(reference)
        return self._by_name[name]

    def _open(self, reference: Reference) -> Opened:
        path = find(reference.model, self.near, whole=str(reference))
        # ./model and model are the same
        place = "" if path is None else str(path.resolve()), str(reference.lora)
        if path is None or place not in self._by_place:
            self._by_place[place] = open_model(reference, self.near)
        return self._by_place[place]


def references(config: MergeConfig) -> Iterator[Reference]:
    """Every model that a configuration names, the base first."""
    if config.base_model is not None:
        yield config.base_model
    for part in (config, *(config.modules or {}).values()):
        for given in part.models or ():
            yield given.model
        for piece in part.slices or ():
            yield from (span.model for span in piece.sources)
            if piece.base_model is not None:
                yield piece.base_model
