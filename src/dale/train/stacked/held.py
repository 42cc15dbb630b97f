"""What members of a stack produce, held back until those before them are done.

A run lists its members and its log one trajectory after another. Members that are
trained at once produce at once: what they give is kept in memory and in the stack's
saved state, and handed over in the run's order at the end.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from dale.train.keeper import RunKeeper
from dale.weights import Layout, Weights, layout_of


class HeldKeeper(RunKeeper):
    """A keeper that keeps nothing in the folder before `release`.

    Its arguments are those of `RunKeeper`.
    """

    def __init__(self, *facts: Any) -> None:
        super().__init__(*facts)
        self._lines: list[Mapping[str, Any]] = []
        self._taken: list[tuple[Weights, Mapping[str, Any]]] = []
        self._kept: dict[str, Mapping[str, Any]] = {}

    def save(self, state: Mapping[str, Any]) -> None:
        """Leave it to the stack."""
        raise NotImplementedError("a stack saves all its members in one state")

    def log(self, record: Mapping[str, Any]) -> None:
        """Hold a line of the log."""
        self._lines.append(record)

    def _put(self, weights: Weights, facts: Mapping[str, Any], layout: Layout) -> None:
        self._taken.append((weights, facts))

    def _put_aside(self, name: str, found: Mapping[str, Any]) -> None:
        self._kept[name] = found

    def state(self) -> dict[str, Any]:
        """What is held: tensors and JSON values."""
        return {
            "lines": self._lines,
            "taken": [[weights, facts] for weights, facts in self._taken],
            "kept": self._kept,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._lines, self._kept = list(state["lines"]), dict(state["kept"])
        self._taken = [(weights, facts) for weights, facts in state["taken"]]

    def release(self, model: nn.Module) -> None:
        """Hand over what is held, and mark the trajectory as done.

        Doing it again after it was interrupted changes nothing that was done.

        Args:
            model: The member's network.
        """
        self._saved.check_log()  # those before this one have written meanwhile
        for record in self._lines:
            super().log(record)
        for weights, facts in self._taken:
            super()._put(weights, facts, layout_of(model))
        for name, found in self._kept.items():
            super()._put_aside(name, found)
        self.finish(0.0)
