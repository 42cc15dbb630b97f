"""Trackers: the figures of the log, sent elsewhere too.

`TRACKERS` lists those that a recipe may name under ``trackers``. The log of the run
stays the truth: trackers are told what it says, line by line.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

from dale.errors import InputError
from dale.train.specs import settings
from dale.train.trackers.adapters import Place as Place
from dale.train.trackers.adapters import Tracker as Tracker
from dale.train.trackers.adapters import check_csv, csv, mlflow, tensorboard, wandb
from dale.train.trackers.mirror import Mirror as Mirror
from dale.train.trackers.mirror import Opener
from dale.train.trackers.mirror import flattened as flattened
from dale.train.trackers.mirror import mirrored as mirrored


@dataclass(frozen=True)
class TrackerRow:
    """What is true of a tracker that a recipe may name.

    Args:
        function: Opens it, given the place; its keywords are the recipe's.
        summary: One line.
        package: What must be installed, which is also the extra of dale that installs
            it; empty where nothing must.
        check: Raises where the recipe's settings cannot work, before a run is made.
    """

    function: Callable[..., Tracker]
    summary: str
    package: str = ""
    check: Callable[..., None] = lambda **settings: None


TRACKERS: Mapping[str, TrackerRow] = {
    "csv": TrackerRow(csv, "a table beside the log", check=check_csv),
    "tensorboard": TrackerRow(tensorboard, "TensorBoard's event files", "tensorboard"),
    "mlflow": TrackerRow(mlflow, "a run of MLflow", "mlflow"),
    "wandb": TrackerRow(wandb, "a run of Weights & Biases", "wandb"),
}


def openers(specs: Iterable[Any]) -> dict[str, Opener]:
    """What opens the trackers that a recipe names, by a word for each.

    Args:
        specs: Pieces of the recipe, each with the name of a tracker.

    Returns:
        Word to opener; a tracker named twice gets a number.

    Raises:
        InputError: A package is not installed, a setting cannot work, or a tracker
            stands there twice with the same settings and would be told everything
            twice.
    """
    found: dict[str, Opener] = {}
    seen: list[Any] = []
    for spec in specs:
        if spec in seen:
            raise InputError(f"trackers: {spec.name} stands there twice; expected once")
        seen.append(spec)
        row = TRACKERS[spec.name]
        if row.package and find_spec(row.package) is None:
            raise InputError(
                f"trackers: {spec.name} needs the package {row.package}, which is not "
                f"installed; run: pip install 'dale[{row.package}]'"
            )
        row.check(**settings(spec, "name"))
        earlier = sum(word.rstrip("0123456789") == spec.name for word in found)
        word = f"{spec.name}{earlier + 1}" if earlier else spec.name
        found[word] = partial(row.function, **settings(spec, "name"))
    return found
