"""Few labels and many images: the Π-model and temporal ensembling against labels alone.

Every strategy, data set and seed is one run folder. It can be stopped and started
again; what is done is not done twice.

    python benchmarks/semi_supervised.py
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

# one thread for each worker; torch reads this when it is first imported
os.environ["OMP_NUM_THREADS"] = "1"

import yaml
from fashion.machine import DATA, has_images, surroundings
from fashion.tables import plus_minus, table
from fashion.timing import seconds_of, train_timed

from dale.recipes import Workbench, judge, predictors, start
from dale.store import Run

ROOT = Path(__file__).resolve().parents[1]
SHARE = 0.5
RATE = {"peak": 0.1, "schedule": {"name": "cosine", "peak": 0.1}}
ENTRIES: dict[str, dict[str, Any]] = {
    "labels alone": {"name": "single", **RATE},
    "half of each batch labelled": {
        "name": "temporal",
        "weight": 0.0,
        "share": SHARE,
        **RATE,
    },
    "temporal ensembling, as published": {"name": "temporal", "share": 0.0, **RATE},
    "temporal ensembling": {"name": "temporal", "share": SHARE, **RATE},
    "Π-model": {"name": "pi", "weight": 30.0, "share": SHARE, **RATE},
    "all labels": {"name": "single", **RATE},
}
"""Strategies by title; the last one sees every label, and shows what they are worth."""
MEASURES = {"error": (100, 2), "nll": (1, 3), "nll_calibrated": (1, 3), "ece": (100, 2)}
HEAD = ("Trained with", "Error, %", "NLL", "NLL, calibrated", "ECE, %", "Seconds")


@dataclass(frozen=True)
class Setting:
    """One data set with few labels.

    Args:
        title: For people.
        labels: How many training images keep their label.
        source: Of the data.
        facts: The rest of the recipe.
    """

    title: str
    labels: int
    source: Mapping[str, Any]
    facts: Mapping[str, Any]

    def recipe(self, title: str, seed: int) -> str:
        """The recipe of one strategy; the seed also decides who has a label."""
        data = {**self.source, "seed": seed}
        if title != "all labels":
            data["labelled"] = self.labels
        document = {
            "version": 1,
            "seed": seed,
            "data": data,
            **self.facts,
            "engine": {"device": "cpu", "threads": 1},
            "strategies": [ENTRIES[title]],
        }
        return yaml.safe_dump(document, sort_keys=False)


def settings(data: str, quick: bool) -> dict[str, Setting]:
    """The data sets by name."""
    images, labels, epochs = (1000, 100, 2) if quick else (5_000, 250, 12)
    idx = {"source": "idx", "path": data, "val": 2000, "train_limit": images}
    digits = {"source": "digits", "val": 300, "test": 500}
    augment = {"crop": 2, "flip": True}
    network = {"name": "convnet", "width": 10, "dropout": 0.2}
    return {
        "digits": Setting(
            "Digits, 50 labels of 997",
            50,
            digits,
            {
                "model": network,
                "epochs": 2 if quick else 50,
                "batch": 100,
                "augment": {"crop": 1, "flip": False},
            },
        ),
        "fashion": Setting(
            f"Fashion-MNIST, {labels} labels of {images:,}",
            labels,
            idx,
            {"model": network, "epochs": epochs, "batch": 100, "augment": augment},
        ),
    }


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", default=DATA, help="folder of the four IDX files")
    add("--runs", type=Path, default=ROOT / "runs" / "semi", help="run folders")
    add("--seeds", type=int, default=3, help="seeds")
    add("--workers", type=int, default=2, help="processes, of one thread each")
    add("--quick", action="store_true", help="1,000 images, 2 epochs, 1 seed")
    return parser.parse_args(arguments)


def work(folder: Path, recipe: str) -> None:
    """Train a run, or go on with it, and note the processor seconds that it took."""
    train_timed(start(recipe, folder, "benchmarks/semi_supervised.py"))


def measured(folder: Path) -> dict[str, Any]:
    """The figures of a run."""
    bench = Workbench(Run(folder))
    members = bench.members()
    found = judge(
        predictors(members)[0],
        bench.predict("val", members),
        bench.predict("test", members),
    )
    log = bench.run.log()[-1]
    return {
        **{name: found.row[name] for name in MEASURES},
        "agreement": log.get("train_agreement"),
        "steps": log["step"],
        "seconds": seconds_of(bench),
    }


def markdown(document: Mapping[str, Any]) -> str:
    """The whole page."""
    facts = document["facts"]
    lines = [
        "# Few labels",
        "",
        f"Written by `{facts['command']}` on {facts['date']}; do not edit.",
        f"{facts['cpu']}, {facts['cores']} cores, one thread for each of "
        f"{facts['workers']} workers; dale {facts['dale']}, PyTorch {facts['torch']}.",
        "",
        "Equal numbers of updates for everyone. Test images; ± is the standard "
        f"deviation over {facts['seeds']} seeds, each with weights, validation images "
        "and labelled images of its own. The validation images fit temperatures and "
        "choose nothing; the share and the weights were settled on in a trial with "
        "another seed. *As published*: batches have as many labels as the images "
        f"have; else {SHARE:.0%} of each batch is labelled. *Half of each batch "
        "labelled* is temporal ensembling with weight 0.",
    ]
    for part in document["settings"]:
        rows = [_row(title, seen) for title, seen in part["results"].items()]
        steps = next(iter(part["results"].values()))[0]["steps"]
        lines += ["", f"## {part['title']}", "", f"{steps:,} updates.", ""]
        lines += [*table(HEAD, rows), "", "```yaml", part["recipe"].rstrip(), "```"]
    return "\n".join(lines) + "\n"


def _row(title: str, seen: Sequence[Mapping[str, Any]]) -> list[str]:
    cells = [
        plus_minus([line[name] for line in seen], digits, scale)
        for name, (scale, digits) in MEASURES.items()
    ]
    times = [line["seconds"] for line in seen if line["seconds"] is not None]
    return [title, *cells, plus_minus(times, 0) if times else ""]


def compared(
    pool: ProcessPoolExecutor, runs: Path, setting: Setting, seeds: Sequence[int]
) -> dict[str, Any]:
    """Train what is missing of a data set, and measure all of it."""
    places = {
        (title, seed): runs / title.replace(" ", "-") / f"seed{seed}"
        for seed in seeds
        for title in ENTRIES
    }
    jobs = {
        place: pool.submit(work, place, setting.recipe(*key))
        for key, place in places.items()
    }
    for place, job in jobs.items():
        job.result()
        print(f"done {place.relative_to(runs.parent)}", flush=True)
    return {
        "title": setting.title,
        "recipe": setting.recipe("temporal ensembling", seeds[0]),
        "results": {
            title: [measured(places[title, seed]) for seed in seeds]
            for title in ENTRIES
        },
    }


def main() -> int:
    """Train what is missing and write the results."""
    given = parse()
    if not has_images(given.data):
        return 2
    runs, count = given.runs, 1 if given.quick else given.seeds
    seeds = range(1, count + 1)  # the first was for a trial
    results = ROOT / "benchmarks" / "results"
    if given.quick:
        runs = runs.with_name(f"{runs.name}-quick")
        results = runs / "results"
    command = "python benchmarks/semi_supervised.py"
    document: dict[str, Any] = {
        "facts": {
            "command": f"{command} --quick" if given.quick else command,
            "seeds": count,
            **surroundings(given.workers),
        },
        "settings": [],
    }
    results.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
        for name, setting in settings(given.data, given.quick).items():
            found = compared(pool, runs / name, setting, seeds)
            document["settings"].append(found)
            text = json.dumps(document, indent=1) + "\n"
            for ending, content in (("json", text), ("md", markdown(document))):
                path = results / f"semi_supervised.{ending}"
                path.write_text(content, encoding="utf-8")
                print(f"wrote {path}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
