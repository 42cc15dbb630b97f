import pytest
import torch

from dale.calibrate import (
    CALIBRATORS,
    ORDERS,
    candidates,
    choose,
    cross_fitted_score,
    ensemble_fit,
    pool_then_calibrate,
)
from dale.ensemble import mean_probability
from dale.errors import InputError
from dale.metrics import nll

GENERATOR = torch.Generator().manual_seed(0)
TRUTH = 2 * torch.randn(400, 3, generator=GENERATOR)
TARGETS = torch.multinomial(TRUTH.softmax(1), 1, generator=GENERATOR)[:, 0]
NOISE = torch.randn(2, 400, 3, generator=GENERATOR)
MEMBERS = (TRUTH + NOISE) * torch.tensor([1.0, 5.0])[:, None, None]


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_lowers_the_loss(order):
    fitted = ensemble_fit("temperature", order, mean_probability)(MEMBERS, TARGETS)
    before = nll(mean_probability(MEMBERS), TARGETS)
    assert nll(fitted.apply(MEMBERS), TARGETS) < before


def test_the_choice_is_that_of_the_lowest_cross_fitted_loss():
    pairs = candidates("auto", "auto", *MEMBERS.shape)
    found = choose(MEMBERS, TARGETS, mean_probability, pairs, repeats=1)
    assert sorted((c.method, c.order) for c in found) == sorted(pairs)
    losses = [candidate.nll for candidate in found]
    assert losses == sorted(losses)
    best = found[0]
    make = ensemble_fit(best.method, best.order, mean_probability)
    again = cross_fitted_score(nll, MEMBERS, TARGETS, make, repeats=1)
    assert again == best.nll


def test_members_are_cross_fitted_without_a_look_at_the_fold():
    seen = []

    def fit(logits_MNC, targets_N):
        seen.append(logits_MNC.shape)
        return pool_then_calibrate(logits_MNC, targets_N, mean_probability)

    score = cross_fitted_score(nll, MEMBERS, TARGETS, fit, folds=4, repeats=1)
    assert seen == [(2, 300, 3)] * 4
    fitted = pool_then_calibrate(MEMBERS, TARGETS, mean_probability)
    assert score > nll(fitted.apply(MEMBERS), TARGETS)


def test_auto_leaves_out_what_cannot_be_fitted():
    def names(examples, classes):
        return {m for m, _ in candidates("auto", "pool-first", 2, examples, classes)}

    assert names(10**6, 2) == set(CALIBRATORS)
    assert "beta" not in names(10**6, 3)
    assert "dirichlet" not in names(2000, 100)
    assert {"none", "temperature"} <= names(2, 100)


def test_unknown_names_and_impossible_pairs():
    with pytest.raises(InputError, match="unknown method 'temprature'"):
        candidates("temprature", "pool-first", 2, 10, 2)
    with pytest.raises(InputError, match="unknown order 'first'"):
        candidates("temperature", "first", 2, 10, 2)
    with pytest.raises(InputError, match="'joint' is for temperatures, not for 'bcts'"):
        candidates("bcts", "joint", 2, 10, 2)
    assert candidates("bcts", "auto", 1, 10, 2) == [("bcts", "pool-first")]
