"""Sharpness by perturbation."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dale.diagnose import perturbation
from dale.errors import InputError


def quadratic(curvature):
    return lambda weights: float(0.5 * curvature * weights["w"].double().square().sum())


@given(curvature=st.floats(0.1, 50.0), scale=st.floats(0.01, 0.5))
def test_of_a_bowl_it_is_known(curvature, scale):
    # E ½ c ‖w + s ε‖² − ½ c ‖w‖² = ½ c s² D, with s the change of one element
    weights = {"w": torch.full((400,), 3.0)}
    found = perturbation(weights, quadratic(curvature), scale, draws=60)
    expected = 0.5 * curvature * (scale * 3.0) ** 2 * 400
    assert abs(found.rise - expected) < 5 * found.standard_error


def test_a_sharper_bowl_is_sharper_and_a_plain_is_flat():
    weights = {"w": torch.randn(50, generator=torch.Generator().manual_seed(0))}
    rises = [perturbation(weights, quadratic(c), draws=5).rise for c in (1.0, 2.0)]
    assert rises[1] == pytest.approx(2 * rises[0])
    assert perturbation(weights, lambda weights: 1.0).rise == 0.0


@given(factor=st.sampled_from([0.125, 8.0, 1024.0]))
def test_the_scale_of_a_tensor_does_not_matter(factor):
    # ReLU networks compute the same function when one layer grows and the next shrinks
    generator = torch.Generator().manual_seed(1)
    first, second = (torch.randn(6, 6, generator=generator) for _ in range(2))
    x = torch.randn(9, 6, generator=generator)

    def loss(weights):
        hidden = (x @ weights["a.weight"]).relu()
        return float((hidden @ weights["b.weight"]).square().mean())

    plain = perturbation({"a.weight": first, "b.weight": second}, loss)
    grown = {"a.weight": factor * first, "b.weight": second / factor}
    assert perturbation(grown, loss).losses == pytest.approx(plain.losses, rel=1e-5)


def test_statistics_and_counters_stay_and_inputs_are_not_written_to():
    model = torch.nn.BatchNorm1d(3)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    seen = []
    perturbation(weights, lambda given: float(seen.append(given) or 0.0), draws=2)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert all(torch.equal(given[name], weights[name]) for given in seen)
    assert not torch.equal(seen[0]["weight"], weights["weight"])
    assert all(torch.equal(weights[n], t) for n, t in model.state_dict().items())


def test_draws_are_keyed():
    weights = {"w": torch.ones(4)}
    first = perturbation(weights, quadratic(1.0), draws=3)
    assert perturbation(weights, quadratic(1.0), draws=5).losses[:3] == first.losses
    assert perturbation(weights, quadratic(1.0), draws=3, seed=1).losses != first.losses


@pytest.mark.parametrize("given", [{"scale": 0.0}, {"scale": -1.0}, {"draws": 0}])
def test_what_is_refused(given):
    with pytest.raises(InputError, match="expected"):
        perturbation({"w": torch.ones(1)}, quadratic(1.0), **given)
