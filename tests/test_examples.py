"""Every example runs, with less of everything."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from cases.runs import idx_folder
from dale.recipes import evaluate, start

EXAMPLES = Path(__file__).parents[1] / "examples"


def small(name, **changes):
    """A recipe of the folder with some of its keys changed, as text."""
    recipe = yaml.safe_load((EXAMPLES / name).read_text("utf-8"))
    for key, value in changes.items():
        recipe[key] = recipe[key] | value if isinstance(value, dict) else value
    return yaml.safe_dump(recipe)


def names(bench):
    return [row["name"] for row in evaluate(bench)["rows"]]


def test_own_loop():
    script, short = EXAMPLES / "own_loop.py", ["--epochs", "4", "--cycles", "2"]
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), *short],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["step 30: snapshot 1", "step 60: snapshot 2"]
    assert [line.split(":")[0] for line in lines[2:]] == ["last snapshot", "ensemble"]
    figures = [
        float(part.split()[-1]) for line in lines[2:] for part in line.split(",")
    ]
    assert len(figures) == 12
    assert all(math.isfinite(figure) and figure >= 0 for figure in figures)


def test_a_model_of_ones_own():
    shutil.copytree(EXAMPLES, "examples")
    bench = start(small("my_model.yaml", epochs=3), "run")
    members = bench.train()
    assert [member.step for member in members] == [17, 34, 51]
    assert type(bench.model).__name__ == "Gated"
    assert bench.model.values.out_features == 48
    assert names(bench) == ["last snapshot", "snapshot ensemble"]


def some_images():
    rng = np.random.default_rng(0)
    for number in range(120):
        folder = Path("images/train") / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (40, 36, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


def test_images():
    some_images()
    bench = start(small("images.yaml", epochs=10, model={"width": 8}), "run")
    assert bench.data.shape == (3, 32, 32)
    assert bench.data.class_names == ("cat", "dog")
    assert [member.group for member in bench.train()] == ["nocycle"] * 5 + [
        "snapshot"
    ] * 5
    assert "snapshot ensemble" in names(bench)


def test_classical():
    some_images()
    schedule = {"name": "clr", "peak": 0.1, "floor": 0.001, "up": 4}
    strategy = {"name": "single", "schedule": schedule}
    recipe = small(
        "classical.yaml",
        model={"depth": 14, "width": 4},
        epochs=7,
        batch=32,
        strategies=[strategy],
    )
    bench = start(recipe, "run")
    last, best, average = bench.train()
    assert (last.group, best.group, average.how) == ("single", "single-best", "swa")
    assert average.details["models"] == 2
    lowest = min(line["val_nll"] for line in bench.run.log())
    assert best.scores["val_nll"] == lowest
    assert names(bench) == [
        "single run (control)",
        "best checkpoint of single",
        "SWA of single",
    ]


def test_fashion(tmp_path):
    source = {"path": str(idx_folder(tmp_path)), "val": 100, "train_limit": 200}
    recipe = small("fashion.yaml", data=source, model={"width": 4}, epochs=5)
    bench = start(recipe, "run")
    assert len(bench.train()) == 11
    assert "SWA" in names(bench)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*")), ids=lambda p: p.name)
def test_each_file_is_in_the_list(path):
    listed = (EXAMPLES / "README.md").read_text("utf-8")
    assert path.name in ("README.md", "__pycache__") or f"({path.name})" in listed
