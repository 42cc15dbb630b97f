"""The runs: what each needs, which are ready, and how a worker does one.

Every run is a run folder of dale. What is done is read off the folders, so that a
benchmark that was killed goes on where it stopped.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dale.calibrate import cross_fitted_score, fit_temperature
from dale.metrics import nll
from dale.recipes import PROBE, Predictor, Workbench, fuse, predictors, start
from dale.store import Run
from fashion.regimes import Regime, Setting, short_cycles, swa

SPLITS = ("val", "test", PROBE)
SOUPS = ("uniform", "greedy_soup")


@dataclass(frozen=True)
class Site:
    """Where the benchmark reads and writes.

    Args:
        data: Folder of the IDX files.
        runs: Folder of the run folders.
        seeds: Seeds of each setting; the first one serves the choice of settings.
    """

    data: str
    runs: Path
    seeds: tuple[int, ...]

    def folder(self, regime: Regime, setting: Setting, seed: int) -> Path:
        """The run folder of one run."""
        return self.runs / regime.name / setting.slug / f"seed{seed}"


@dataclass(frozen=True)
class Job:
    """Something for a worker to do.

    Args:
        folder: The run folder.
        recipe: Its recipe, to be trained and predicted with.
        soups: Average the members of the trained run instead.
    """

    folder: Path
    recipe: str
    soups: bool = False

    @property
    def name(self) -> str:
        """For the log."""
        kind = "soups of" if self.soups else "train"
        return f"{kind} {'/'.join(self.folder.parts[-3:])}"

    @property
    def done(self) -> bool:
        """Whether its result is in the folder."""
        return (self.folder / "results" / f"{self._result}.json").exists()

    @property
    def _result(self) -> str:
        return "soups" if self.soups else "trained"

    def do(self) -> None:
        """Train and predict, or average and predict; then note that it is done."""
        bench = start(self.recipe, self.folder, self.name)
        if self.soups:
            group = bench.recipe.strategies[0].name
            made = [fuse(bench, method, group=group) for method in SOUPS]
        else:
            made = bench.train()
        for split in SPLITS[: 2 if self.soups else 3]:
            bench.predict(split, made)
        with bench.run.lock():
            labels = [member.label for member in made]
            bench.run.write_result(self._result, {"labels": labels})


def jobs(site: Site, regime: Regime) -> Iterator[Job]:
    """The jobs of a regime that can be done now, the important ones first.

    The first seed of every setting comes before the choice; what depends on the
    choice is named once all of those are done.
    """
    first = site.seeds[0]
    tried = (*regime.controls, *regime.snapshots)
    candidates = [job_of(site, regime, setting, first) for setting in tried]
    yield from candidates
    if not all(job.done for job in candidates):
        return
    control = choose(site, regime, regime.controls)
    best = choose(site, regime, regime.snapshots)
    for seed in site.seeds:
        for setting in (control, best, short_cycles(best), swa(control)):
            yield job_of(site, regime, setting, seed)
    for seed in site.seeds:
        averaged = (best, control) if regime.nocycle_soups else (best,)
        for setting in averaged:
            trained = job_of(site, regime, setting, seed)
            if trained.done:
                yield Job(trained.folder, trained.recipe, soups=True)


def job_of(site: Site, regime: Regime, setting: Setting, seed: int) -> Job:
    """The training of one setting with one seed."""
    folder = site.folder(regime, setting, seed)
    return Job(folder, regime.recipe(setting, seed, site.data))


def choose(site: Site, regime: Regime, settings: tuple[Setting, ...]) -> Setting:
    """The setting whose final predictor is the most likely on validation images."""
    first = site.seeds[0]
    scores = [validation(site.folder(regime, s, first)) for s in settings]
    return settings[scores.index(min(scores))]


@cache
def validation(folder: Path) -> float:
    """Calibrated validation likelihood of a run's final predictor.

    The temperature is cross-fitted: no image is scored with a temperature that was
    fitted on it. The final predictor is the last network of a single run, and the
    ensemble of a run with cycles.
    """
    bench = Workbench(Run(folder))
    found = final(bench)
    seen = bench.predict("val", bench.members(labels=found.labels))
    return cross_fitted_score(nll, found.logits(seen), seen.targets_N, fit_temperature)


def final(bench: Workbench) -> Predictor:
    """What a run delivers: its last network, or the ensemble of its cycles."""
    trained = [member for member in bench.members() if not member.parents]
    wanted = "single" if trained[0].group == "nocycle" else "ensemble"
    (found,) = (p for p in predictors(trained) if p.kind == wanted and p.labels)
    return found
