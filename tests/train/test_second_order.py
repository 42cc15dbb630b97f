"""Newton and L-BFGS against what is true of them on paper."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from dale.errors import DaleError, InputError, Interrupted, RecipeError
from dale.recipes import start
from dale.train import OPTIMIZERS, Watcher
from dale.train.newton import Newton, curvature, newton_step

RECIPE = """
data: {source: digits, val: 300, test: 1200}
model: {name: mlp, hidden: [6], norm: none}
epochs: 4
batch: 300
checkpoint_seconds: 0
strategies: [{name: single, warmup: 0, schedule: {name: constant, value: 1}}]
optimizer: OPTIMIZER
"""
NEWTON = "{name: newton, damping: 0.1, weight_decay: 0.01}"


def quadratic(seed, size, curvatures=None):
    """½ (w − c)ᵀ A (w − c), in float64."""
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(
        torch.randn(size, size, generator=generator, dtype=torch.float64)
    )
    if curvatures is None:
        curvatures = torch.rand(size, generator=generator, dtype=torch.float64) + 0.1
    matrix = basis @ torch.diag(curvatures) @ basis.T
    centre = torch.randn(size, generator=generator, dtype=torch.float64)
    start = nn.Parameter(torch.randn(size, generator=generator, dtype=torch.float64))

    def loss():
        return 0.5 * (start - centre) @ matrix @ (start - centre)

    return start, centre, matrix, loss


@given(seed=st.integers(0, 10**6), size=st.integers(1, 8))
def test_newton_solves_a_quadratic_in_one_step(seed, size):
    w, centre, _, loss = quadratic(seed, size)
    before = Newton([w], damping=0.0).step(loss)
    torch.testing.assert_close(w.detach(), centre, rtol=1e-8, atol=1e-8)
    assert before >= loss() - 1e-12


@given(seed=st.integers(0, 10**6), kappas=st.lists(st.floats(-2, 2), min_size=2))
def test_the_step_goes_downhill_whatever_the_curvature(seed, kappas):
    kappas = torch.tensor(kappas[:8], dtype=torch.float64)
    w, centre, matrix, _ = quadratic(seed, len(kappas), kappas)
    gradient = matrix @ (w.detach() - centre)
    step = newton_step(gradient, matrix, damping=0.01)
    assert gradient @ step <= 0
    damped = absolute(matrix) + 0.01 * torch.eye(len(matrix), dtype=matrix.dtype)
    torch.testing.assert_close(damped @ step, -gradient, rtol=1e-6, atol=1e-8)


def absolute(matrix):
    kappa, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(kappa.abs()) @ vectors.T


def test_curvature_is_the_hessian_of_torch_func():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x, y = torch.randn(20, 3, dtype=torch.float64), torch.arange(20) % 2
    names = [name for name, _ in model.named_parameters()]

    def loss_of(flat):
        parts = flat.split([p.numel() for p in model.parameters()])
        shaped = {
            n: part.view_as(p)
            for n, part, p in zip(names, parts, model.parameters(), strict=True)
        }
        return cross_entropy(torch.func.functional_call(model, shaped, (x,)), y)

    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    gradient, hessian = curvature(cross_entropy(model(x), y), [*model.parameters()])
    torch.testing.assert_close(gradient, torch.func.grad(loss_of)(flat))
    torch.testing.assert_close(
        hessian, torch.func.jacrev(torch.func.grad(loss_of))(flat)
    )


def test_what_the_loss_does_not_depend_on_stays():
    used, other = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))
    Newton([used, other], damping=0.0).step(lambda: (used * used).sum())
    assert used.tolist() == [0, 0]
    assert other.tolist() == [1, 1, 1]
    Newton([used, other], lr=0.5).step(lambda: used.sum())  # linear: only damped
    assert torch.isfinite(used).all()


def inverse_from_pairs(pairs, scale, size):
    """The dense BFGS update of the inverse, pair after pair, from a multiple of I."""
    inverse = scale * torch.eye(size, dtype=torch.float64)
    for s, y in pairs:
        rho = 1 / (y @ s)
        left = torch.eye(size, dtype=torch.float64) - rho * torch.outer(s, y)
        inverse = left @ inverse @ left.T + rho * torch.outer(s, s)
    return inverse


@given(seed=st.integers(0, 10**6), size=st.integers(2, 6))
def test_lbfgs_satisfies_the_secant_condition(seed, size):
    w, _, matrix, loss = quadratic(seed, size)
    optimizer = OPTIMIZERS["lbfgs"].function([w], iterations=4, history=3)
    optimizer.param_groups[0].update(lr=1.0, tolerance_grad=0, tolerance_change=0)

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)
    state = optimizer.state[w]
    pairs = list(zip(state["old_stps"], state["old_dirs"], strict=True))
    inverse = inverse_from_pairs(pairs, state["H_diag"], size)
    for s, y in pairs:
        torch.testing.assert_close(matrix @ s, y, rtol=1e-5, atol=1e-8)
    assume(pairs)  # a search may take all evaluations
    s, y = pairs[-1]
    torch.testing.assert_close(torch.linalg.solve(inverse, s), y, rtol=1e-5, atol=1e-8)
    # the direction that was taken last is the dense one
    gradient = state["prev_flat_grad"]
    torch.testing.assert_close(state["d"], -inverse @ gradient, rtol=1e-5, atol=1e-8)


def test_lbfgs_at_a_rate_of_zero_stays():
    w, _, _, loss = quadratic(0, 3)
    optimizer, before = OPTIMIZERS["lbfgs"].function([w]), w.detach().clone()

    def closure():
        value = loss()
        value.backward()
        return value

    assert optimizer.step(closure) == loss()
    assert torch.equal(w.detach(), before)


@pytest.mark.parametrize("optimizer", [NEWTON, "{name: lbfgs, iterations: 4}"])
def test_a_recipe_trains_with_it_and_resumes_exactly(optimizer, tmp_path):
    recipe = RECIPE.replace("OPTIMIZER", optimizer)
    whole, cut = start(recipe, tmp_path / "whole"), start(recipe, tmp_path / "cut")
    (member,) = whole.train()
    log = whole.run.log()
    assert log[-1]["train_loss"] < log[0]["train_loss"] / 2
    steps = iter(range(2))
    with pytest.raises(Interrupted):
        cut.train(Watcher(stop=lambda: next(steps, None) is None))
    (again,) = cut.train()
    assert again.digest == member.digest


def test_microbatches_make_the_same_newton_step(tmp_path):
    recipe = RECIPE.replace("OPTIMIZER", NEWTON).replace("epochs: 4", "epochs: 1")
    (one,) = (first := start(recipe, tmp_path / "one")).train()
    recipe += "engine: {accumulate: 3}"
    (three,) = (second := start(recipe, tmp_path / "three")).train()
    left, right = (
        first.run.population.weights(one),
        second.run.population.weights(three),
    )
    for name in left:
        torch.testing.assert_close(left[name], right[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("optimizer", "more", "said"),
    [
        ("{name: lbfgs, history: 0}", "", "history must be at least 1"),
        ("{name: newton, damping: -1}", "", "damping must be at least 0"),
        ("newton", "engine: {clip: 1}", r"without engine\.clip"),
        ("newton", "engine: {compile: true}", r"without engine\.compile"),
    ],
)
def test_what_does_not_fit_is_one_line(optimizer, more, said, tmp_path):
    recipe = RECIPE.replace("OPTIMIZER", optimizer) + more
    with pytest.raises(RecipeError, match=said):
        start(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_too_many_parameters_for_newton(tmp_path):
    recipe = RECIPE.replace("OPTIMIZER", "newton").replace("[6]", "[64]")
    with pytest.raises(DaleError, match="at most 4096 parameters"):
        start(recipe, tmp_path / "run")
    with pytest.raises(InputError, match="one group"):
        Newton([{"params": [nn.Parameter(torch.ones(1))]}, {"params": []}])
