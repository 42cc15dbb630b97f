"""Every strategy on one budget: what is trained, and what is measured of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from fashion.timing import seconds_of, train_timed

from dale.diagnose import deep_ensemble_equivalent, scores_by_size
from dale.metrics import mean_disagreement
from dale.recipes import Predictor, Workbench, judge, predictors, start
from dale.store import Predictions, Run

MEMBERS, WIDTH = 4, 20
ENTRIES: dict[str, dict[str, Any]] = {
    "single": {"name": "single", "peak": 0.1},
    "nocycle": {"name": "nocycle", "members": MEMBERS, "peak": 0.1},
    "snapshot": {"name": "snapshot", "cycles": MEMBERS, "peak": 0.2},
    "fge": {"name": "fge", "start": "50%", "cycle": "2 epochs", "peak": 0.1},
    "swa": {"name": "swa", "peak": 0.1, "rate": 0.05, "every": "2.5%"},
    "swa, cyclic": {
        "name": "swa",
        "peak": 0.1,
        "rate": 0.05,
        "floor": 0.0005,
        "every": "1 epoch",
    },
    "short_cycles": {"name": "short_cycles", "members": MEMBERS, "peak": 0.2},
    "bagging": {"name": "bagging", "members": MEMBERS, "peak": 0.2},
    "hybrid": {"name": "hybrid", "runs": 2, "cycles": MEMBERS // 2, "peak": 0.2},
    "temporal": {"name": "temporal", "peak": 0.1},
    "pi": {"name": "pi", "peak": 0.1, "noise": 0.15},
    "independent": {"name": "independent", "members": MEMBERS, "peak": 0.2},
}
"""The strategies by title. All spend one budget, but for the last: it spends one for
each member, and is the yardstick. Updates of the Π-model go through the network twice;
without noise, augmentation and dropout both passes would give the same."""
MEASURES = ("error", "nll", "nll_calibrated", "ece", "ece_calibrated")


@dataclass(frozen=True)
class Contest:
    """What all runs share.

    Args:
        data: Folder of the images.
        epochs: The budget.
        images: Training images.
        validation: Images that temperatures are fitted on.
    """

    data: str
    epochs: int
    images: int
    validation: int

    def recipe(self, title: str, seed: int) -> str:
        """The recipe of one strategy."""
        document = {
            "version": 1,
            "seed": seed,
            "data": {
                "source": "idx",
                "path": self.data,
                "val": self.validation,
                "train_limit": self.images,
            },
            "model": {"name": "convnet", "width": WIDTH},
            "epochs": self.epochs,
            "batch": 64,
            "engine": {"device": "cpu", "threads": 1},
            "strategies": [ENTRIES[title]],
        }
        return yaml.safe_dump(document, sort_keys=False)


def work(folder: Path, recipe: str) -> None:
    """Train a run, or go on with it, and note the processor seconds that it took."""
    bench = start(recipe, folder, "benchmarks/strategies.py")
    if not train_timed(bench):
        return
    for split in ("val", "test"):
        bench.predict(split, bench.members())


def measured(folders: Mapping[str, Path]) -> list[dict[str, Any]]:
    """One line for each strategy of a seed.

    Args:
        folders: Its run folders by title; ``independent`` is among them.
    """
    yardstick = _independent(folders["independent"])
    return [_line(title, folder, yardstick) for title, folder in folders.items()]


def _both(bench: Workbench) -> tuple[Predictions, Predictions]:
    members = bench.members()
    return bench.predict("val", members), bench.predict("test", members)


def _independent(folder: Path) -> list[float]:
    """Mean calibrated log-likelihood of 1, 2, ... independent networks."""
    bench = Workbench(Run(folder))
    labels = [member.label for member in bench.members()]
    fit, score = _both(bench)

    def likelihood(places: Sequence[int]) -> float:
        chosen = tuple(labels[place] for place in places)
        kind = "ensemble" if len(chosen) > 1 else "single"
        judged = judge(Predictor("", "independent", kind, chosen), fit, score)
        return -judged.row["nll_calibrated"]

    sizes = scores_by_size(len(labels), likelihood)
    return [sum(values) / len(values) for values in sizes]


def _line(title: str, folder: Path, yardstick: Sequence[float]) -> dict[str, Any]:
    bench = Workbench(Run(folder))
    members, (fit, score) = bench.members(), _both(bench)
    found = predictors(members)
    row = judge(found[-1], fit, score).row
    last = judge(found[0], fit, score).row
    many = len(members) > 1
    return {
        "title": title,
        "name": found[-1].name,
        "networks": row["networks"],
        **{measure: row[measure] for measure in MEASURES},
        "last_error": last["error"],
        "disagreement": mean_disagreement(score.logits_MNC) if many else None,
        "equivalent": deep_ensemble_equivalent(-row["nll_calibrated"], yardstick),
        "seconds": seconds_of(bench),
        "bytes": sum(path.stat().st_size for path in (folder / "members").iterdir()),
        "independent": list(yardstick),
    }
