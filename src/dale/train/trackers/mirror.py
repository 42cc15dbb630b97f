"""Sends the lines of the log to trackers, each line once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dale.errors import CorruptError, InputError
from dale.factories import one_line
from dale.store import Run, sealed
from dale.train.trackers.adapters import Place, Tracker, numbers

Opener = Callable[[Place], Tracker]


@dataclass
class _Open:
    word: str
    tracker: Tracker
    path: Path
    sent: dict[str, int] = field(default_factory=dict)

    def note(self) -> None:
        """Remember what has been sent."""
        sealed.write(self.path, "tracker", {"id": self.tracker.id, "sent": self.sent})


class Mirror:
    """Sends the lines of a run's log to trackers.

    The log is the truth. A resume cuts the log and writes lines again; what was sent
    once is not sent again, as it is written down before it is sent. A tracker that
    fails gets nothing more, and training goes on.

    Args:
        run: The run, held for writing.
        openers: Makes each tracker, by a word of its own.
        config: The recipe's settings, by dotted names.
        warn: Told when a tracker fails.

    Raises:
        InputError: A tracker could not be opened.
    """

    def __init__(
        self,
        run: Run,
        openers: Mapping[str, Opener],
        config: Mapping[str, Any],
        warn: Callable[[str], None],
    ) -> None:
        self._warn, self._open = warn, []
        for word, opener in openers.items():
            path = run.folder / "trackers" / f"{word}.json"
            known = _known(path)
            try:
                tracker = opener(Place(run, config, known.get("id")))
            except Exception as cause:
                self.close(whole=False)
                raise InputError(
                    f"tracker {word} could not be opened: {one_line(cause)}"
                ) from cause
            opened = _Open(word, tracker, path, dict(known.get("sent", {})))
            self._open.append(opened)
            opened.note()

    def send(self, record: Mapping[str, Any]) -> None:
        """Send a line of the log to all trackers that have not seen it."""
        trajectory, step = record["trajectory"], record["step"]
        for opened in list(self._open):
            if step <= opened.sent.get(trajectory, 0):
                continue
            opened.sent[trajectory] = step
            opened.note()
            values = numbers(record)
            self._try(opened, lambda t, v=values: t.send(trajectory, step, v))

    def close(self, whole: bool) -> None:
        """Finish all trackers."""
        for opened in list(self._open):
            self._try(opened, lambda t: t.close(whole))
        self._open = []

    def _try(self, opened: _Open, work: Callable[[Tracker], None]) -> None:
        try:
            work(opened.tracker)
        except Exception as cause:
            self._open.remove(opened)
            self._warn(
                f"tracker {opened.word} failed and gets nothing more (log.jsonl has "
                f"everything): {one_line(cause)}"
            )


def _known(path: Path) -> dict[str, Any]:
    """What is known of a tracker from before."""
    try:
        return sealed.read(path, "tracker") if path.exists() else {}
    except CorruptError as error:
        raise CorruptError(
            f"{error}; delete this file to go on in a new run of the tracker"
        ) from error


@contextmanager
def mirrored(made: Mirror | None) -> Iterator[None]:
    """Closes a mirror however training ends.

    Yields:
        Nothing.
    """
    whole = False
    try:
        yield
        whole = True
    finally:
        if made is not None:
            made.close(whole)


def flattened(document: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    """The leaves of nested mappings and lists by dotted names.

    Example:
        >>> flattened({"model": {"name": "mlp", "hidden": [16, 8]}, "seed": 0})
        {'model.name': 'mlp', 'model.hidden.0': 16, 'model.hidden.1': 8, 'seed': 0}
    """
    items = document.items() if isinstance(document, Mapping) else enumerate(document)
    found: dict[str, Any] = {}
    for name, value in items:
        if isinstance(value, (Mapping, list, tuple)):
            found |= {f"{name}.{key}": leaf for key, leaf in flattened(value).items()}
        elif value is not None:
            found[str(name)] = value
    return found
