import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, roc_curve

import reference.calibrate as slow
from cases.metrics import BAD_INPUTS, PROBLEMS, sampled
from dale.calibrate import Temperature, fit_temperature, slope
from dale.calibrate.slope import Slope
from dale.errors import InputError
from dale.metrics import error, nll

INF = float("inf")
INTERIOR = [
    sampled(200, 5, 0),
    sampled(150, 2, 1),
    sampled(300, 10, 2, temperature=3.0),
    sampled(300, 10, 3, temperature=0.4),
    sampled(60, 4, 4, scale=30.0, temperature=10.0),
]


@pytest.mark.parametrize("problem", INTERIOR, ids=str)
def test_equals_a_minimiser_without_derivatives(problem):
    fitted = fit_temperature(problem.logits_NC, problem.targets_N)
    expected = slow.temperature(problem.logits_NC, problem.targets_N)
    assert fitted.at_bound is None
    # a minimum is flat: NLL agrees to 1e-15 where T agrees to 1e-7
    assert fitted.value == pytest.approx(expected, rel=1e-6)
    at_expected = slow.nll_at(problem.logits_NC, problem.targets_N, expected)
    assert fitted.nll_after <= at_expected + 1e-14


@pytest.mark.parametrize("problem", INTERIOR, ids=str)
def test_the_gradient_vanishes(problem):
    fitted = fit_temperature(problem.logits_NC, problem.targets_N)
    b = torch.tensor(1 / fitted.value, dtype=torch.float64, requires_grad=True)
    logits = b * problem.logits_NC.double()
    torch.nn.functional.cross_entropy(logits, problem.targets_N).backward()
    assert abs(float(b.grad)) < 1e-9


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_never_raises_the_nll_of_the_fitting_data(problem):
    data = problem.logits_NC, problem.targets_N
    fitted = fit_temperature(*data)
    assert 0 < fitted.value < INF
    assert fitted.n == len(problem.targets_N)
    assert fitted.nll_before == pytest.approx(nll(*data), rel=1e-12)
    after = nll(fitted.apply(data[0]), data[1])
    assert fitted.nll_after == pytest.approx(after, rel=1e-12)
    assert after <= nll(*data) * (1 + 1e-12)
    assert fitted.nll_after <= fitted.nll_before


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_keeps_the_argmax(problem):
    fitted = fit_temperature(problem.logits_NC, problem.targets_N)
    applied = fitted.apply(problem.logits_NC)
    assert torch.equal(applied.argmax(dim=1), problem.logits_NC.argmax(dim=1))
    data = applied, problem.targets_N
    assert error(*data) == error(problem.logits_NC, problem.targets_N)


def test_made_data_give_the_temperature_they_were_made_with():
    for temperature in (0.5, 1.0, 4.0):
        problem = sampled(20_000, 10, 7, temperature=temperature)
        fitted = fit_temperature(problem.logits_NC, problem.targets_N)
        assert fitted.value == pytest.approx(temperature, rel=0.03)


@pytest.mark.parametrize("problem", INTERIOR, ids=str)
def test_float32_logits_are_solved_in_float64(problem):
    narrow = fit_temperature(problem.logits_NC.float(), problem.targets_N)
    wide = fit_temperature(problem.logits_NC.double(), problem.targets_N)
    assert narrow == wide


def test_closed_form_for_one_margin():
    # softmax((2, 0) / T) must give 3 in 4
    logits = torch.tensor([[2.0, 0.0]]).repeat(4, 1)
    fitted = fit_temperature(logits, torch.tensor([0, 0, 0, 1]))
    assert fitted.value == pytest.approx(2 / math.log(3), rel=1e-9)


