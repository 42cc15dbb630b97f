"""What is hung into the loop is called in order, and is part of the saved state."""

import pytest
import torch

from dale.errors import Interrupted
from dale.recipes import start
from dale.train import Watcher, train
from dale.train.batches import shares
from dale.train.seams import Seams, classification

RECIPE = """
data: {source: digits, val: 300, test: 1200}
model: {name: mlp, hidden: [8], norm: none}
epochs: 2
batch: 75
checkpoint_seconds: 0
strategies: [single]
"""


class Memory:
    """A noise on the weights that depends on all updates before."""

    def __init__(self, model):
        self.model, self.sums, self.calls = model, torch.zeros(()), []

    def before(self, step):
        self.calls.append(("before", step))

    def after(self, step):
        self.calls.append(("after", step))
        with torch.no_grad():
            weight = next(self.model.parameters())
            self.sums = self.sums + weight.abs().mean()
            weight.mul_(1 - 0.01 * torch.tanh(self.sums))

    def state(self):
        return {"sums": self.sums}

    def load_state(self, state):
        self.sums = state["sums"]


def run(folder, made, stop=lambda: False):
    bench = start(RECIPE, folder)

    def hang(trajectory, model, optimizer):
        memory = Memory(model)
        made.append(memory)
        return Seams(
            before_step=(memory.before,),
            after_step=(memory.after,),
            carried={"memory": memory},
        )

    watcher = Watcher(stop=stop)
    with bench.run.lock():
        return train(
            bench.run, bench.recipe, bench.data, lambda m, s: {}, watcher, hang
        )


def test_seams_are_called_around_each_update_and_resume_exactly(tmp_path):
    made = []
    (whole,) = run(tmp_path / "whole", made)
    expected = [(when, s + (when == "after")) for s in range(8) for when in ORDER]
    assert made[0].calls == expected
    steps = iter(range(2))
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", made, lambda: next(steps, None) is None)
    (again,) = run(tmp_path / "cut", made)
    assert again.digest == whole.digest


ORDER = ("before", "after")


def test_an_objective_of_ones_own_and_an_optimiser_that_asks_for_the_loss(tmp_path):
    recipe = RECIPE + "optimizer: {name: lbfgs, iterations: 1}"
    bench, losses = start(recipe, tmp_path / "run"), []
    usual = classification()

    def objective(call, batch, step):
        assert torch.equal(
            bench.data.splits["train"].targets_N[batch.rows_N], batch.targets_N
        )
        loss, logits = usual(call, batch, step)
        losses.append((step, loss.item()))
        return 2 * loss, logits

    def hang(trajectory, model, optimizer):
        return Seams(objective=objective)

    with bench.run.lock():
        train(bench.run, bench.recipe, bench.data, lambda m, s: {}, None, hang)
    assert len(losses) >= 16  # the search looks at least once more in each update
    (first, second) = bench.run.log()
    sizes = [b - a for a, b in shares(len(bench.data.splits["train"]), 4)]
    before = [next(loss for s, loss in losses if s == step) for step in range(4)]
    mean = sum(2 * a * b for a, b in zip(sizes, before, strict=True))
    assert first["train_loss"] == pytest.approx(mean / sum(sizes))
    assert second["train_loss"] < first["train_loss"]
