"""Gradients and curvature at a member of a real run."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from dale.errors import InputError
from dale.recipes import compare_averages, diagnose, start
from dale.weights import load_into

RECIPE = """
data: {source: digits, val: 120, test: 1200}
model: {name: mlp, hidden: [4], norm: batch, dropout: 0.2}
epochs: 3
batch: 64
strategies: [single]
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    bench = start(RECIPE, tmp_path_factory.mktemp("run") / "run")
    bench.train()
    return bench


def dense(bench):
    """Gradient and Hessian of the same loss, entry by entry."""
    (member,) = bench.members()
    load_into(bench.model, bench.run.population.weights(member))
    split, model = bench.split("train-probe"), bench.model.eval()
    inputs = split.batch(torch.arange(len(split)))
    parameters = dict(model.named_parameters())
    sizes = [p.numel() for p in parameters.values()]

    def loss(flat):
        shaped = {
            name: part.view_as(p)
            for (name, p), part in zip(
                parameters.items(), flat.split(sizes), strict=True
            )
        }
        logits = torch.func.functional_call(model, shaped, (inputs,))
        return cross_entropy(logits, split.targets_N)

    flat = torch.cat([p.detach().flatten() for p in parameters.values()])
    hessian = torch.func.jacrev(torch.func.grad(loss))(flat)
    return torch.func.grad(loss)(flat), hessian, float(loss(flat))


def test_against_the_dense_hessian(bench):
    found = diagnose(bench, steps=60, draws=4, batches=(8, 32))
    gradient, hessian, loss = dense(bench)
    top = float(torch.linalg.eigvalsh(hessian.double()).max())
    assert found["curvature"]["values"][0] == pytest.approx(top, rel=1e-3)
    squared = float(gradient.square().sum())
    assert found["noise"]["squared_norm"] == pytest.approx(squared, rel=1e-3)
    assert found["perturbation"]["loss"] == pytest.approx(loss, rel=1e-5)
    assert bench.run.read_result("diagnosis")["member"] == found["member"]


def test_it_leaves_the_member_as_it_is_and_repeats(bench):
    (member,) = bench.members()
    one = diagnose(bench, examples=100, steps=3, draws=3)
    assert one == diagnose(bench, member.label, examples=100, steps=3, draws=3)
    assert one["noise"]["batches"] == (1, 2, 4, 8, 16, 32)
    before = bench.run.population.weights(member)
    after = bench.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_what_is_out_of_range(bench):
    with pytest.raises(InputError, match="examples: expected 2 or more"):
        diagnose(bench, examples=1)
    with pytest.raises(InputError, match="batch size 500"):
        diagnose(bench, batches=(500,))


def test_time_against_ensemble_averages(tmp_path):
    recipe = RECIPE.replace(
        "[single]", "[{name: snapshot, cycles: 3}, {name: independent, members: 2}]"
    )
    bench = start(recipe, tmp_path / "run")
    with pytest.raises(InputError, match="no member yet"):
        compare_averages(bench)
    bench.train()
    found = compare_averages(bench)
    (entry,) = found["groups"]
    assert (entry["group"], entry["networks"]) == ("snapshot", 2)
    assert len(entry["by_size"]) == 2
    assert len(found["independent"]["by_size"]) == 2
    gain, apart = entry["gain"], entry["disagreement"]
    assert apart["low"] <= apart["value"] <= apart["high"]
    assert gain["value"] is not None
    reference = found["independent"]["by_size"]
    single, pool = reference[0], reference[1]
    mine = entry["by_size"][1]
    assert gain["value"] == pytest.approx((single - mine) / (single - pool), rel=1e-6)
    stored = bench.run.read_result("ergodicity")
    assert stored["groups"] == found["groups"]
    with pytest.raises(InputError, match="no members in group 'other'"):
        compare_averages(bench, "other")