@pytest.mark.parametrize("s", [1e-30, 1e-6, 0.1, 7.0, 1e6, 1e30])
@pytest.mark.parametrize("problem", INTERIOR[:3], ids=str)
def test_the_unit_of_the_logits_does_not_matter(problem, s):
    logits = problem.logits_NC.double()
    once = fit_temperature(logits, problem.targets_N)
    scaled = fit_temperature(s * logits, problem.targets_N)
    assert scaled.at_bound is None
    assert scaled.value == pytest.approx(s * once.value, rel=1e-7)
    assert scaled.nll_after == pytest.approx(once.nll_after, rel=1e-12)


@pytest.mark.parametrize("s", [1e-6, 1.0, 1e6, 1e30])
def test_all_correct_is_flagged_and_finite(s):
    logits = s * 3 * torch.eye(4).repeat(5, 1)
    fitted = fit_temperature(logits, torch.arange(4).repeat(5))
    assert fitted.at_bound == "low"
    assert fitted.value == 1.0
    assert fitted.nll_after == fitted.nll_before
    assert "every target has the largest logit" in fitted.describe()


@pytest.mark.parametrize("s", [1e-6, 1.0, 1e6, 1e30])
def test_all_wrong_is_flagged_and_finite(s):
    logits = -s * 3 * torch.eye(4).repeat(5, 1)
    fitted = fit_temperature(logits, torch.arange(4).repeat(5))
    assert fitted.at_bound == "high"
    assert 0 < fitted.value < INF
    assert fitted.nll_after == pytest.approx(math.log(4), abs=1e-3)
    assert "tell nothing about the targets" in fitted.describe()


def test_correct_but_tied_is_flagged():
    logits = torch.tensor([[1.0, 1.0, 0.0]] * 3)
    fitted = fit_temperature(logits, torch.tensor([0, 1, 1]))
    assert (fitted.value, fitted.at_bound) == (1.0, "low")


@pytest.mark.parametrize("target", [0, 1])
def test_one_example(target):
    fitted = fit_temperature(torch.tensor([[2.0, -1.0]]), torch.tensor([target]))
    assert fitted.at_bound == ("low", "high")[target]
    assert fitted.n == 1


def test_constant_logits_change_nothing():
    logits = torch.tensor([[5.0] * 3, [-2.0] * 3, [0.0] * 3])
    fitted = fit_temperature(logits, torch.tensor([0, 1, 2]))
    assert (fitted.value, fitted.at_bound) == (1.0, None)
    assert fitted.nll_before == fitted.nll_after == pytest.approx(math.log(3))


def test_targets_of_one_class_only():
    logits = sampled(50, 3, 4).logits_NC
    fitted = fit_temperature(logits, torch.ones(50).long())
    assert 0 < fitted.value < INF
    assert fitted.nll_after <= fitted.nll_before


def test_hard_vote_log_probabilities_with_minus_infinity():
    shares = torch.tensor([[0.8, 0.2, 0.0], [0.6, 0.0, 0.4], [0.0, 1.0, 0.0]])
    logits, targets = shares.repeat(10, 1).log(), torch.tensor([0, 2, 1] * 10)
    targets[:3] = torch.tensor([1, 0, 1])
    fitted = fit_temperature(logits, targets)
    assert fitted.at_bound is None
    assert fitted.nll_after < fitted.nll_before
    assert bool((fitted.apply(logits) == -INF).eq(logits == -INF).all())


def test_a_target_of_probability_zero_is_refused():
    logits = torch.tensor([[0.0, 1.0], [0.0, -INF]])
    with pytest.raises(InputError, match=r"example 1: .* its target 1, got -inf"):
        fit_temperature(logits, torch.tensor([0, 1]))


@pytest.mark.parametrize("mask", [-1e9, -3.4e38, -INF])
def test_masked_classes_do_not_hide_the_optimum(mask):
    problem = sampled(200, 5, 0, temperature=0.5)
    logits = torch.cat([problem.logits_NC, torch.full((200, 20), mask)], dim=1)
    plain = fit_temperature(problem.logits_NC, problem.targets_N)
    masked = fit_temperature(logits, problem.targets_N)
    assert masked.value == pytest.approx(plain.value, rel=1e-8)
    assert masked.at_bound is None


