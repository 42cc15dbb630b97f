"""The calibrators that minimise a loss: bcts, vector, dirichlet, platt and beta."""

import numpy as np
import pytest
import torch

import reference.calibrate as slow
from cases.metrics import Problem, sampled
from dale.calibrate import (
    CALIBRATORS,
    choose_strength,
    cross_fitted_score,
    fit_beta,
    fit_bias_corrected,
    fit_dirichlet,
    fit_platt,
    fit_temperature,
    fit_vector,
)
from dale.errors import InputError
from dale.metrics import check, nll

INF = float("inf")
NATURAL = [
    sampled(200, 4, 0),
    sampled(150, 2, 1),
    sampled(250, 3, 2, temperature=3.0),
    sampled(90, 3, 4, scale=30.0, temperature=10.0),
]
BINARY = [sampled(150, 2, 1), sampled(300, 2, 5, temperature=3.0)]
SMOOTH = ["bcts", "vector", "dirichlet", "platt"]


def biased(n: int, seed: int) -> Problem:
    """Targets from softmax(z / 2 + b) with a strong bias."""
    problem = sampled(n, 4, seed)
    truth = problem.logits_NC.double() / 2 + torch.tensor([1.5, 0.5, -0.5, -1.5])
    generator = torch.Generator().manual_seed(seed + 100)
    targets = torch.multinomial(truth.softmax(dim=1), 1, generator=generator)[:, 0]
    return Problem("biased", problem.logits_NC, targets)


def base_of(problem):
    return fit_temperature(problem.logits_NC, problem.targets_N).value


@pytest.mark.parametrize("problem", NATURAL, ids=str)
def test_bcts_is_where_scipy_finds_the_minimum(problem):
    data = problem.logits_NC, problem.targets_N
    fitted = fit_bias_corrected(*data)
    classes, base = data[0].shape[1], base_of(problem)
    ours = slow.bcts_loss(*data, float(fitted.temperature), fitted.bias.numpy())
    theirs = slow.lowest(
        lambda x: slow.bcts_loss(*data, base / x[0], x[1:]), [1.0] + [0.0] * classes
    )
    assert not fitted.facts.fallback
    assert ours == pytest.approx(theirs, abs=1e-9)
    assert ours <= theirs + 1e-13
    assert float(fitted.bias.sum()) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("problem", NATURAL, ids=str)
def test_vector_is_where_scipy_finds_the_minimum(problem):
    data, base = (problem.logits_NC, problem.targets_N), base_of(problem)
    fitted = fit_vector(*data)
    classes = data[0].shape[1]
    ours = slow.vector_loss(*data, base, fitted.weight.numpy(), fitted.bias.numpy())
    theirs = slow.lowest(
        lambda x: slow.vector_loss(*data, base, x[:classes], x[classes:]),
        [1.0] * classes + [0.0] * classes,
    )
    assert ours == pytest.approx(theirs, abs=1e-8)
    assert ours <= theirs + 1e-13


@pytest.mark.parametrize("problem", NATURAL[1:3], ids=str)
def test_dirichlet_is_where_scipy_finds_the_minimum(problem):
    data, base = (problem.logits_NC, problem.targets_N), base_of(problem)
    fitted = fit_dirichlet(*data)
    classes = data[0].shape[1]

    def loss(x):
        matrix = x.reshape(classes, classes + 1)
        return slow.dirichlet_loss(*data, base, matrix[:, :-1], matrix[:, -1])

    ours = slow.dirichlet_loss(*data, base, fitted.weight.numpy(), fitted.bias.numpy())
    theirs = slow.lowest(loss, np.eye(classes, classes + 1).ravel())
    assert ours == pytest.approx(theirs, abs=1e-6)
    assert ours <= theirs + 1e-9


@pytest.mark.parametrize("problem", NATURAL, ids=str)
def test_platt_is_where_scipy_finds_the_minima(problem):
    data, base = (problem.logits_NC, problem.targets_N), base_of(problem)
    fitted = fit_platt(*data)
    for k in range(data[0].shape[1]):
        pair = float(fitted.weight[k]), float(fitted.bias[k])
        ours = slow.platt_loss(*data, base, k, *pair)
        theirs = slow.lowest(
            lambda x, k=k: slow.platt_loss(*data, base, k, *x), [1.0, 0.0]
        )
        assert ours == pytest.approx(theirs, abs=1e-10)
        assert ours <= theirs + 1e-14


@pytest.mark.parametrize("problem", BINARY, ids=str)
def test_platt_of_two_classes_is_one_sigmoid(problem):
    fitted = fit_platt(problem.logits_NC, problem.targets_N)
    assert torch.allclose(fitted.weight[0], fitted.weight[1], rtol=1e-12)
    assert torch.allclose(fitted.bias[0], -fitted.bias[1], rtol=1e-12)


