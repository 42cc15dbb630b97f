"""What the fits are made of: log-odds that do not saturate, and Newton steps."""

import numpy as np
import pytest
import torch

import reference.calibrate as slow
from cases.metrics import PROBLEMS
from dale.calibrate.fitted import log_odds, log_probs
from dale.calibrate.newton import Local, minimise


@pytest.mark.parametrize("problem", PROBLEMS[:6], ids=str)
def test_log_odds_and_log_probs_equal_the_slow_twin(problem):
    ours = log_odds(problem.logits_NC, 1.3).numpy()
    assert np.allclose(ours, slow.log_odds(problem.logits_NC, 1.3), atol=1e-9)
    ours = log_probs(problem.logits_NC, 1.3).numpy()
    assert np.allclose(ours, slow.log_probs(problem.logits_NC, 1.3), atol=1e-12)


def test_log_odds_do_not_saturate_where_the_probability_is_1():
    logits = torch.tensor([[60.0, 0.0], [0.0, 80.0]])
    expected = torch.tensor([[60.0, -60.0], [-80.0, 80.0]]).double()
    assert torch.equal(log_odds(logits, 1.0), expected)


def test_newton_steps_are_damped_where_a_full_step_would_overshoot():
    # from 3 the full Newton step for log cosh lands at -198
    def local(x):
        tanh = float(x.tanh())
        return Local(float(x.cosh().log()), x.tanh(), x.new_full((1, 1), 1 - tanh**2))

    found = minimise(local, torch.tensor([3.0], dtype=torch.float64))
    assert float(found) == pytest.approx(0, abs=1e-9)


def test_newton_survives_a_direction_without_curvature():
    def local(x):
        gradient = torch.stack([2 * (x[0] - 1), 0 * x[1]])
        hessian = torch.tensor([[2.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
        return Local(float((x[0] - 1) ** 2), gradient, hessian)

    found = minimise(local, torch.tensor([4.0, 7.0], dtype=torch.float64))
    assert torch.allclose(found, torch.tensor([1.0, 7.0]).double())
