"""Calibrating and scoring files of logits, without a run."""

import json
import re

import numpy as np
import pytest

from dale.calibrate import ORDERS

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    truth = 2 * RNG.normal(size=(2, 400, 3))
    chances = np.exp(truth) / np.exp(truth).sum(axis=2, keepdims=True)
    draws = (RNG.random((2, 400, 1)) > chances.cumsum(axis=2)[..., :2]).sum(axis=2)
    for name, logits, targets in zip(("val", "test"), truth, draws, strict=True):
        np.savez(f"{name}.npz", logits=4 * logits, targets=targets)
        members = np.stack([logits, 6 * logits]) + RNG.normal(size=(2, 400, 3))
        np.savez(f"{name}s.npz", logits=members, targets=targets)
    np.savez("new.npz", logits=4 * truth[1])
    np.savez("shares.npz", logits=chances[0], targets=draws[0])


def ask(dale, *arguments):
    said = dale(*arguments, "--json")
    assert (said.code, said.err) == (0, "")
    return json.loads(said.out)


@pytest.mark.parametrize(
    ("val", "test", "order"),
    [("val", "test", "pool-first"), *(("vals", "tests", order) for order in ORDERS)],
)
def test_fit_save_apply(val, test, order, dale):
    options = ["--score", f"{test}.npz", "--output", "c.safetensors", "--order", order]
    record = ask(dale, "calibrate", f"{val}.npz", *options)
    assert record["after"]["nll"] < record["before"]["nll"]
    found = ask(dale, "evaluate", f"{test}.npz", "--apply", "c.safetensors")
    # both were computed from the same logits by an equal calibrator
    assert {key: found[key] for key in record["after"]} == record["after"]
    low, high = found["nll_interval"]
    assert low < found["nll"] < high
    said = dale("evaluate", f"{val}.npz", "--apply", "c.safetensors")
    assert said.code == 2
    assert said.err.startswith("dale: fitted and scored on the same examples")


def test_without_another_file_the_score_is_cross_fitted(dale):
    record = ask(dale, "calibrate", "val.npz", "--method", "auto")
    losses = [candidate["nll"] for candidate in record["candidates"]]
    assert record["after"]["nll"] == min(losses)
    said = dale("calibrate", "val.npz", "--method", "auto")
    assert said.code == 0
    assert "folds of val.npz" in said.out
    assert said.out.count("cross-fitted NLL") == len(losses)


def test_calibrated_logits_are_written(dale):
    ask(dale, "calibrate", "val.npz", "--output", "c.safetensors")
    found = ask(dale, "evaluate", "test.npz", "--apply", "c.safetensors")
    options = ["--apply", "c.safetensors", "--output", "o.npz"]
    assert ask(dale, "evaluate", "test.npz", *options) == found
    assert ask(dale, "evaluate", "o.npz")["nll"] == pytest.approx(found["nll"])
    said = dale("evaluate", "new.npz", *options)
    assert said.out == "o.npz: 400 examples, no targets to score\n"
    said = dale("evaluate", "test.npz")
    assert "confidence against accuracy" in said.out


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("calibrate val.npz --score val.npz", "same examples .*leave out --score"),
        ("calibrate shares.npz", "expected logits, got probabilities"),
        ("evaluate shares.npz", "expected logits, got probabilities"),
        ("evaluate new.npz", "new.npz: expected targets beside the logits"),
        ("evaluate test.npz --apply absent", "no file absent"),
        ("calibrate val.npz --name x", "--name is for runs"),
        ("calibrate val.npz --cross-fit", "--cross-fit is for runs"),
        ("evaluate val.npz --drift", "--drift is for runs"),
        ("calibrate run --score val.npz", "--score is for files of logits"),
        ("evaluate run --output o.npz", "--output is for files of logits"),
        ("calibrate val.npz --method temprature", "unknown method 'temprature'"),
        ("calibrate vals.npz --order joint --method bcts", "'joint' is for temper"),
    ],
)
def test_one_line_for_mistakes(command, why, dale):
    said = dale(*command.split())
    assert said.code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert re.search(why, said.err)
