"""Networks with BatchNorm merge: counters carried, statistics mixed or measured."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from cases.merge import IDS, ROWS, ancestor, count, shaken
from cases.weights import bits, built
from dale.errors import InputError, WeightsError
from dale.merge import METHODS, average, merge, refresh, refreshed, stream, uniform_soup
from dale.merge.moments import shares_of
from dale.weights import (
    LazyWeights,
    RunningMean,
    load,
    open_weights,
    reestimate,
    weights_of,
)
from dale.weights.mixture import mixed_mean, mixed_variance
from reference import moments as slow

MEAN, VARIANCE, COUNTER = (
    f"1.{n}" for n in ("running_mean", "running_var", "num_batches_tracked")
)


@given(
    counts=st.lists(st.integers(0, 3), min_size=1, max_size=4).filter(any),
    seed=st.integers(0, 99),
)
def test_mixed_moments_are_those_of_all_values_together(
    counts: list[int], seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    values_K = [
        torch.randn(5, 2, generator=draw) + 3 * torch.randn(2, generator=draw)
        for _ in counts
    ]
    means = [values.mean(0) for values in values_K]
    variances = [values.var(0, correction=0) for values in values_K]
    mean, variance = slow.pooled(values_K, counts)
    found = mixed_mean(means, shares=counts).double()
    torch.testing.assert_close(found, mean, rtol=1e-5, atol=1e-5)
    found = mixed_variance([*variances, *means], shares=counts).double()
    torch.testing.assert_close(found, variance, rtol=1e-5, atol=1e-5)


def trained(seed: int, steps: int) -> nn.Module:
    """A network whose statistics were moved, as an ordinary checkpoint's were."""
    net = built("convolutional", seed).train()
    draw = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        net(torch.randn(16, 1, 4, 4, generator=draw) * (1 + seed) + seed)
    return net


def models(method: str = "uniform") -> list[nn.Module]:
    """Checkpoints of different steps: their counters differ."""
    return [trained(k, 3 + k) for k in range(count(method))]


