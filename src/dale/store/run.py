"""A run: one folder with a recipe, the members it produced, and what was found."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from shlex import quote
from typing import Any

from dale.errors import CorruptError, InputError, StoreError
from dale.files import sweep, write_text
from dale.store import sealed
from dale.store.lock import writing
from dale.store.population import Population, begin_again

_AGAIN = {
    "evaluation": "run: dale evaluate",
    "cross_validation": "run: dale evaluate",
    "ensembles": "pool its ensembles again with: dale ensemble",
    "calibration": "run: dale calibrate",
}


class Run:
    """A run folder that exists.

    ::

        recipe.yaml       how it is trained
        inputs.json       digests of the recipe and the data that it began with
        population.json   its members, in order
        members/          their weights
        log.jsonl         one line for each epoch
        state/            what a resume needs
        collected/        statistics that more members can be drawn from
        predictions/      logits by split and member
        results/          what was measured
        report/           a page to read

    Args:
        folder: The folder.

    Raises:
        StoreError: It is not a run.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            kind = "is a file" if self.folder.is_file() else "is not a folder"
            raise InputError(f"{self.folder} {kind}; expected a run folder")
        if not self.recipe_path.is_file():
            raise InputError(
                f"{self.folder} is not a run folder: it has no recipe.yaml"
            )
        if (self.folder / "members").exists() and not (
            self.folder / "population.json"
        ).exists():
            raise CorruptError(
                f"{self.folder}: population.json is missing although members exist; "
                f"{begin_again(self.folder)}"
            )
        self.population = Population(self.folder)

    @staticmethod
    def create(folder: str | os.PathLike[str], recipe: str) -> "Run":
        """Make a run folder, or open the one already made from the same recipe.

        Args:
            folder: A new or empty folder, or a run of exactly this recipe.
            recipe: Text of the recipe.

        Returns:
            The run.

        Raises:
            InputError: The folder holds something else.
        """
        folder = Path(folder)
        path = folder / "recipe.yaml"
        if path.exists():
            if _text(path) != recipe:
                raise InputError(
                    f"{folder} holds a run of another recipe; choose another folder"
                )
        elif folder.exists() and (not folder.is_dir() or _occupied(folder)):
            raise InputError(f"{folder} exists and is not a run; choose another folder")
        else:
            write_text(path, recipe)
        return Run(folder)

    @property
    def recipe_path(self) -> Path:
        """The recipe's file."""
        return self.folder / "recipe.yaml"

    @property
    def recipe(self) -> str:
        """The recipe's text."""
        return _text(self.recipe_path)

    @property
    def recipe_digest(self) -> str:
        """SHA-256 of the recipe's text."""
        return sha256(self.recipe.encode()).hexdigest()

    @property
    def recipe_altered(self) -> bool:
        """Whether the run is known to have begun with another text of its recipe."""
        try:
            self.check_inputs({self.recipe_path.name: self.recipe_digest})
        except InputError:
            return True
        except StoreError:
            return False
        return False

    @property
    def log_path(self) -> Path:
        """The training log's file."""
        return self.folder / "log.jsonl"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for writing; see `dale.store.writing`.

        Yields:
            Nothing; the population is read afresh first, and what a killed writer
            left half-written is removed.
        """
        with writing(self.folder):
            sweep(self.folder)
            self.population = Population.create(self.folder)
            yield

    def pin(self, inputs: Mapping[str, str]) -> None:
        """Remember what the run is trained with; later calls must agree.

        Args:
            inputs: Names of the recipe and of the data's parts, and their digests.

        Raises:
            InputError: The run was begun with another recipe or other data.
        """
        path = self.folder / "inputs.json"
        if path.exists():
            self.check_inputs(inputs)
        else:
            sealed.write(path, "inputs", {"digests": inputs})

    def check_inputs(self, inputs: Mapping[str, str]) -> None:
        """Raise unless these digests are those the run was begun with.

        Args:
            inputs: Some of the names given to `pin`, and digests.

        Raises:
            InputError: A digest differs from the one that is known.
            CorruptError: The file of those that are known is truncated or was altered.
        """
        path = self.folder / "inputs.json"
        try:
            known = sealed.read(path, "inputs")["digests"] if path.exists() else {}
        except CorruptError as error:
            raise CorruptError(
                f"{error}; restore it, or delete it and run: dale train --resume "
                f"{quote(str(self.folder))}, which writes it anew for what is there now"
            ) from error
        changed = [n for n, digest in inputs.items() if known.get(n, digest) != digest]
        if changed:
            raise InputError(
                f"{self.folder} was begun with another {' and another '.join(changed)} "
                f"(see {path.name}); restore it, or train into another folder"
            )

    def write_result(self, name: str, content: Mapping[str, Any]) -> Path:
        """Store what was measured as ``results/<name>.json``."""
        path = self.folder / "results" / f"{name}.json"
        inputs = {"recipe": self.recipe_digest}
        sealed.write(path, name, {"inputs": inputs, **content})
        return path

    def read_result(self, name: str) -> dict[str, Any] | None:
        """What was measured, or None when it was not yet.

        Raises:
            CorruptError: The file is truncated or was altered.
        """
        path = self.folder / "results" / f"{name}.json"
        try:
            return sealed.read(path, name) if path.exists() else None
        except CorruptError as error:
            again = _AGAIN.get(name, "measure it again")
            raise CorruptError(f"{error}; delete this file and {again}") from error

    def log(self) -> list[dict[str, Any]]:
        """The training log: one record for each epoch of each trajectory.

        A last line without its end is what a killed writer left; it is no record.

        Raises:
            CorruptError: A line is not JSON.
        """
        path = self.log_path
        if not path.exists():
            return []
        records = []
        for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
            if not line.endswith(b"\n"):
                break
            try:
                records.append(json.loads(line))
            except ValueError as error:
                raise CorruptError(f"{path} line {number} is not JSON") from error
        return records


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def _occupied(folder: Path) -> bool:
    """Whether a folder holds anything but what an interrupted start leaves."""
    return any(not entry.name.startswith(".") for entry in folder.iterdir())
