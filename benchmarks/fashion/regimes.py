"""What is compared: two regimes, the settings tried in each, and their recipes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

VALIDATION = 6_000
BATCH = 64
WIDTH = 20
NOCYCLE_MEMBERS = 5
SWA = {"start": "75%", "every": "2.5%"}


@dataclass(frozen=True)
class Setting:
    """One strategy with its parameters.

    Args:
        strategy: Name in dale's table of strategies.
        parameters: Its parameters, as in a recipe.
        slug: Name of the run folder.
        title: For tables.
    """

    strategy: str
    parameters: Mapping[str, Any]
    slug: str
    title: str


@dataclass(frozen=True)
class Regime:
    """A data budget in which strategies compete for the same number of updates.

    Args:
        name: Of the folder of its runs.
        title: For people.
        epochs: Budget of every strategy, in passes over the training images.
        train_limit: Training images, or None for all but the validation split.
        augment: Random crops (2 pixels) and mirror images.
        controls: Settings tried for the single run.
        snapshots: Settings tried for the snapshots.
        nocycle_soups: Whether the NoCycle members are averaged too.
        validation: Images that choose the settings and fit the temperatures.
    """

    name: str
    title: str
    epochs: int
    train_limit: int | None
    augment: bool
    controls: tuple[Setting, ...]
    snapshots: tuple[Setting, ...]
    nocycle_soups: bool
    validation: int = VALIDATION

    def recipe(self, setting: Setting, seed: int, data: str) -> str:
        """The recipe of one run.

        Args:
            setting: The strategy.
            seed: Of initial weights, order of the images and augmentation.
            data: Folder of the IDX files.

        Returns:
            YAML text.
        """
        source: dict[str, Any] = {"source": "idx", "path": data}
        source["val"] = self.validation
        if self.train_limit is not None:
            source["train_limit"] = self.train_limit
        document: dict[str, Any] = {
            "version": 1,
            "seed": seed,
            "data": source,
            "model": {"name": "convnet", "width": WIDTH},
            "epochs": self.epochs,
            "batch": BATCH,
            "engine": {"device": "cpu"},
            "strategies": [{"name": setting.strategy, **setting.parameters}],
        }
        if self.augment:
            document["augment"] = {"crop": 2, "flip": True}
        return yaml.safe_dump(document, sort_keys=False)


def cosine(peak: float) -> Setting:
    """A single run under half a cosine, with members at equal distances."""
    schedule = {"name": "cosine", "peak": peak}
    return Setting(
        "nocycle",
        {"members": NOCYCLE_MEMBERS, "schedule": schedule},
        f"nocycle-cosine-{peak:g}",
        f"cosine, peak {peak:g}",
    )


def step(peak: float) -> Setting:
    """A single run whose rate falls by ten at 50 % and at 75 % of the budget."""
    return Setting(
        "nocycle",
        {"members": NOCYCLE_MEMBERS, "peak": peak},
        f"nocycle-step-{peak:g}",
        f"steps (÷ 10 at 50 % and 75 %), peak {peak:g}",
    )


def snapshots(peak: float, cycles: int) -> Setting:
    """Cosine cycles with warm restarts."""
    return Setting(
        "snapshot",
        {"cycles": cycles, "peak": peak},
        f"snapshot-{peak:g}-{cycles}",
        f"{cycles} cycles, peak {peak:g}",
    )


def short_cycles(like: Setting) -> Setting:
    """Independent runs of one cycle each, with the snapshots' peak and number."""
    cycles, peak = like.parameters["cycles"], like.parameters["peak"]
    return Setting(
        "short_cycles",
        {"members": cycles, "peak": peak},
        f"short-{peak:g}-{cycles}",
        f"{cycles} runs, peak {peak:g}",
    )


def swa(control: Setting) -> Setting:
    """A tail at half the control's peak whose weights are averaged."""
    given = control.parameters
    peak = given.get("peak") or given["schedule"]["peak"]
    return Setting(
        "swa",
        {"peak": peak, "rate": peak / 2, **SWA},
        f"swa-{peak:g}",
        f"peak {peak:g}, tail {peak / 2:g} from 75 %, mean of 10",
    )


REGIMES = (
    Regime(
        name="few",
        title="10,000 images, no augmentation, 40 epochs",
        epochs=40,
        train_limit=10_000,
        augment=False,
        controls=(cosine(0.1), cosine(0.2), step(0.1)),
        snapshots=(snapshots(0.1, 5), snapshots(0.2, 5), snapshots(0.1, 4)),
        nocycle_soups=True,
    ),
    Regime(
        name="many",
        title="54,000 images, crops and flips, 12 epochs",
        epochs=12,
        train_limit=None,
        augment=True,
        controls=(cosine(0.1), cosine(0.2)),
        snapshots=(snapshots(0.1, 3), snapshots(0.2, 3)),
        nocycle_soups=False,
    ),
)
"""The regimes, cheapest first."""


def quick(regime: Regime) -> Regime:
    """The same comparison on 600 images for 3 epochs: does everything still run?"""
    return replace(
        regime,
        title=f"quick: 600 images instead of {regime.title}",
        epochs=3,
        train_limit=600,
        controls=regime.controls[:1],
        snapshots=(snapshots(0.1, 3), snapshots(0.2, 3)),
        validation=500,
    )
