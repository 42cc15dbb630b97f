"""Calibrating and scoring files of logits, without a run."""

import json
import re

import numpy as np
import pytest
from safetensors.numpy import save_file

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
    half = chances[0].astype(np.float16)
    np.savez("half.npz", logits=half, targets=draws[0])
    np.savez("two.npz", logits=truth[1][:, :2], targets=np.minimum(draws[1], 1))
    np.savez("one.npz", logits=truth[0][:1], targets=draws[0][:1])
    np.savez("column.npz", logits=truth[0][:, :1], targets=draws[0] > 0)
    np.savez("narrow.npz", logits=4 * truth[0].astype(np.float32), targets=draws[0])
    np.savez("huge.npz", logits=1e300 * truth[0], targets=draws[0])


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
        ("calibrate val.npz --score narrow.npz", "same examples"),
        ("calibrate val.npz --score two.npz", "two.npz: expected logits of 3 classes"),
        ("calibrate val.npz --order joint", "'joint' is for several networks"),
        ("calibrate val.npz --fit train", "--fit is for runs"),
        ("evaluate val.npz --split val", "--split is for runs"),
        ("calibrate one.npz", "1 example is too few to cross-fit"),
        ("calibrate half.npz", "expected logits, got probabilities"),
        ("evaluate column.npz", "binary head of one logit z pass .* 0 and z"),
        ("calibrate val.npz --output val.npz", "expected a name ending in .safetens"),
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


@pytest.mark.parametrize(
    "command",
    [
        "calibrate val.safetensors --output val.safetensors",
        "calibrate val.npz --score val.safetensors --output val.safetensors",
        "calibrate val.npz --output val.safetensors",
        "evaluate val.safetensors --output val.safetensors",
        "evaluate test.npz --output test.npz",
        "evaluate test.npz --apply c.safetensors --output c.safetensors",
        "evaluate test.npz --apply c.safetensors --output ./link.npz",
    ],
)
def test_what_is_read_is_never_overwritten(command, dale, tmp_path):
    held = np.load("val.npz")
    save_file({"logits": held["logits"], "targets": held["targets"]}, "val.safetensors")
    ask(dale, "calibrate", "val.npz", "--output", "c.safetensors")
    (tmp_path / "link.npz").symlink_to("test.npz")
    before = {path: path.read_bytes() for path in sorted(tmp_path.iterdir())}
    said = dale(*command.split())
    assert said.code == 2
    assert re.search("would overwrite what is read|holds no calibrator", said.err)
    assert {path: path.read_bytes() for path in sorted(tmp_path.iterdir())} == before


def test_another_calibrator_is_replaced(dale):
    for method in ("temperature", "vector"):
        ask(
            dale,
            "calibrate",
            "val.npz",
            "--method",
            method,
            "--output",
            "c.safetensors",
        )
    found = ask(dale, "evaluate", "test.npz", "--apply", "c.safetensors")
    assert found["calibrated"].startswith("vector from")
    said = dale("evaluate", "two.npz", "--apply", "c.safetensors")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "expected logits of 3 classes" in said.err


def test_enormous_losses_stay_in_the_table(dale):
    said = dale("calibrate", "huge.npz")
    assert said.code == 0
    assert "e+299" in said.out
    assert max(map(len, said.out.splitlines())) < 200