@pytest.mark.parametrize(("size", "at_bound"), [(1e3, None), (1e8, "high")])
def test_one_enormous_wrong_logit_does_not_break_the_solve(size, at_bound):
    problem = sampled(300, 4, 5)
    logits = problem.logits_NC.double()
    logits[0, (problem.targets_N[0] + 1) % 4] = size
    fitted = fit_temperature(logits, problem.targets_N)
    assert fitted.at_bound == at_bound
    assert 1 < fitted.value < 1e5
    assert fitted.nll_after < 0.5 * fitted.nll_before


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_the_size_of_the_blocks_does_not_matter(rows, monkeypatch):
    problem = sampled(200, 5, 0)
    whole = fit_temperature(problem.logits_NC, problem.targets_N)
    monkeypatch.setattr(slope, "_BLOCK", 5 * rows)
    fitted = fit_temperature(problem.logits_NC, problem.targets_N)
    assert fitted.value == pytest.approx(whole.value, rel=1e-9)


def large(scale=2.0, temperature=1.7):
    """Logits that are many enough to be worked on in float32."""
    problem = sampled(2_200, 1_000, 7, scale, temperature)
    return problem.logits_NC, problem.targets_N


def test_large_problems_agree_with_float64():
    logits, targets = large()
    found, exact = (
        fit_temperature(logits, targets),
        fit_temperature(logits.double(), targets),
    )
    assert not Slope(logits, targets, 1.0).exact
    assert Slope(logits.double(), targets, 1.0).exact
    assert found.value == pytest.approx(exact.value, rel=1e-6)
    assert found.nll_before == pytest.approx(exact.nll_before, rel=1e-7)
    assert found.nll_after == pytest.approx(exact.nll_after, rel=1e-7)