@pytest.mark.parametrize(
    ("method", "settings"),
    [pytest.param(*pair, id=name) for pair, name in zip(ROWS, IDS, strict=True)],
)
def test_ordinary_checkpoints_merge_by_every_method(
    method: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    nets = models(method)
    base = ancestor(method, weights_of(trained(7, 1)))
    merged = merge(nets, method, **base, **settings)
    first = nets[0].state_dict()
    if METHODS[method].scope != "model":
        assert torch.equal(merged[COUNTER], first[COUNTER])
    everyone = [net.state_dict() for net in nets] + [*base.values()]
    for name in (VARIANCE, "6.running_var"):
        least = torch.stack([state[name] for state in everyone]).amin(0)
        assert (merged[name] >= least * (1 - 1e-6)).all()
    if METHODS[method].streams:
        (path,) = stream(nets, tmp_path / "a.safetensors", method, **base, **settings)
        found = load(path)[0]
        assert bits({n: found[n] for n in merged}) == bits(merged)
        assert LazyWeights(path).header == {"statistics": "from moments"}


@pytest.mark.parametrize("method", METHODS)
def test_equal_models_keep_their_statistics_bit_for_bit(method: str) -> None:
    net = weights_of(trained(1, 4))
    settings = next(s for name, s in ROWS if name == method)
    base = ancestor(method, net)
    merged = merge([net] * count(method), method, **base, **settings)
    assert bits({n: merged[n] for n in (MEAN, VARIANCE)}) == bits(
        {n: net[n] for n in (MEAN, VARIANCE)}
    )


def test_averages_agree_however_they_are_taken() -> None:
    nets = [weights_of(net) for net in models()]
    expected = merge(nets)
    running = RunningMean()
    for net in nets:
        running.update(net)
    for found in (average(nets), uniform_soup(nets), running.value()):
        for name in (MEAN, VARIANCE):
            torch.testing.assert_close(found[name], expected[name])
    weighted = merge(nets, "weighted", coefficients=(1, 2, 3))
    found = average(nets, (1, 2, 3))
    assert bits({VARIANCE: found[VARIANCE]}) == bits({VARIANCE: weighted[VARIANCE]})
    last = merge(nets, last=2)
    assert bits({VARIANCE: average(nets, last=2)[VARIANCE]}) == bits(
        {VARIANCE: last[VARIANCE]}
    )
    means = torch.stack([net[MEAN] for net in nets])
    variances = torch.stack([net[VARIANCE] for net in nets])
    whole = variances.mean(0) + means.var(0, correction=0)
    torch.testing.assert_close(expected[VARIANCE], whole)
    assert (expected[VARIANCE] > variances.mean(0)).all()


@pytest.mark.parametrize(
    ("method", "settings", "models", "base", "expected"),
    [
        ("uniform", {}, 4, False, (0.25,) * 4),
        ("uniform", {"last": 1}, 3, False, (0, 0, 1)),
        ("weighted", {"coefficients": (3, 1, -0.5)}, 3, False, (0.75, 0.25, 0)),
        ("linear", {"weight": (0, 2)}, 2, False, (0, 1)),
        ("linear", {"weight": (-1, -1)}, 2, False, (0.5, 0.5)),
        ("slerp", {"t": 0.25}, 2, False, (0.75, 0.25)),
        ("slerp", {"t": 1.5}, 2, False, (0, 1)),
        ("nuslerp", {"weight": (1, 3)}, 2, True, (0.25, 0.75, 0)),
        ("karcher", {}, 2, False, (0.5, 0.5)),
        ("task_arithmetic", {"lambda_": 0.0}, 2, True, (0, 0, 1)),
        ("task_arithmetic", {"weight": 0.25}, 2, True, (0.25, 0.25, 0.5)),
        ("task_arithmetic", {}, 2, True, (0.5, 0.5, 0)),
        ("ties", {}, 2, True, (0.5, 0.5, 0)),
        ("ties", {"lambda_": 0.5}, 2, True, (0.25, 0.25, 0.5)),
        ("dare_ties", {"weight": (0.5, 0.25)}, 2, True, (0.5, 0.25, 0.25)),
        ("model_stock", {}, 2, True, (0.5, 0.5, 0)),
        ("arcee_fusion", {}, 1, True, (0.5, 0.5)),
    ],
)
def test_shares(
    method: str,
    settings: dict[str, Any],
    models: int,
    base: bool,
    expected: tuple[float, ...],
) -> None:
    assert shares_of(method, settings, models, base) == pytest.approx(expected)


def test_a_scale_of_nothing_is_the_base_bit_for_bit() -> None:
    base = weights_of(trained(5, 2))
    tuned = [shaken(base, k) for k in range(2)]
    for method in ("task_arithmetic", "ties", "dare_linear"):
        merged = merge(tuned, method, base=base, lambda_=0.0)
        assert bits(merged) == bits(base | {COUNTER: tuned[0][COUNTER]})


def test_statistics_without_a_partner_are_merged_like_parameters() -> None:
    pair = [{"a.running_var": torch.tensor([v])} for v in (1.0, 3.0)]
    assert merge(pair)["a.running_var"].item() == 2.0
    assert average(pair)["a.running_var"].item() == 2.0
    # a parameter that has the name is none by its type
    ints = [{"a.running_var": torch.tensor([v]), "a.running_mean": torch.tensor([v])}
            for v in (1, 3)]  # fmt: skip
    assert merge(ints)["a.running_var"].item() == 1
    assert average(ints)["a.running_var"].item() == 1


def test_shared_layers_stay_shared() -> None:
    pair = [weights_of(built("shared_norm", seed)) for seed in range(2)]
    for merged in (merge(pair), average(pair)):
        assert merged["first.running_var"] is merged["second.running_var"]


def batches(size: int = 16) -> list[Tensor]:
    draw = torch.Generator().manual_seed(3)
    return [torch.randn(size, 1, 4, 4, generator=draw) for _ in range(3)]


def test_measured_statistics_are_those_of_the_network_and_say_so() -> None:
    nets, net = models(), built("convolutional")
    merged = merge(nets)
    before = bits(merged)
    new, words = refreshed(net, merged, iter(batches()))
    (expected,) = reestimate(net, [merged], batches())
    assert bits(new) == bits(expected)
    assert words == "re-estimated on 48 examples"
    assert bits(merged) == before
    named, words = refreshed(net, merged, [{"input": b} for b in batches(8)])
    assert words == "re-estimated on 24 examples"
    assert not torch.equal(named[MEAN], new[MEAN])


@pytest.mark.parametrize("out", ["a.safetensors", "folder"])
def test_files_are_refreshed_in_place_and_labelled(out: str, tmp_path: Path) -> None:
    nets, net = models(), built("convolutional")
    state = copy.deepcopy(net.state_dict())
    options = {"shard_bytes": 200, "header": {"made": "here"}}
    stream(nets, tmp_path / out, "uniform", **options)
    before = load(tmp_path / out)[0]
    word = refresh(tmp_path / out, net, batches())
    assert word == {"statistics": "re-estimated on 48 examples"}
    new = open_weights(tmp_path / out)
    (expected,) = reestimate(net, [before], batches())
    assert bits({n: new[n] for n in expected}) == bits(expected)
    for file in tmp_path.rglob("*.safetensors"):
        shard = LazyWeights(file)
        shard.verify()
        holds = any("running" in name for name in shard)
        label = word["statistics"] if holds else "from moments"
        assert shard.header == {"made": "here", "statistics": label}
    assert bits(dict(net.state_dict())) == bits(state)


def test_what_cannot_be_refreshed(tmp_path: Path) -> None:
    net = built("convolutional")
    plain = nn.Linear(1, 1)
    with pytest.raises(InputError, match="no layer of the network keeps"):
        refreshed(plain, plain.state_dict(), batches())
    with pytest.raises(InputError, match="from 0 batches"):
        refreshed(net, net.state_dict(), [])
    with pytest.raises(InputError, match="expected safetensors"):
        refresh(tmp_path, net, batches())
    (path,) = stream([plain], tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match="names missing"):
        refresh(path, net, batches())
    assert LazyWeights(path).header == {}
