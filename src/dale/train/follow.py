"""What the other processes of a team keep: nothing; they read what the first saved."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from dale.store import Run
from dale.train.checkpoint import load_state
from dale.train.collect import Collector
from dale.train.trajectory import Trajectory


class Follower:
    """The keeper of a process that is not the first.

    Args:
        run: The run, on a disk that all processes see.
        trajectory: The trajectory.
    """

    def __init__(self, run: Run, trajectory: Trajectory) -> None:
        path = run.folder / "state" / f"{trajectory.name}.safetensors"
        self._state = load_state(path)

    @property
    def finished(self) -> bool:
        """Whether the trajectory was trained to its end."""
        return self._state is not None and self._state["finished"]

    def load(self) -> Mapping[str, Any] | None:
        """The last saved state, if any."""
        return self._state["loop"] if self._state is not None else None

    def due(self, seconds: float) -> bool:
        """Never: the first process decides."""
        return False

    def save(self, state: Mapping[str, Any]) -> None:
        """Leave it to the first process."""

    @property
    def seconds(self) -> float:
        """Nothing: the first process keeps the time."""
        return 0.0

    def finish(self, seconds: float) -> None:
        """Leave it to the first process."""

    def log(self, record: Mapping[str, Any]) -> None:
        """Leave it to the first process."""

    def score(self, model: nn.Module) -> Mapping[str, float]:
        """Leave it to the first process."""
        return {}

    def score_member(
        self, collector: Collector, index: int, model: nn.Module
    ) -> Mapping[str, float]:
        """Leave it to the first process."""
        return {}

    def members(
        self, taken: Sequence[tuple[Collector, int]], step: int, model: nn.Module
    ) -> None:
        """Leave them to the first process."""