@pytest.mark.parametrize("temperature", [0.02, 60.0])
def test_large_problems_far_from_where_the_search_begins(temperature):
    logits, targets = large(scale=0.3 * max(1.0, temperature), temperature=temperature)
    found, exact = (
        fit_temperature(logits, targets),
        fit_temperature(logits.double(), targets),
    )
    assert found.value == pytest.approx(exact.value, rel=1e-5)


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 5.0])
def test_two_reads_after_a_glance_give_every_digit(classes, temperature, monkeypatch):
    problem = sampled(20_000, classes, 11, temperature=temperature)
    reads, at = [], Slope.at

    def counted(self, b):
        reads.append(len(self._own_N))
        return at(self, b)

    monkeypatch.setattr(Slope, "at", counted)
    fitted = fit_temperature(problem.logits_NC, problem.targets_N)
    assert reads.count(20_000) <= 3  # two, or three after an unlucky glance
    b = torch.tensor(1 / fitted.value, dtype=torch.float64, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(
        b * problem.logits_NC.double(), problem.targets_N
    )
    first = torch.autograd.grad(loss, b, create_graph=True)[0]
    second = torch.autograd.grad(first, b)[0]
    assert abs(float((first / second / b).detach())) < 1e-8  # what is missing of log T
    assert fitted.nll_after == pytest.approx(float(loss.detach()), rel=1e-12)


def test_large_problems_without_an_optimum():
    logits, _ = large()
    right = fit_temperature(logits, logits.argmax(dim=1))
    assert (right.value, right.at_bound) == (1.0, "low")
    wrong = fit_temperature(logits, logits.argmin(dim=1))
    assert wrong.at_bound == "high"
    assert wrong.nll_after < wrong.nll_before
    level = fit_temperature(torch.zeros_like(logits), torch.zeros(len(logits)).long())
    assert (level.value, level.at_bound) == (1.0, None)


def test_minus_infinity_in_a_large_problem_is_worked_on_in_float64():
    logits, targets = large()
    logits[0, (targets[0] + 1) % 1_000] = -INF
    assert Slope(logits, targets, 1.0).exact
    assert fit_temperature(logits, targets).value == pytest.approx(1.7, rel=0.05)


def test_many_examples_are_widened_in_bounded_blocks():
    for logits in (large()[0], large()[0].double()):
        targets = torch.zeros(len(logits)).long()
        sizes = [z.numel() for _, z in Slope(logits, targets, 1.0)._blocks()]
        assert max(sizes) <= 2**18
        assert sum(sizes) == logits.numel()


def test_scores_that_are_logits_keep_their_roc_curve_ties_included():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randint(-6, 7, (400, 2), generator=generator).float() / 3
    targets = torch.randint(2, (400,), generator=generator)
    assert len(logits[:, 1].unique()) < 20  # many ties
    applied = Temperature(1.7, 1.0, 1.0, None, 400).apply(logits)
    before, after = logits[:, 1].numpy(), applied[:, 1].numpy()
    truth = targets.numpy()
    assert roc_auc_score(truth, after) == roc_auc_score(truth, before)
    for one, other in zip(
        roc_curve(truth, before)[:2], roc_curve(truth, after)[:2], strict=True
    ):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("temperature", [1e-4, 0.3, 1.7, 3.0, 1e4, 1e30])
def test_neighbouring_float32_logits_stay_apart(temperature):
    base = torch.tensor([1.0, 1.5, 3.0, 1e-30, 7e20])
    above = torch.nextafter(base, torch.tensor(INF))
    logits = torch.stack([base, above], dim=1)
    applied = Temperature(temperature, 1.0, 1.0, None, 1).apply(logits)
    assert applied.dtype == torch.float64
    assert bool((applied[:, 1] > applied[:, 0]).all())


def test_float32_would_have_merged_them():
    base = torch.tensor(1.9)
    pair = torch.stack([base, torch.nextafter(base, torch.tensor(2.0))])
    merged = [bool((pair / t)[0] == (pair / t)[1]) for t in (1.1, 1.3, 1.7, 1.9)]
    kept = [bool((pair.double() / t).unique().numel() == 2) for t in (1.1, 1.3, 1.7)]
    assert any(merged)
    assert all(kept)


def test_apply_divides_and_leaves_the_input_alone():
    logits = sampled(20, 3, 0).logits_NC
    before = logits.clone()
    applied = Temperature(2.0, 1.0, 1.0, None, 20).apply(logits)
    assert torch.equal(applied, logits.double() / 2)
    assert torch.equal(logits, before)


def test_apply_is_differentiable():
    logits = torch.randn(3, 2, requires_grad=True)
    Temperature(4.0, 1.0, 1.0, None, 3).apply(logits).sum().backward()
    assert torch.equal(logits.grad, torch.full((3, 2), 0.25))


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [case[1:] for case in BAD_INPUTS],
    ids=[case[0] for case in BAD_INPUTS],
)
def test_bad_input_is_refused(logits, targets, message):
    with pytest.raises(InputError, match=message):
        fit_temperature(logits, targets)


def test_apply_refuses_other_shapes():
    with pytest.raises(InputError, match=r"2 axes \(N, C\), got shape \(3,\)"):
        Temperature(2.0, 1.0, 1.0, None, 1).apply(torch.zeros(3))


def test_words_without_a_warning_when_there_is_nothing_to_warn_of():
    fitted = Temperature(1.25, 0.5, 0.25, None, 12_345)
    text = "temperature 1.25 from 12,345 examples: NLL 0.5000 -> 0.2500"
    assert fitted.describe() == text


def test_loading_refuses_a_temperature_that_is_not_positive():
    fitted = Temperature(2.0, 1.0, 1.0, None, 1)
    with pytest.raises(InputError, match=r"temperature: .* > 0, got -1\.0"):
        Temperature.load({"temperature": torch.tensor([-1.0])}, fitted.header())
