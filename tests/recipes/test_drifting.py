"""A run under drift."""

import pytest
import torch

from dale.calibrate import fit_temperature
from dale.data import corrupted
from dale.ensemble import COMBINERS
from dale.errors import DataError, InputError, LeakageError
from dale.metrics import ece, error, nll
from dale.predict import infer
from dale.recipes import drift, start
from dale.weights import load_into

RECIPE = (
    "{data: digits, model: mlp, epochs: 3, strategies: [{name: snapshot, cycles: 2}]}"
)


@pytest.fixture
def bench():
    made = start(RECIPE, "run")
    made.train()
    return made


def test_equals_what_is_done_by_hand(bench):
    found = drift(bench, corruptions=["rotation", "blur"])
    (row,) = (row for row in found["rows"] if row["kind"] == "ensemble")
    pool = COMBINERS["mean_probability"].function
    val = bench.predict("val", bench.members())
    temperature = fit_temperature(pool(val.logits_MNC), val.targets_N)
    sums = {"error": 0.0, "nll": 0.0, "nll_calibrated": 0.0, "ece_calibrated": 0.0}
    for name in ("rotation", "blur"):
        split = corrupted(bench.data, name, 4)
        logits = []
        for member in bench.members():
            load_into(bench.model, bench.run.population.weights(member))
            logits.append(infer(bench.model, split))
        pooled, targets = pool(torch.stack(logits)), split.targets_N
        calibrated = temperature.apply(pooled)
        sums["error"] += error(pooled, targets) / 2
        sums["nll"] += nll(pooled, targets) / 2
        sums["nll_calibrated"] += nll(calibrated, targets) / 2
        sums["ece_calibrated"] += ece(calibrated, targets) / 2
    at = row["by_severity"][4]
    assert at["severity"] == 4
    assert {key: at[key] for key in sums} == pytest.approx(sums, rel=1e-5)
    low, high = at["error_interval"]
    assert low < at["error"] < high
    assert bench.run.read_result("drift")["rows"] == found["rows"]


def test_severity_0_is_clean(bench):
    found = drift(bench, corruptions=["blur"])
    clean = bench.predict("test", bench.members())
    expected = [error(z, clean.targets_N) for z in clean.logits_MNC]
    assert found["rows"][0]["by_severity"][0]["error"] == pytest.approx(expected[-1])


def test_a_limit_takes_evenly_spaced_examples(bench):
    found = drift(bench, corruptions=["blur"], limit=50)
    assert found["n"] == 50
    whole = drift(bench, corruptions=["blur"], limit=10**6)
    assert whole["n"] == len(bench.split("test"))


def test_progress_is_told(bench):
    seen = []
    drift(
        bench,
        corruptions=["blur"],
        watch=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(done, 5) for done in range(5)]


def test_what_is_refused(bench):
    with pytest.raises(InputError, match="unknown corruption 'fog'"):
        drift(bench, corruptions=["fog"])
    with pytest.raises(InputError, match="limit: expected 1 or more"):
        drift(bench, limit=0)
    with pytest.raises(LeakageError):
        drift(bench, fit="test")
    assert bench.run.read_result("drift") is None


def test_inputs_that_are_no_images():
    import numpy as np

    values = np.random.default_rng(0).normal(size=(90, 4))
    np.savez("data.npz", x=values, y=np.arange(90) % 3)
    data = "{source: npz, path: data.npz}"
    text = f"{{data: {data}, model: mlp, epochs: 1, strategies: [single]}}"
    bench = start(text, "flat")
    bench.train()
    with pytest.raises(DataError, match="corruptions need images"):
        drift(bench)
