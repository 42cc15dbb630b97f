"""A user's model that fails late is named in one line, whatever it raises."""

import pytest
import torch

from dale.errors import InputError, ModelError, TrainingError
from dale.recipes import pool, start
from dale.recipes.judging import judge, predictors
from dale.store import Member, Predictions

MODEL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, mode):
        super().__init__()
        self.mode, self.calls = mode, 0
        self.layer = nn.Linear(64, 10)

    def forward(self, x):
        logits = self.layer(x.flatten(1))
        if self.training:
            if self.mode == "key":
                raise KeyError("late")
            if self.mode == "assert":
                assert False, "late"
            if self.mode == "detached":
                return logits.detach()
            if self.mode == "narrow":
                return logits[:, :7]
            if self.mode == "wide":
                return torch.cat([logits, logits], dim=1)
            if self.mode == "tuple":
                return (logits,)
        elif self.mode == "eval" and len(x) > 2:
            raise RuntimeError("late")
        return logits

def make(mode):
    return Net(mode)
"""

RECIPE = """
data: {source: digits, val: 300, test: 300}
model: {name: factory, function: "FILE:make", args: {mode: MODE}}
epochs: 1
batch: 400
strategies: [single]
"""


@pytest.mark.parametrize(
    ("mode", "error", "words"),
    [
        ("key", TrainingError, r"failed at step 0 .*KeyError: 'late'"),
        ("assert", TrainingError, r"failed at step 0 .*AssertionError: late"),
        ("detached", TrainingError, "without gradients at step 0"),
        ("narrow", TrainingError, r"returned \(\d+, 7\) in training mode at step 0"),
        ("wide", TrainingError, r"returned \(\d+, 20\) in training mode at step 0"),
        ("tuple", TrainingError, "returned tuple in training mode at step 0"),
        ("eval", ModelError, r"failed in evaluation mode .*RuntimeError: late"),
    ],
)
def test_what_fails_late_is_named(mode, error, words, tmp_path):
    (tmp_path / "net.py").write_text(MODEL)
    recipe = RECIPE.replace("FILE", str(tmp_path / "net.py")).replace("MODE", mode)
    bench = start(recipe, tmp_path / "run")
    with pytest.raises(error, match=words):
        bench.train()


def test_a_temperature_that_nothing_limits_is_marked_and_harmless():
    right = Predictions(
        5 * torch.eye(3)[None], torch.arange(3), ("a",), "val", "fit digest"
    )
    wrong = Predictions(
        5 * torch.eye(3)[None], torch.tensor([0, 1, 0]), ("a",), "test", "score digest"
    )
    (predictor,) = predictors([Member("a", "0" * 64, "snapshot", "snapshot")])
    row = judge(predictor, right, wrong).row
    assert row["temperature"] == 1.0
    assert row["nll_calibrated"] == pytest.approx(row["nll"])
    assert row["note"] == "val sets no temperature"


def test_a_pool_takes_no_name_that_is_taken(tmp_path):
    bench = start(
        "{data: digits, model: mlp, epochs: 1, batch: 400, strategies: "
        "[{name: snapshot, cycles: 2}]}",
        tmp_path / "run",
    )
    bench.train()
    with pytest.raises(InputError, match="'last snapshot' is the name of another"):
        pool(bench, name="last snapshot")
