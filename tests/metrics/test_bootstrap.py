from functools import partial

import numpy as np
import pytest
import torch

from cases.metrics import sampled
from dale.errors import InputError
from dale.metrics import METRICS, accuracy, bootstrap, ece, error, nll
from dale.metrics.bootstrap import _PER_EXAMPLE

PROBLEM = sampled(120, 4, 0)
DATA = PROBLEM.logits_NC, PROBLEM.targets_N


@pytest.mark.parametrize("metric", [*_PER_EXAMPLE, ece], ids=lambda m: m.__name__)
def test_the_short_way_equals_resampling_the_logits(metric):
    def plain(logits_NC, targets_N):
        return metric(logits_NC, targets_N)

    fast = bootstrap(metric, *DATA, n=60, seed=3)
    assert fast == pytest.approx(bootstrap(plain, *DATA, n=60, seed=3), rel=1e-12)


def test_every_mean_over_examples_takes_the_short_way():
    means = {METRICS[name].function for name in ("accuracy", "error", "nll", "brier")}
    assert set(_PER_EXAMPLE) == means


@pytest.mark.parametrize("metric", [nll, ece, partial(ece, bins=5, spacing="mass")])
def test_deterministic_in_the_seed_and_holds_the_estimate(metric):
    low, high = bootstrap(metric, *DATA, n=50, seed=1)
    assert bootstrap(metric, *DATA, n=50, seed=1) == (low, high)
    assert bootstrap(metric, *DATA, n=50, seed=2) != (low, high)
    assert low < high


def test_the_interval_of_a_share_is_that_of_the_binomial():
    targets = (torch.arange(400) >= 300).long()
    low, high = bootstrap(accuracy, torch.tensor([[1.0, 0.0]] * 400), targets, n=2000)
    half = 1.96 * (0.75 * 0.25 / 400) ** 0.5
    assert (low, high) == pytest.approx((0.75 - half, 0.75 + half), abs=0.006)


def test_a_higher_level_is_wider():
    inner = bootstrap(nll, *DATA, n=300, level=0.5)
    outer = bootstrap(nll, *DATA, n=300, level=0.99)
    assert outer[0] < inner[0] < inner[1] < outer[1]


def test_equal_draws_for_every_metric():
    accuracies = bootstrap(accuracy, *DATA, n=40, seed=5)
    errors = bootstrap(error, *DATA, n=40, seed=5)
    assert errors == pytest.approx((1 - accuracies[1], 1 - accuracies[0]))


def test_ends_are_values_that_occurred():
    seen = []

    def recording(logits_NC, targets_N):
        seen.append(nll(logits_NC, targets_N))
        return seen[-1]

    ends = bootstrap(recording, *DATA, n=20, level=0.9)
    assert ends == (np.sort(seen)[0], np.sort(seen)[19])


def test_one_resample_and_one_example():
    low, high = bootstrap(nll, torch.zeros(1, 2), torch.tensor([1]), n=1)
    assert low == high == pytest.approx(0.6931471805599453)


def test_an_infinite_loss_gives_an_infinite_end():
    logits = torch.tensor([[0.0, 0.0], [0.0, -float("inf")]])
    low, high = bootstrap(nll, logits, torch.tensor([0, 1]), n=200)
    assert (low, high) == (pytest.approx(0.6931471805599453), float("inf"))


@pytest.mark.parametrize("n", [0, 2.5, True])
def test_impossible_counts_are_refused(n):
    with pytest.raises(InputError, match=f"n: expected an integer >= 1, got {n}"):
        bootstrap(nll, *DATA, n=n)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_impossible_levels_are_refused(level):
    with pytest.raises(InputError, match=rf"level: .* in \(0, 1\), got {level}"):
        bootstrap(nll, *DATA, level=level)
