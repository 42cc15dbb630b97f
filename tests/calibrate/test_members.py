"""Ensembles in both orders, and jointly; with combiners written here."""

import json

import pytest
import torch

from cases.metrics import members
from dale.calibrate import (
    CalibratedEnsemble,
    Identity,
    calibrate_then_pool,
    fit_bias_corrected,
    fit_joint,
    fit_temperature,
    pool_then_calibrate,
)
from dale.errors import InputError
from dale.metrics import nll

LOGITS, TARGETS = members(3, 150, 4, 0)
SCALED = LOGITS * torch.tensor([1.0, 4.0, 0.5])[:, None, None]


def mean(logits_MNC, weights_M):
    count = len(logits_MNC)
    if weights_M is None:
        weights_M = torch.full((count,), 1 / count, dtype=torch.float64)
    log_p_MNC = logits_MNC.log_softmax(dim=2)
    return (log_p_MNC + weights_M.log()[:, None, None]).logsumexp(dim=0)


def test_pool_first_is_one_fit_to_the_pool():
    fitted = pool_then_calibrate(SCALED, TARGETS, mean)
    pooled = mean(SCALED.double(), None)
    assert fitted.pooled == fit_temperature(pooled, TARGETS)
    assert torch.equal(fitted.apply(SCALED), fitted.pooled.apply(pooled))
    assert all(isinstance(member, Identity) for member in fitted.members)


def test_calibrate_first_is_a_fit_to_each_member():
    fitted = calibrate_then_pool(SCALED, TARGETS, mean)
    ready = [fit_temperature(z, TARGETS) for z in SCALED]
    assert list(fitted.members) == ready
    expected = mean(
        torch.stack([t.apply(z) for t, z in zip(ready, SCALED, strict=True)]), None
    )
    assert torch.equal(fitted.apply(SCALED), expected)


def test_a_second_fit_to_the_pool_of_calibrated_members_lowers_the_loss():
    once = calibrate_then_pool(SCALED, TARGETS, mean)
    twice = calibrate_then_pool(SCALED, TARGETS, mean, fit_pool=fit_temperature)
    before, after = (nll(f.apply(SCALED), TARGETS) for f in (once, twice))
    assert twice.members == once.members
    assert after < before
    # the mean of calibrated members that disagree is not sure enough
    assert twice.pooled.value < 1


def test_weights_are_passed_on():
    weights = torch.tensor([0.0, 0.0, 1.0]).double()
    for order in (pool_then_calibrate, calibrate_then_pool):
        fitted = order(SCALED, TARGETS, mean, weights_M=weights)
        alone = fit_temperature(SCALED[2], TARGETS)
        ours = fitted.apply(SCALED).softmax(dim=1)
        assert torch.allclose(ours, alone.apply(SCALED[2]).softmax(dim=1), atol=1e-6)


@pytest.mark.parametrize("shared", [False, True])
def test_joint_is_never_worse_than_what_it_starts_from(shared):
    fitted = fit_joint(SCALED, TARGETS, mean, shared=shared)
    score = nll(fitted.apply(SCALED), TARGETS)
    assert score <= nll(mean(SCALED.double(), None), TARGETS) + 1e-12
    assert float(fitted.weights_M.sum()) == pytest.approx(1)
    values = [member.value for member in fitted.members]
    if shared:
        assert len(set(values)) == 1
        separate = fit_joint(SCALED, TARGETS, mean)
        assert nll(separate.apply(SCALED), TARGETS) <= score + 1e-9
    else:
        each = calibrate_then_pool(SCALED, TARGETS, mean)
        assert score < nll(each.apply(SCALED), TARGETS)
        assert values[1] == pytest.approx(values[0] * 4, rel=1.0)


def test_joint_finds_the_one_member_that_knows():
    truth = LOGITS[0] * 3
    generator = torch.Generator().manual_seed(1)
    targets = torch.multinomial(truth.softmax(1), 1, generator=generator)[:, 0]
    noise = torch.randn(2, *truth.shape, generator=generator)
    pool = torch.cat([noise[:1], truth[None], noise[1:]])
    fitted = fit_joint(pool, targets, mean)
    assert float(fitted.weights_M[1]) > 0.9
    alone = fit_temperature(truth, targets)
    assert nll(fitted.apply(pool), targets) <= alone.nll_after + 1e-6


def test_joint_has_a_vanishing_gradient():
    fitted = fit_joint(SCALED, TARGETS, mean)
    t = torch.tensor([m.value for m in fitted.members], requires_grad=True)
    scaled = SCALED.double() / t[:, None, None]
    loss = torch.nn.functional.cross_entropy(mean(scaled, fitted.weights_M), TARGETS)
    loss.backward()
    assert float((t.grad * t.detach()).abs().max()) < 1e-5


def test_classes_that_a_member_rules_out_do_no_harm_to_the_joint_fit():
    logits = SCALED.clone()
    for n in range(0, 150, 3):
        logits[1, n, (TARGETS[n] + 1) % 4] = -float("inf")
    fitted = fit_joint(logits, TARGETS, mean)
    assert torch.isfinite(fitted.weights_M).all()
    assert nll(fitted.apply(logits), TARGETS) < nll(mean(logits, None), TARGETS)


@pytest.mark.parametrize(
    "fitted",
    [
        pool_then_calibrate(SCALED, TARGETS, mean, fit_bias_corrected),
        calibrate_then_pool(SCALED, TARGETS, mean, fit_pool=fit_temperature),
        fit_joint(SCALED, TARGETS, mean),
    ],
    ids=["pool first", "calibrate first", "joint"],
)
def test_saved_and_loaded_gives_the_same(fitted):
    header = json.loads(json.dumps(fitted.header()))
    loaded = CalibratedEnsemble.load(fitted.tensors(), header, mean)
    assert torch.equal(loaded.apply(SCALED), fitted.apply(SCALED))
    assert loaded.members == fitted.members
    assert loaded.describe() == fitted.describe()
    with pytest.raises(InputError, match="expected 'ensemble', got 'composed'"):
        CalibratedEnsemble.load({}, {"calibrator": "composed"}, mean)


@pytest.mark.parametrize("order", [pool_then_calibrate, calibrate_then_pool, fit_joint])
def test_bad_input_is_refused(order):
    with pytest.raises(InputError, match=r"3 axes \(M, N, C\), got shape \(150, 4\)"):
        order(SCALED[0], TARGETS, mean)
    with pytest.raises(InputError, match=r"shape \(150,\) .* got \(2,\)"):
        order(SCALED, TARGETS[:2], mean)
    with pytest.raises(InputError, match="got probabilities"):
        order(SCALED.softmax(2), TARGETS, lambda z, w: z.mean(dim=0))
    fitted = order(SCALED, TARGETS, mean)
    with pytest.raises(InputError, match=r"expected 3 members, .* got 2"):
        fitted.apply(SCALED[:2])


def test_impossible_numbers_of_steps_are_refused():
    with pytest.raises(InputError, match="max_steps: expected an integer >= 1, got 0"):
        fit_joint(SCALED, TARGETS, mean, max_steps=0)