@pytest.mark.parametrize("problem", BINARY, ids=str)
def test_beta_is_where_scipy_finds_the_minimum(problem):
    data, base = (problem.logits_NC, problem.targets_N), base_of(problem)
    fitted = fit_beta(*data)
    ours = slow.beta_loss(*data, base, *fitted.weights.tolist())
    bounds = [(0, None), (0, None), (None, None)]
    theirs = slow.lowest(
        lambda x: slow.beta_loss(*data, base, *x), [1.0, 1.0, 0.0], bounds
    )
    assert ours == pytest.approx(theirs, abs=1e-9)
    assert ours <= theirs + 1e-13


@pytest.mark.parametrize("side", [0, 1])
def test_beta_that_would_fall_at_one_end_is_flat_there(side):
    # on one side of 1/2 the confidence is right, on the other it misleads
    margin = torch.linspace(-4, 4, 600, dtype=torch.float64)
    truth = torch.where(margin > 0, margin, -margin / 2 - 1).sigmoid()
    generator = torch.Generator().manual_seed(0)
    targets = torch.bernoulli(truth, generator=generator).long()
    logits = torch.stack([0 * margin, margin], dim=1)
    if side:
        logits, targets = logits.flip(1), 1 - targets
    fitted = fit_beta(logits, targets)
    assert float(fitted.weights[side]) == 0.0 < float(fitted.weights[1 - side])
    bounds = [(0, None), (0, None), (None, None)]
    base = fitted.facts.temperature
    theirs = slow.lowest(
        lambda x: slow.beta_loss(logits, targets, base, *x), [1.0, 1.0, 0.0], bounds
    )
    ours = slow.beta_loss(logits, targets, base, *fitted.weights.tolist())
    assert ours == pytest.approx(theirs, abs=1e-8)


def test_beta_is_for_two_classes():
    problem = sampled(30, 3, 0)
    with pytest.raises(InputError, match=r"for 2 classes, got logits of 3; use platt"):
        fit_beta(problem.logits_NC, problem.targets_N)


def test_made_data_give_the_temperature_and_biases_they_were_made_with():
    problem = biased(20_000, 7)
    fitted = fit_bias_corrected(problem.logits_NC, problem.targets_N)
    assert float(fitted.temperature) == pytest.approx(2.0, rel=0.05)
    expected = torch.tensor([1.5, 0.5, -0.5, -1.5]).double()
    assert torch.allclose(fitted.bias, expected, atol=0.08)


@pytest.mark.parametrize("name", SMOOTH)
def test_biased_data_are_served_better_than_by_a_temperature(name):
    fitting, fresh = biased(2000, 1), biased(4000, 2)
    data = fresh.logits_NC, fresh.targets_N
    plain = fit_temperature(fitting.logits_NC, fitting.targets_N).apply(data[0])
    fitted = CALIBRATORS[name].fit(fitting.logits_NC, fitting.targets_N)
    assert nll(fitted.apply(data[0]), data[1]) < nll(plain, data[1]) - 0.1


def test_the_order_of_misleading_logits_is_not_turned_round():
    logits = sampled(400, 3, 0).logits_NC
    targets = logits.argmin(dim=1)
    targets[:200] = 2
    fitted = fit_bias_corrected(logits, targets)
    assert float(fitted.temperature) > 0
    # the biases alone can do as much as the shares of the classes
    shares = torch.bincount(targets, minlength=3).double() / 400
    entropy = float(-(shares * shares.log()).sum())
    assert fitted.facts.nll_after == pytest.approx(entropy, abs=1e-3)


@pytest.mark.parametrize("name", [*SMOOTH, "isotonic", "histogram"])
def test_targets_of_one_class_only_give_finite_maps(name):
    problem = sampled(50, 3, 4)
    fitted = CALIBRATORS[name].fit(problem.logits_NC, torch.ones(50).long())
    assert all(bool(x.isfinite().all()) for x in fitted.tensors().values())
    fresh = fitted.apply(sampled(200, 3, 5).logits_NC)
    assert bool(fresh.isfinite().all())
    assert bool((fresh.argmax(dim=1) == 1).float().mean() > 0.9)


@pytest.mark.parametrize("name", [*SMOOTH, "isotonic", "histogram"])
def test_a_class_that_is_missing_keeps_a_finite_loss(name):
    problem = sampled(100, 4, 6)
    seen = problem.targets_N != 3
    fitted = CALIBRATORS[name].fit(problem.logits_NC[seen], problem.targets_N[seen])
    applied = fitted.apply(problem.logits_NC)
    assert nll(applied, problem.targets_N) < INF
    assert nll(applied, 0 * problem.targets_N + 3) < 30


@pytest.mark.parametrize("name", [*SMOOTH, "isotonic", "histogram"])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e30])
def test_all_correct_is_finite_and_says_that_it_fell_back(name, size):
    logits = size * 3 * torch.eye(4).repeat(5, 1)
    targets = torch.arange(4).repeat(5)
    fitted = CALIBRATORS[name].fit(logits, targets)
    applied = fitted.apply(logits)
    assert not bool(applied.isnan().any())
    assert nll(applied, targets) <= nll(logits, targets)
    if name in SMOOTH:
        assert fitted.facts.fallback
        base = fit_temperature(logits, targets)
        kept = "left as they are" if base.value == 1.0 else "alone is used"
        assert kept in fitted.describe()
        assert torch.equal(applied, base.apply(logits))


