"""Mistakes that are easily made in training loops, and that ours must not make."""

import math

import pytest
import torch

from dale.recipes import start
from dale.recipes.workbench import scores
from dale.schedules import cosine_restarts
from dale.train import Span, Watcher, train
from dale.train.collect import ema, swa
from dale.train.seams import Seams

SPAN = Span(steps=12, per_epoch=4, seed=0)
RECIPE = """
seed: 3
data: {source: digits, val: 300, test: 1200}
model: {name: mlp, hidden: [8], norm: batch}
epochs: 6
batch: 64
checkpoint_seconds: 0
"""
SNAPSHOTS = "strategies: [{name: snapshot, cycles: 4, peak: 0.2}]\n"
TAKEN = [7, 15, 22, 30]
CHANGES = {
    "validation after each epoch": "guard: {of: ema}\ncollect: [ema]",
    "the best by validation": "collect: [best]",
    "a rate that validation lowers": "plateau: {patience: 0}",
    "microbatches": "engine: {accumulate: 5}",
    "states now and then": "checkpoint_seconds: 99",
    "more averages": "collect: [swa, {name: swag, start: 0, every: 1, samples: 2}]",
}


def steps_of(members):
    return [member.step for member in members if member.group == "snapshot"]


@pytest.mark.parametrize("name", CHANGES)
def test_steps_of_snapshots_are_moved_by_nothing(name, tmp_path):
    text = RECIPE.replace("checkpoint_seconds: 0\n", "") + SNAPSHOTS + CHANGES[name]
    shown = []
    bench = start(text, tmp_path / "run")
    members = bench.train(Watcher(progress=shown.append))
    assert steps_of(members) == TAKEN
    assert len(shown) >= 6


def test_an_average_does_not_count_its_first_model_twice():
    """A common start from a copy of the weights, which are then averaged in again."""
    for make in (swa(SPAN, start=0, every=1), ema(SPAN, decay=0.5)):
        for step in range(1, 13):
            make.update(step, {"w": torch.tensor([1.0 if step == 1 else 0.0])})
        (mean,) = make.member(1, {})["w"].tolist()
        assert make.details(1)["models"] == 12
        shares = [0.5 ** (12 - n) for n in range(1, 13)]
        expected = 1 / 12 if make.how == "swa" else shares[0] / sum(shares)
        assert mean == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A run with an EMA, and the weights after each of its updates."""
    text = RECIPE + "strategies: [single]\ncollect: [{name: ema, decay: 0.8}, best]"
    bench, seen = start(text, tmp_path_factory.mktemp("run") / "run"), []

    def hang(trajectory, model, optimizer):
        def note(step):
            seen.append({n: t.clone() for n, t in model.state_dict().items()})

        return Seams(after_step=(note,))

    with bench.run.lock():
        train(bench.run, bench.recipe, bench.data, scores, None, hang)
    return bench, seen


def test_a_moving_average_does_not_forget_the_buffers(watched):
    """Running means and variances are averaged like the weights they belong to."""
    bench, seen = watched
    (member,) = bench.members("single-ema")
    weights, shares = bench.run.population.weights(member), []
    shares = [0.8 ** (len(seen) - n) for n in range(1, len(seen) + 1)]
    buffers = [name for name in weights if "running" in name]
    assert len(buffers) == 2
    for name in [*buffers, "0.weight"] if "0.weight" in weights else buffers:
        parts = zip(shares, seen, strict=True)
        total = sum(share * model[name].double() for share, model in parts)
        expected = total / sum(shares)
        if name.endswith("running_var"):  # the variance of a mixture
            means = [m[name.replace("_var", "_mean")].double() for m in seen]
            middle = weights[name.replace("_var", "_mean")].double()
            away = zip(shares, means, strict=True)
            spread = sum(share * (mean - middle) ** 2 for share, mean in away)
            expected = expected + spread / sum(shares)
        expected = expected.float()
        torch.testing.assert_close(weights[name], expected, rtol=1e-4, atol=1e-5)
        assert not torch.equal(weights[name], seen[-1][name])


def test_an_average_is_moved_on_by_updates_and_not_by_validation(watched, tmp_path):
    """As many models as updates, and the same bits when it is scored more often."""
    bench, seen = watched
    (member,) = bench.members("single-ema")
    assert member.details["models"] == len(seen) == 30
    text = bench.run.recipe + "\nguard: {of: ema}\nplateau: {patience: 99}"
    again = start(text, tmp_path / "run").train()
    found = {m.group: m.digest for m in again}
    assert found["single-ema"] == member.digest


@pytest.mark.parametrize("factor", [3, 10])
def test_restarts_are_not_computed_by_a_float_logarithm(factor):
    """Where ⌊log(t (f − 1) / T + 1) / log f⌋ is the cycle before, the peak is here."""
    cycles, astray = 6, 0
    steps = (factor**cycles - 1) // (factor - 1)
    rate = cosine_restarts(
        peak=0.1, steps=steps, cycles=cycles, length_factor=float(factor)
    )
    starts = [(factor**n - 1) // (factor - 1) for n in range(1, cycles)]
    assert list(rate.ends) == [*starts, steps]
    for number, begin in enumerate(starts, start=1):
        assert rate(begin) == 0.1
        assert rate.cycle(begin) == number
        assert rate.cycle(begin - 1) == number - 1
        astray += int(math.log(begin * (factor - 1) + 1, factor)) != number
    assert astray  # the mistake is one that these numbers show


def test_members_are_not_overwritten_by_the_best(watched, tmp_path):
    """The best checkpoint is one more member; the others are what they were."""
    noisy = "strategies: [{name: nocycle, members: 6, schedule: {name: constant, "
    noisy += "value: 0.9}}]\n"
    alone = start(RECIPE + noisy, tmp_path / "alone").train()
    bench = start(RECIPE + noisy + "collect: [best]", tmp_path / "run")
    members = bench.train()
    found = {m.label: m.digest for m in members}
    assert {m.label: m.digest for m in alone}.items() <= found.items()
    (best,) = [m for m in members if m.group == "nocycle-best"]
    assert best.details["best_step"] < best.step == 30
    assert len(list((tmp_path / "run" / "members").iterdir())) == len(
        set(found.values())
    )
    assert len({m.digest for m in alone}) == 6
