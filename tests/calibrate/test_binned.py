"""The calibrators that count: isotonic and histogram."""

import numpy as np
import pytest
import torch

import reference.calibrate as slow
from cases.metrics import sampled
from dale.calibrate import fit_histogram, fit_isotonic
from dale.errors import InputError
from dale.metrics import nll

NATURAL = [
    sampled(200, 4, 0),
    sampled(150, 2, 1),
    sampled(250, 3, 2, temperature=3.0),
]
TIED = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 2.0], [3.0, 0.0, 1.0]]).repeat(9, 1)
TIED_TARGETS = torch.tensor([0, 1, 2, 0, 2, 0, 1, 1, 0] * 3)


@pytest.mark.parametrize("problem", NATURAL, ids=str)
def test_isotonic_equals_pooling_adjacent_violators(problem):
    fitted = fit_isotonic(problem.logits_NC, problem.targets_N)
    ours = fitted.apply(problem.logits_NC).exp().numpy()
    expected = slow.isotonic(problem.logits_NC, problem.targets_N)
    assert not fitted.facts.fallback
    assert np.allclose(ours, expected, atol=1e-9)


def test_isotonic_with_ties_equals_the_slow_twin():
    fitted = fit_isotonic(TIED, TIED_TARGETS)
    ours = fitted.apply(TIED).exp().numpy()
    assert np.allclose(ours, slow.isotonic(TIED, TIED_TARGETS), atol=1e-9)


@pytest.mark.parametrize("problem", NATURAL[2:], ids=str)
@pytest.mark.parametrize(("bins", "spacing"), [(4, "mass"), (15, "mass"), (6, "width")])
def test_histogram_equals_the_slow_twin(problem, bins, spacing):
    data = problem.logits_NC, problem.targets_N
    fitted = fit_histogram(*data, bins, spacing)
    assert not fitted.facts.fallback
    expected = slow.histogram(*data, bins, spacing)
    assert np.allclose(fitted.apply(data[0]).exp().numpy(), expected, atol=1e-12)


def test_isotonic_rises_with_the_logit_and_is_flat_beyond_what_was_seen():
    problem = NATURAL[1]
    fitted = fit_isotonic(problem.logits_NC, problem.targets_N)
    margin = torch.linspace(-90, 90, 400)
    probs = fitted.apply(torch.stack([margin, 0 * margin], dim=1)).exp()[:, 0]
    assert bool((probs.diff() >= -1e-12).all())
    assert float(probs[0]) == pytest.approx(float(probs[1]))
    assert 0 < float(probs[0]) < float(probs[-1]) < 1


@pytest.mark.parametrize("fit", [fit_isotonic, fit_histogram])
def test_new_data_never_have_an_infinite_loss(fit):
    logits = 8 * torch.eye(3).repeat(30, 1)
    targets = torch.arange(3).repeat(30)
    targets[:2] = torch.tensor([1, 2])
    fitted = fit(logits, targets)
    assert not fitted.facts.fallback
    for label in range(3):
        assert nll(fitted.apply(logits), 0 * targets + label) < 12


def test_an_empty_bin_keeps_its_middle():
    logits = torch.tensor([[0.9, 0.1]] * 9 + [[0.8, 0.2]]).log()
    fitted = fit_histogram(logits, torch.tensor([0, 1] * 5), bins=4, spacing="width")
    assert not fitted.facts.fallback
    values = fitted.value[0].tolist()
    assert values[:3] == [0.125, 0.375, 0.625]
    assert values[3] == pytest.approx((5 + 0.89) / 11)


def test_impossible_bins_are_refused():
    data = torch.zeros(2, 2), torch.tensor([0, 1])
    with pytest.raises(InputError, match=r"bins: expected an integer >= 1, got 0"):
        fit_histogram(*data, bins=0)
    with pytest.raises(InputError, match="'width' or 'mass', got 'equal'"):
        fit_histogram(*data, spacing="equal")
