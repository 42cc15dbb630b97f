from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from cases.metrics import sampled
from dale.calibrate import (
    Identity,
    check_disjoint,
    cross_fit,
    cross_fitted_score,
    fit_identity,
    fit_temperature,
)
from dale.errors import InputError, LeakageError
from dale.metrics import nll

PROBLEM = sampled(90, 4, 0, temperature=3.0)
DATA = PROBLEM.logits_NC, PROBLEM.targets_N


@dataclass(frozen=True)
class Seen(Identity):
    """Marks every example by whether the fit saw one like it."""

    values: frozenset[float]

    def apply(self, logits_NC: Tensor) -> Tensor:
        seen = [float(row[0]) in self.values for row in logits_NC]
        return torch.tensor(seen).double()[:, None].expand(-1, logits_NC.shape[1])


def fit_seen(logits_NC: Tensor, targets_N: Tensor) -> Seen:
    return Seen(frozenset(logits_NC[:, 0].tolist()))


@pytest.mark.parametrize("folds", [2, 3, 7, 90])
def test_no_example_is_calibrated_by_a_fit_that_saw_it(folds):
    assert len(DATA[0][:, 0].unique()) == 90
    marks = cross_fit(*DATA, fit_seen, folds=folds, repeats=3)
    assert marks.shape == (3, 90, 4)
    assert not marks.any()


@pytest.mark.parametrize("folds", [2, 4, 7])
def test_folds_are_of_equal_size(folds):
    sizes = []

    def fit(logits_NC, targets_N):
        sizes.append(90 - len(targets_N))
        return fit_identity(logits_NC, targets_N)

    cross_fit(*DATA, fit, folds=folds, repeats=1)
    assert sum(sizes) == 90
    assert max(sizes) - min(sizes) <= 1


def test_the_order_of_the_examples_is_kept():
    same = cross_fit(*DATA, fit_identity, repeats=2)
    assert torch.equal(same[0], DATA[0].double())
    assert torch.equal(same[1], DATA[0].double())


def test_equals_halves_done_by_hand():
    found = cross_fit(*DATA, fit_temperature, repeats=1)[0]
    ratio = (DATA[0].double() / found)[:, 0]
    low, high = ratio.min(), ratio.max()
    first = (ratio - low).abs() < 1e-9
    assert bool((first | ((ratio - high).abs() < 1e-9)).all())
    assert int(first.sum()) == 45
    fitted = fit_temperature(DATA[0][~first], DATA[1][~first])
    assert float(low) == pytest.approx(fitted.value, rel=1e-9)


def test_deterministic_in_the_seed_and_prefix_of_more_repeats():
    once = cross_fit(*DATA, fit_temperature, repeats=2, seed=4)
    assert torch.equal(once, cross_fit(*DATA, fit_temperature, repeats=2, seed=4))
    assert torch.equal(once, cross_fit(*DATA, fit_temperature, repeats=3, seed=4)[:2])
    assert not torch.equal(once, cross_fit(*DATA, fit_temperature, repeats=2, seed=5))
    assert not torch.equal(once[0], once[1])


def test_the_score_is_the_mean_over_the_repeats():
    repeats = cross_fit(*DATA, fit_temperature, seed=2)
    assert len(repeats) == 5
    expected = sum(nll(logits_NC, DATA[1]) for logits_NC in repeats) / 5
    score = cross_fitted_score(nll, *DATA, fit_temperature, seed=2)
    assert score == pytest.approx(expected, rel=1e-14)


def test_the_honest_score_lies_between_the_fitted_and_the_unfitted():
    fitted = fit_temperature(*DATA)
    honest = cross_fitted_score(nll, *DATA, fit_temperature)
    assert fitted.nll_after < honest < fitted.nll_before


@pytest.mark.parametrize("folds", [0, 1, 91])
def test_impossible_folds_are_refused(folds):
    with pytest.raises(InputError, match=rf"folds: .* \(90\), got {folds}"):
        cross_fit(*DATA, fit_temperature, folds=folds)


def test_impossible_repeats_are_refused():
    with pytest.raises(InputError, match="repeats: expected >= 1, got 0"):
        cross_fitted_score(nll, *DATA, fit_temperature, repeats=0)


def test_probabilities_are_refused_here_too():
    with pytest.raises(InputError, match="got probabilities"):
        cross_fit(DATA[0].softmax(dim=1), DATA[1], fit_temperature)


def test_scoring_the_fitted_split_is_leakage():
    check_disjoint("aaaa", "bbbb")
    check_disjoint("aaaa", "aaaa", cross_fitted=True)
    with pytest.raises(LeakageError, match=r"same examples \(split aaaa\)"):
        check_disjoint("aaaa", "aaaa")
    with pytest.raises(ValueError, match="abcdefghijkl\\)"):
        check_disjoint("abcdefghijklmnop", "abcdefghijklmnop")
