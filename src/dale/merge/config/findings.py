"""Problems and notes, gathered so that all of them can be told at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dale.errors import ConfigError, DaleError
from dale.weights.match import listing


@dataclass
class Findings:
    """What was found while a merge was prepared.

    Attributes:
        lines: Problems, each on its own.
        grouped: Problems that many tensors have in common, and those tensors.
        said: Notes: what is done otherwise than one might think.

    Example:
        >>> found = Findings()
        >>> found.note("a: read from the cache")
        >>> found.about("b: names missing", "w")
        >>> found.about("b: names missing", "v")
        >>> found.problems, found.notes
        (("b: names missing: 'w', 'v'",), ('a: read from the cache',))
    """

    lines: dict[str, None] = field(default_factory=dict)
    grouped: dict[str, dict[str, None]] = field(default_factory=dict)
    said: dict[str, None] = field(default_factory=dict)

    def problem(self, line: str) -> None:
        """Add a problem; the same line is kept once."""
        self.lines.setdefault(line)

    def about(self, line: str, item: str) -> None:
        """Add something, such as a tensor, that has a problem with others."""
        self.grouped.setdefault(line, {}).setdefault(item)

    def note(self, line: str) -> None:
        """Add a note; the same line is kept once."""
        self.said.setdefault(line)

    @contextmanager
    def catching(self, prefix: str = "") -> Iterator[None]:
        """Turn errors that dale raises on purpose into problems."""
        try:
            yield
        except ConfigError as error:
            for line in error.problems:
                self.problem(f"{prefix}{line}")
        except DaleError as error:
            self.problem(f"{prefix}{error}")

    @property
    def problems(self) -> tuple[str, ...]:
        """One line for each problem."""
        groups = (f"{line}: {listing(items)}" for line, items in self.grouped.items())
        return (*self.lines, *groups)

    @property
    def notes(self) -> tuple[str, ...]:
        """One line for each note."""
        return tuple(self.said)
