"""A trajectory's saved state, and the log and the members that it is held against."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dale.errors import CorruptError, RecipeError
from dale.store import Log, Run
from dale.train.checkpoint import load_state, save_state


class Saved:
    """What a trajectory can go on from.

    Lines of the log that came after the state are cut off, as they are written again.

    Args:
        run: The run, held for writing.
        name: Of the trajectory.
        timed: Whether to save how long the trajectory took.

    Raises:
        RecipeError: Training began with another recipe.
        CorruptError: The state, or what it needs of log and members, is damaged.
    """

    def __init__(self, run: Run, name: str, timed: bool) -> None:
        self._run, self._name, self._timed = run, name, timed
        self._path = run.folder / "state" / f"{name}.safetensors"
        self.log = Log(run.log_path)
        self._state = _read(self._path)
        if self._state is not None and self._state["recipe"] != run.recipe_digest:
            raise RecipeError(
                f"{run.recipe_path} was changed after training began; restore it, or "
                "train the new recipe into another folder"
            )
        self._check_members()
        self.check_log()

    @property
    def finished(self) -> bool:
        """Whether the trajectory was trained to its end."""
        return self._state is not None and self._state["finished"]

    @property
    def loop(self) -> Mapping[str, Any] | None:
        """The state of the loop, if one was saved."""
        return self._state["loop"] if self._state is not None else None

    @property
    def seconds(self) -> float:
        """What a finished trajectory took, where that was saved."""
        return self._state.get("seconds", 0.0) if self._state is not None else 0.0

    def write(
        self, state: Mapping[str, Any], finished: bool, seconds: float = 0.0
    ) -> None:
        """Save a state, with the length and the digest of the log at this moment.

        Args:
            state: Of the loop.
            finished: Whether the trajectory is done.
            seconds: What it took.
        """
        self.log.sync()
        document: dict[str, Any] = {
            "recipe": self._run.recipe_digest,
            "log": self.log.size,
            "log_sha256": self.log.digest,
            "finished": finished,
            "loop": state,
        }
        if finished and self._timed:
            document["seconds"] = seconds
        save_state(self._path, document)
        if finished:
            self._state = _read(self._path)

    def check_log(self) -> None:
        """Hold the log against the state; cut off what came after, if not finished."""
        if self._state is not None:
            size = self._state["log"]
            try:
                self.log.check(size, self._state.get("log_sha256"))
            except CorruptError as error:
                raise CorruptError(f"{error}; restore it, or {self._again}") from error
        else:
            size = self.log.before(self._name)
        if not self.finished:
            self._check_later(size)
            self.log.cut(size)

    def _check_members(self) -> None:
        """Refuse to go on without the files of members that were taken."""
        if self._state is None:
            return  # they are made again
        population = self._run.population
        for member in population:
            if member.details.get("trajectory") == self._name:
                try:
                    population.require(member)
                except CorruptError as error:
                    raise CorruptError(
                        f"{error}; restore it, or {self._again}"
                    ) from error

    def _check_later(self, size: int) -> None:
        """Refuse to cut off lines of the log that another trajectory's state needs."""
        later = []
        for path in sorted(self._path.parent.glob("*.safetensors")):
            state = _read(path)
            if path != self._path and state is not None and state["log"] > size:
                later.append(str(path))
        if later:
            raise CorruptError(
                f"training {self._name} again writes {self.log.path} anew "
                f"from there on; delete also {', '.join(later)}"
            )

    @property
    def _again(self) -> str:
        return f"delete {self._path} to train {self._name} again"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return load_state(path)
    except CorruptError as error:
        raise CorruptError(
            f"{error}; delete this file to train {path.stem} again from its start"
        ) from error
