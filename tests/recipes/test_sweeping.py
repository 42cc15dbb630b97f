"""A sweep of peak rates and cycle lengths, held against its own runs."""

import json
from itertools import combinations

import pytest
import torch

from dale.errors import InputError, Interrupted, TrainingError
from dale.recipes import Workbench, start, sweep, sweep_run
from dale.report import gather, render
from dale.store import Run
from dale.train import Watcher, parse_recipe

TEXT = """
data: {source: digits, val: 120, test: 1200}
model: {name: mlp, hidden: [4]}
epochs: 4
batch: 64
strategies: [single]
collect: [ema]
guard: {of: ema}
"""
RECIPE = parse_recipe(TEXT)
PEAKS, CYCLES = (0.05, 0.2), (2, 4)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep") / "runs"
    return folder, sweep(RECIPE, folder, PEAKS, CYCLES, seeds=2)


def test_every_cell_spends_the_budget_once(swept):
    folder, found = swept
    assert found["seeds"] == [0, 1]
    cells = [(c["peak"], c["cycles"], c["length"]) for c in found["cells"]]
    assert cells == [(0.05, 2, 2), (0.2, 2, 2), (0.05, 4, 1), (0.2, 4, 1)]
    run = Run(folder / "seed-1")
    groups = {}
    for member in run.population:
        groups.setdefault(member.group, []).append(member)
    steps = RECIPE.budget(477).steps
    for (_, count, _), members in zip(cells, groups.values(), strict=True):
        assert len(members) == count
        assert members[-1].step == steps
    assert {line["trajectory"] for line in run.log()} == set(groups)


def test_figures_are_those_of_the_members(swept):
    folder, found = swept
    for place, cell in enumerate(found["cells"]):
        group = "snapshot" if place == 0 else f"snapshot-{place + 1}"
        values = {"disagreement": [], "error": [], "pooled_error": []}
        for name in ("seed-0", "seed-1"):
            bench = Workbench(Run(folder / name))
            predictions = bench.predict("test", bench.members(group))
            classes_MN = predictions.logits_MNC.argmax(2)
            pairs = [
                float((a != b).float().mean()) for a, b in combinations(classes_MN, 2)
            ]
            values["disagreement"].append(sum(pairs) / len(pairs))
            wrong_MN = (classes_MN != predictions.targets_N).float()
            values["error"].append(float(wrong_MN.mean()))
            pool_N = predictions.logits_MNC.softmax(2).mean(0).argmax(1)
            values["pooled_error"].append(
                float((pool_N != predictions.targets_N).float().mean())
            )
        for measure, expected in values.items():
            assert cell[measure]["values"] == pytest.approx(expected, abs=1e-6)
            assert cell[measure]["mean"] == pytest.approx(sum(expected) / 2, abs=1e-6)
            spread = float(torch.tensor(cell[measure]["values"]).double().std())
            assert cell[measure]["sd"] == pytest.approx(spread, abs=1e-6)
        gains = zip(cell["nll"]["values"], cell["pooled_nll"]["values"], strict=True)
        assert cell["gain"]["values"] == pytest.approx([a - b for a, b in gains])


def test_a_sweep_goes_on_where_it_was_stopped(swept, tmp_path):
    _, expected = swept
    steps = iter(range(60))

    def watch(name):
        return Watcher(stop=lambda: next(steps, None) is None)

    with pytest.raises(Interrupted):
        sweep(RECIPE, tmp_path, PEAKS, CYCLES, seeds=2, watch=watch)
    assert not (tmp_path / "diversity.json").exists()
    assert sweep(RECIPE, tmp_path, PEAKS, CYCLES, seeds=2) == expected
    kept = json.loads((tmp_path / "diversity.json").read_text())
    assert kept["cells"] == expected["cells"]
    with pytest.raises(InputError, match="holds another sweep"):
        sweep(RECIPE, tmp_path, (0.3,), CYCLES, seeds=2)


@pytest.mark.parametrize(
    ("peaks", "cycles", "seeds", "words"),
    [
        ((), (2,), 1, "peaks: expected rates > 0, each once, got nothing"),
        ((0.1, -1.0), (2,), 1, r"got 0\.1, -1"),
        ((0.1, 0.1), (2,), 1, "each once"),
        ((float("nan"),), (2,), 1, "got nan"),
        ((0.1,), (1, 2), 1, "expected 2 or more cycles"),
        ((0.1,), (2,), 0, "seeds: expected 1 or more"),
        ((0.1,), (999,), 1, "999 cycles do not fit"),
    ],
)
def test_grids_that_make_no_sense(peaks, cycles, seeds, words, tmp_path):
    with pytest.raises(InputError, match=words):
        sweep(RECIPE, tmp_path / "runs", peaks, cycles, seeds=seeds)
    assert not (tmp_path / "runs").exists()


def test_a_peak_that_diverges_is_named(tmp_path):
    with pytest.raises(TrainingError, match="leave that peak out"):
        sweep(RECIPE, tmp_path, (1e30,), (2,), seeds=1)


def test_a_run_keeps_its_sweep_and_shows_it(tmp_path):
    bench = start(TEXT, tmp_path / "run")
    bench.train()
    before = list(bench.run.population)
    found = sweep_run(bench, PEAKS, (2,), seeds=1)
    assert list(Run(tmp_path / "run").population) == before
    assert bench.run.read_result("diversity")["cells"] == found["cells"]
    page = render(gather(bench.run, bench.recipe, 477, None))
    assert "Rate, cycle length and diversity" in page
    assert "mean over 1 seed." in page
    assert found["cells"][0]["gain"]["sd"] is None