def test_falling_back_to_nothing_says_so():
    logits = 60 * torch.eye(3)
    fitted = CALIBRATORS["isotonic"].fit(logits, torch.arange(3))
    assert fitted.facts.fallback
    assert "left as they are" in fitted.describe()
    assert torch.equal(fitted.apply(logits), logits.double())


@pytest.mark.parametrize("name", [*SMOOTH, "isotonic"])
@pytest.mark.parametrize("size", [1e-20, 1e-3, 1e6, 1e30])
def test_the_unit_of_the_logits_does_not_matter(name, size):
    problem = sampled(120, 3, 2, temperature=2.0)
    logits = problem.logits_NC.double()
    if name == "isotonic":  # it looks at log-odds up to 100 of the model as it is
        size = min(max(size, 0.1), 3.0)
        logits = logits / 3
    once = CALIBRATORS[name].fit(logits, problem.targets_N)
    scaled = CALIBRATORS[name].fit(size * logits, problem.targets_N)
    if name != "isotonic":
        assert scaled.facts.nll_after == pytest.approx(once.facts.nll_after, rel=1e-6)
    assert not bool(scaled.apply(size * logits).isnan().any())


@pytest.mark.parametrize("name", [*SMOOTH, "isotonic", "histogram"])
def test_constant_logits_learn_the_shares(name):
    targets = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    logits = torch.full((100, 3), 5.0)
    fitted = CALIBRATORS[name].fit(logits, targets)
    probs = fitted.apply(logits).softmax(dim=1)[0]
    expected = torch.tensor([0.6, 0.3, 0.1]).double()
    assert torch.allclose(probs, expected, atol=0.03)


@pytest.mark.parametrize("name", [*SMOOTH, "isotonic", "histogram"])
@pytest.mark.parametrize("mask", [-1e9, -3.4e38, -INF])
def test_masked_classes_do_no_harm_and_stay_out(name, mask):
    problem = sampled(200, 3, 0, temperature=0.5)
    logits = torch.cat([problem.logits_NC, torch.full((200, 4), mask)], dim=1)
    fitted = CALIBRATORS[name].fit(logits, problem.targets_N)
    applied = fitted.apply(logits)
    assert fitted.facts.nll_after <= nll(logits, problem.targets_N)
    assert not bool(applied.isnan().any())
    assert float(applied.softmax(dim=1)[:, 3:].max()) < 0.02
    if mask == -INF:
        assert bool((applied[:, 3:] == -INF).all())


@pytest.mark.parametrize("name", [*SMOOTH, "isotonic", "histogram"])
def test_another_number_of_classes_is_refused(name):
    problem = sampled(60, 3, 0, temperature=2.0)
    fitted = CALIBRATORS[name].fit(problem.logits_NC, problem.targets_N)
    assert not fitted.facts.fallback
    with pytest.raises(InputError, match=r"of 3 classes, as it was fitted to, got 4"):
        fitted.apply(torch.zeros(2, 4))


@pytest.mark.parametrize("name", SMOOTH)
def test_the_size_of_the_blocks_does_not_matter(name, monkeypatch):
    problem = sampled(100, 5, 0)
    whole = CALIBRATORS[name].fit(problem.logits_NC, problem.targets_N)
    monkeypatch.setattr(check, "_BLOCK_ELEMENTS", 5 * 7)
    fitted = CALIBRATORS[name].fit(problem.logits_NC, problem.targets_N)
    for key, value in fitted.tensors().items():
        assert torch.allclose(value, whole.tensors()[key], atol=1e-5)


def test_a_strength_is_chosen_by_its_cross_fitted_loss():
    problem = sampled(100, 3, 3)
    data, tried = (problem.logits_NC, problem.targets_N), (1.0, 1e5)
    chosen = choose_strength(*data, strengths=tried)
    scores = [
        cross_fitted_score(
            nll, *data, lambda *d, s=s: fit_dirichlet(*d, off_diagonal=s), 3, 1
        )
        for s in tried
    ]
    assert chosen == tried[int(np.argmin(scores))] == 1e5
    with pytest.raises(InputError, match="strengths: expected at least one"):
        choose_strength(*data, strengths=())


@pytest.mark.parametrize("value", [0.0, -1.0, INF, True, "1"])
@pytest.mark.parametrize("fit", [fit_bias_corrected, fit_vector, fit_dirichlet])
def test_impossible_strengths_are_refused(fit, value):
    with pytest.raises(InputError, match="ridge: expected a finite number > 0, got"):
        fit(torch.zeros(2, 2), torch.tensor([0, 1]), ridge=value)
