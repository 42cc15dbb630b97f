"""How rate and length of the cycles of a run decide how different its members are.

Shapes: M members, N examples, C classes.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml
from torch import Tensor

from dale.calibrate import fit_temperature
from dale.data import Data
from dale.ensemble import mean_probability
from dale.errors import InputError, NotFiniteError, TrainingError
from dale.metrics import error, mean_disagreement, nll
from dale.recipes.workbench import Workbench, start
from dale.store import Run, sealed
from dale.train import Recipe, Watcher

FILE = "diversity.json"
MEASURES = ("disagreement", "error", "pooled_error", "nll", "pooled_nll", "gain")
"""What is measured of each cell; each a mean over seeds, their spread and values."""


def sweep(
    recipe: Recipe,
    folder: str | Path,
    peaks: Sequence[float],
    cycles: Sequence[int],
    *,
    seeds: int = 3,
    split: str = "test",
    data: Data | None = None,
    watch: Callable[[str], Watcher] = lambda name: Watcher(),
) -> dict[str, Any]:
    """Snapshots at every peak rate η_max and every length T of a cycle, at one budget.

    Each cell of the grid spends the recipe's epochs on so many cosine cycles of the
    ``snapshot`` strategy. All cells of one seed are one run, and their networks are
    trained at once where the recipe's ``engine.stack`` says so. Measured on the split,
    per cell and seed:

    * disagreement: share of examples on which two members differ, mean over pairs;
    * error and NLL of single members, their mean, and of the pool of all of them;
    * gain: NLL of single members less that of the pool.

    Members and pool each have a temperature fitted on ``val``.

    Args:
        recipe: Data, network, optimiser, epochs; its strategies are left out, and what
            it would collect, watch or limit.
        folder: Where the runs and the result, `FILE`, are kept; a sweep that was
            stopped goes on there.
        peaks: Rates η_max, > 0, each once.
        cycles: Numbers of cycles, at least 2, each once; T is the budget over that.
        seeds: Number of seeds, from the recipe's own upwards, at least 1.
        split: What is scored.
        data: The recipe's, when they are loaded already.
        watch: Makes, for the name of a run, who is told of its progress.

    Returns:
        As JSON values: the grid, and ``cells`` with a mapping of `MEASURES` each.

    Raises:
        InputError: A value is out of range or given twice, or the folder holds another
            sweep.
        TrainingError: A peak is so large that the loss became NaN or infinite.
    """
    _check("peaks", peaks, all(0 < peak < float("inf") for peak in peaks), "rates > 0")
    wanted = "2 or more cycles"
    _check("cycles", cycles, all(count >= 2 for count in cycles), wanted)
    if seeds < 1:
        raise InputError(f"seeds: expected 1 or more, got {seeds}")
    peaks, cycles = sorted(peaks), sorted(cycles)
    grid = [(peak, count) for count in cycles for peak in peaks]
    found: list[list[dict[str, float]]] = []
    names = [f"seed-{recipe.seed + number}" for number in range(seeds)]
    for number, name in enumerate(names):
        text = _text(recipe, recipe.seed + number, grid)
        bench = _bench(text, Path(folder) / name, data)
        data = bench.data
        _train(bench, watch(name))
        found.append([_measured(bench, group, split) for group in _groups(len(grid))])
    per_epoch = recipe.budget(len(data.splits["train"])).per_epoch if data else 0
    document = {
        "split": split,
        "epochs": recipe.epochs,
        "per_epoch": per_epoch,
        "peaks": peaks,
        "cycles": cycles,
        "seeds": [recipe.seed + number for number in range(seeds)],
        "cells": [
            {
                "peak": peak,
                "cycles": count,
                "length": recipe.epochs / count,
                **_over_seeds([mine[place] for mine in found]),
            }
            for place, (peak, count) in enumerate(grid)
        ],
    }
    sealed.write(Path(folder) / FILE, "diversity", document)
    return document


def sweep_run(
    bench: Workbench,
    peaks: Sequence[float],
    cycles: Sequence[int],
    *,
    seeds: int = 3,
    split: str = "test",
    watch: Callable[[str], Watcher] = lambda name: Watcher(),
) -> dict[str, Any]:
    """A `sweep` of a run's recipe, kept in the run; its members stay as they are.

    Args:
        bench: The run.
        peaks: Rates η_max.
        cycles: Numbers of cycles.
        seeds: Number of seeds.
        split: What is scored.
        watch: Makes, for the name of a run, who is told of its progress.

    Returns:
        As `sweep`; also stored as ``results/diversity.json``.
    """
    found = sweep(
        bench.recipe,
        bench.run.folder / "sweep",
        peaks,
        cycles,
        seeds=seeds,
        split=split,
        data=bench.data,
        watch=watch,
    )
    with bench.run.lock():
        bench.run.write_result("diversity", found)
    return found


def _check(name: str, values: Sequence[float], fine: bool, wanted: str) -> None:
    if not values or not fine or len(set(values)) < len(values):
        shown = ", ".join(f"{value:g}" for value in values) or "nothing"
        raise InputError(f"{name}: expected {wanted}, each once, got {shown}")


def _text(recipe: Recipe, seed: int, grid: Sequence[tuple[float, int]]) -> str:
    """The recipe of all cells of one seed."""
    left_out = {"strategies", "collect", "guard", "plateau", "minutes", "seed"}
    kept = recipe.model_dump(mode="json", exclude=left_out, exclude_defaults=True)
    strategies = [
        {"name": "snapshot", "peak": peak, "cycles": count} for peak, count in grid
    ]
    kept |= {"seed": seed, "strategies": strategies}
    return yaml.safe_dump(kept, sort_keys=False)


def _bench(text: str, folder: Path, data: Data | None) -> Workbench:
    """The run of one seed, begun or gone on with."""
    if not (folder / "recipe.yaml").exists():
        return start(text, folder)
    run = Run(folder)
    if run.recipe != text:
        raise InputError(
            f"{folder} holds another sweep; go on with its peaks, cycles and recipe, "
            "or move it away"
        )
    return Workbench(run, data)


def _train(bench: Workbench, watcher: Watcher) -> None:
    try:
        bench.train(watcher)
    except NotFiniteError as error:
        raise TrainingError(f"{error}; leave that peak out of the sweep") from error


def _groups(cells: int) -> list[str]:
    """Groups of the cells, as a recipe numbers a strategy that it names again."""
    return ["snapshot", *(f"snapshot-{number}" for number in range(2, cells + 1))]


def _measured(bench: Workbench, group: str, split: str) -> dict[str, float]:
    members = bench.members(group)
    fit, score = (bench.predict(name, members) for name in ("val", split))
    targets_N = score.targets_N

    def calibrated(fit_NC: Tensor, score_NC: Tensor) -> float:
        temperature = fit_temperature(fit_NC, fit.targets_N)
        return nll(temperature.apply(score_NC), targets_N)

    pairs = zip(fit.logits_MNC, score.logits_MNC, strict=True)
    single = mean(calibrated(*pair) for pair in pairs)
    pool_NC = mean_probability(score.logits_MNC)
    pooled = calibrated(mean_probability(fit.logits_MNC), pool_NC)
    return {
        "disagreement": mean_disagreement(score.logits_MNC),
        "error": mean(error(logits, targets_N) for logits in score.logits_MNC),
        "pooled_error": error(pool_NC, targets_N),
        "nll": single,
        "pooled_nll": pooled,
        "gain": single - pooled,
    }


def _over_seeds(found: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Mean, standard deviation and values of each measure."""
    made = {}
    for name in MEASURES:
        values = [one[name] for one in found]
        spread = stdev(values) if len(values) > 1 else None
        made[name] = {"mean": mean(values), "sd": spread, "values": values}
    return made
