"""Every row of COMBINERS, through the table."""

import inspect

import pytest
import torch

import reference.ensemble as slow
from cases.ensemble import BAD_WEIGHTS, CASES, INF
from dale.ensemble import COMBINERS
from dale.errors import InputError
from dale.metrics import nll

THREE = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", COMBINERS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_the_slow_twin(name, case):
    ours = COMBINERS[name].function(case.logits_MNC, case.weights_M)
    if name == "mean_logit" and bool((case.logits_MNC == -INF).any()):
        expected = slow.geometric(case.logits_MNC, case.weights_M)
    else:
        expected = getattr(slow, name)(case.logits_MNC, case.weights_M)
    assert ours.dtype == torch.float64
    assert ours.exp().numpy() == pytest.approx(expected, rel=1e-11, abs=1e-14)


@pytest.mark.parametrize("name", COMBINERS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gives_normalised_log_probabilities(name, case):
    log_probs = COMBINERS[name].function(case.logits_MNC, case.weights_M)
    assert log_probs.shape == case.logits_MNC.shape[1:]
    assert bool((log_probs <= 1e-12).all())
    assert torch.allclose(log_probs.logsumexp(dim=1), torch.zeros(1).double())


@pytest.mark.parametrize("name", [n for n, r in COMBINERS.items() if r.obeys_jensen])
@pytest.mark.parametrize("case", CASES[:6], ids=str)
def test_nll_is_at_most_the_mean_of_the_members(name, case):
    weights = case.weights_M or (1.0,) * len(case.logits_MNC)
    losses = [nll(member, case.targets_N) for member in case.logits_MNC]
    mean = sum(w * x for w, x in zip(weights, losses, strict=True)) / sum(weights)
    combined = COMBINERS[name].function(case.logits_MNC, case.weights_M)
    assert nll(combined, case.targets_N) <= mean + 1e-12


@pytest.mark.parametrize(
    "name", [n for n, r in COMBINERS.items() if not r.obeys_jensen]
)
def test_rows_without_jensen_have_a_counter_example(name):
    logits = torch.tensor([[[9.0, 0.0, 0.0]]])  # one sure and correct member
    combined = COMBINERS[name].function(logits)
    assert nll(combined, torch.tensor([0])) > nll(logits[0], torch.tensor([0]))


@pytest.mark.parametrize("name", COMBINERS)
def test_one_member_is_itself_where_the_table_says_so(name):
    combined = COMBINERS[name].function(THREE[:1])
    same = torch.allclose(combined, THREE[0].log_softmax(dim=1))
    assert same is COMBINERS[name].exact_for_one_member


@pytest.mark.parametrize("name", COMBINERS)
def test_gradients_reach_the_members_where_the_table_says_so(name):
    logits = THREE.clone().requires_grad_()
    combined = COMBINERS[name].function(logits, [1.0, 0.0, 2.0])
    assert combined.requires_grad is COMBINERS[name].differentiable
    if COMBINERS[name].differentiable:
        combined[:, 0].sum().backward()
        assert bool(logits.grad[0].any())
        assert not logits.grad[1].any()


@pytest.mark.parametrize("name", [n for n, r in COMBINERS.items() if r.differentiable])
def test_gradients_are_right(name):
    logits = THREE[:, :2, :3].double().requires_grad_()
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    assert torch.autograd.gradcheck(COMBINERS[name].function, (logits, weights))


@pytest.mark.parametrize("name", COMBINERS)
def test_weights_are_normalised_and_of_any_kind(name):
    function = COMBINERS[name].function
    expected = function(THREE, [0.1, 0.3, 0.6])
    for weights in ((1, 3, 6), [10, 30, 60], torch.tensor([1, 3, 6])):
        assert torch.allclose(function(THREE, weights), expected)
    assert torch.allclose(function(THREE), function(THREE, [7.0] * 3))


@pytest.mark.parametrize("name", COMBINERS)
@pytest.mark.parametrize("case", BAD_WEIGHTS, ids=[case[0] for case in BAD_WEIGHTS])
def test_impossible_weights_are_refused(name, case):
    with pytest.raises(InputError, match=case[2]):
        COMBINERS[name].function(THREE, case[1])


@pytest.mark.parametrize("name", COMBINERS)
def test_logits_of_the_wrong_shape_or_type_are_refused(name):
    function = COMBINERS[name].function
    with pytest.raises(InputError, match=r"3 axes \(M, N, C\), got shape \(4, 5\)"):
        function(THREE[0])
    with pytest.raises(InputError, match=r"floating tensor, got torch\.int64"):
        function(THREE.long())
    with pytest.raises(InputError, match="M >= 1"):
        function(THREE[:0])


@pytest.mark.parametrize("name", COMBINERS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_arithmetic_is_float32_or_wider(name, dtype):
    combined = COMBINERS[name].function(THREE.to(dtype))
    assert combined.dtype == torch.float32
    expected = COMBINERS[name].function(THREE.to(dtype).double())
    assert torch.allclose(combined.double(), expected, atol=1e-6)


@pytest.mark.parametrize("name", COMBINERS)
def test_inputs_are_left_alone(name):
    logits, weights = THREE.clone(), torch.tensor([2.0, 1.0, 0.0])
    COMBINERS[name].function(logits, weights)
    assert torch.equal(logits, THREE)
    assert weights.tolist() == [2.0, 1.0, 0.0]


@pytest.mark.parametrize("name", COMBINERS)
def test_nan_in_is_nan_out(name):
    logits = THREE.clone()
    logits[1, 2, 3] = torch.nan
    assert bool(COMBINERS[name].function(logits)[2].isnan().all())
    assert bool(COMBINERS[name].function(logits)[:2].isfinite().all())


@pytest.mark.parametrize("name", COMBINERS)
def test_rows_say_what_they_are(name):
    row = COMBINERS[name]
    assert row.symmetric
    assert row.reference
    parameters = list(inspect.signature(row.function).parameters)
    assert parameters[:2] == ["logits_MNC", "weights_M"]
    if row.alias_of is None:
        assert row.function.__name__ == name
    else:
        assert row.function is COMBINERS[row.alias_of].function
