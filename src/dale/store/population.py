"""The members of a run: weights on disk and what is known of each."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

from torch import Tensor

from dale import weights as w
from dale.errors import CorruptError, InputError, StoreError, nearest
from dale.store import sealed


@dataclass(frozen=True)
class Member:
    """One network of a population.

    Args:
        label: Unique name in the run, such as ``"snapshot-c03-s1200"``.
        digest: Content digest of the weights (hexadecimal SHA-256).
        how: How it was made: ``"snapshot"``, ``"swa"``, ``"greedy_soup"``, …
        group: The strategy that made it or, for a fused member, whose members it fuses.
        parents: Labels of the members it was made from.
        step: Updates done when it was taken.
        cycle: Index of the cycle, from 1.
        seed: Seed of its trajectory.
        scores: Measures known when it was made, such as ``{"val_nll": 0.3}``.
        details: Whatever else its maker records, as JSON values.
    """

    label: str
    digest: str
    how: str
    group: str
    parents: tuple[str, ...] = ()
    step: int | None = None
    cycle: int | None = None
    seed: int | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The first 16 digits of the digest: the name of its file."""
        return self.digest[:16]


class Population(Sequence[Member]):
    """The append-only list of a run's members, in the order they were made.

    A folder without a list has no member yet.

    Args:
        folder: The run folder; ``population.json`` and ``members/`` live in it.

    Raises:
        StoreError: The list is altered or written by a newer dale.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "population.json"
        document: dict[str, Any] = {"members": []}
        try:
            if self._path.exists():
                document = sealed.read(self._path, "population")
            self._members = [_member(record) for record in document["members"]]
        except CorruptError as error:
            raise CorruptError(f"{error}; {begin_again(folder)}") from error
        except (KeyError, TypeError) as error:
            raise CorruptError(
                f"{self._path} has an unreadable member: {error}; {begin_again(folder)}"
            ) from error

    @staticmethod
    def create(folder: Path) -> "Population":
        """Start an empty population; one that exists is opened as it is."""
        if not (folder / "population.json").exists():
            sealed.write(folder / "population.json", "population", {"members": []})
        return Population(folder)

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members)

    def __getitem__(self, index):  # type: ignore[no-untyped-def, override]
        return self._members[index]

    def find(self, name: str) -> Member:
        """The member with this label or this (start of a) digest.

        Raises:
            InputError: No member or more than one answers to the name.
        """
        for member in self._members:
            if member.label == name:
                return member
        found = {m.digest: m for m in self._members if m.digest.startswith(name)}
        if len(found) == 1 and len(name) >= 4:
            return next(iter(found.values()))
        problem = "several members" if len(found) > 1 else "no member"
        known = [member.label for member in self._members]
        hint = nearest(name, known) if known else "the run has no member yet"
        raise InputError(f"{self.folder}: {problem} named {name!r}; {hint}")

    def path(self, member: Member) -> Path:
        """The file that holds a member's weights."""
        return self.folder / "members" / f"{member.id}.safetensors"

    def append(
        self,
        weights: Mapping[str, Tensor],
        *,
        label: str,
        how: str,
        group: str,
        layout: w.Layout | None = None,
        **facts: Any,
    ) -> Member:
        """Add a member: first its weights, then the list, each atomically.

        Appending the same weights under the same label again changes nothing, so an
        append that was interrupted can simply be repeated; a file of weights that was
        lost or damaged since is written again.

        Args:
            weights: Named tensors.
            label: Unique name in the run.
            how: How it was made.
            group: Which members it belongs with.
            layout: Roles and ties of the tensors; ties are stored once.
            facts: Further fields of `Member`.

        Returns:
            The member, as recorded.

        Raises:
            InputError: The label is taken by other weights.
        """
        member = Member(label, w.digest(weights), how, group, **facts)
        known = next((m for m in self._members if m.label == label), None)
        if known is not None and known.digest != member.digest:
            raise InputError(
                f"{self.folder}: a member named {label!r} exists with other "
                "weights; choose another label"
            )
        if not self._intact(member):
            header = {"label": label, "how": how}
            w.save(self.path(member), weights, header, layout)
        if known is not None:
            return known
        self._write([*self._members, member])
        return member

    def require(self, member: Member) -> None:
        """Raise unless the file with a member's weights exists; it is not read.

        Raises:
            CorruptError: The file is missing.
        """
        path = self.path(member)
        if not path.exists():
            raise CorruptError(f"{path} is missing: it holds member {member.label!r}")

    def weights(self, member: Member) -> dict[str, Tensor]:
        """Load a member's weights and hold them against its digest.

        Raises:
            CorruptError: The file is missing, truncated or altered.
        """
        self.require(member)
        path = self.path(member)
        weights, _ = w.load(path, verify=False)
        if w.digest(weights) != member.digest:
            raise CorruptError(
                f"{path} was altered: member {member.label!r} no longer matches its "
                "digest"
            )
        return weights

    def _intact(self, member: Member) -> bool:
        try:
            self.weights(member)
        except (StoreError, InputError):
            return False
        return True

    def _write(self, members: list[Member]) -> None:
        records = [json.loads(json.dumps(asdict(member))) for member in members]
        sealed.write(self._path, "population", {"members": records})
        self._members = members


def begin_again(folder: Path) -> str:
    """What to do where the list of members is lost.

    Args:
        folder: The run folder.

    Returns:
        The remedy, in words.
    """
    recipe = quote(str(folder / "recipe.yaml"))
    return (
        f"restore it from a copy, or train the same again with: dale train {recipe} NEW"
    )


def _member(record: dict[str, Any]) -> Member:
    return Member(**record | {"parents": tuple(record["parents"])})  # type: ignore[arg-type]
