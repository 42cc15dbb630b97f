import io

import pytest
import torch
from torch import nn

from dale.calibrate import fit_temperature
from dale.ensemble import COMBINERS, Ensemble, mean_probability
from dale.errors import InputError, ModelError, WeightsError
from dale.metrics import nll

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


def network(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)
        )


def networks(count: int = 3) -> list[nn.Module]:
    return [network(seed).eval() for seed in range(count)]


def logits_of(nets: list[nn.Module]) -> torch.Tensor:
    return torch.stack([net(X) for net in nets])


@pytest.mark.parametrize("name", COMBINERS)
@pytest.mark.parametrize("weights", [None, (1.0, 2.0, 0.0)])
def test_is_the_combiner_of_the_members(name, weights):
    nets = networks()
    ensemble = Ensemble(nets, name, weights).eval()
    expected = COMBINERS[name].function(logits_of(nets), weights)
    assert torch.allclose(ensemble(X), expected, atol=1e-6)
    assert torch.equal(ensemble.members(X), logits_of(nets))


def test_any_function_of_the_same_form_combines():
    def first(logits_MNC, weights_M):
        return logits_MNC[0].log_softmax(dim=1)

    nets = networks()
    ensemble = Ensemble(nets, first)
    assert torch.equal(ensemble(X), nets[0](X).log_softmax(dim=1))


def test_a_temperature_divides_and_normalises():
    nets = networks()
    plain, tempered = Ensemble(nets), Ensemble(nets, temperature=2.5)
    expected = (plain(X) / 2.5).log_softmax(dim=1)
    assert torch.allclose(tempered(X), expected)
    assert torch.allclose(tempered(X).exp().sum(dim=1), torch.ones(6))


def test_a_function_or_a_module_calibrates():
    nets = networks()

    class Doubled(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.tensor(2.0))

        def forward(self, log_probs_NC):
            return self.factor * log_probs_NC

    by_function = Ensemble(nets, temperature=lambda log_probs: 2 * log_probs)
    by_module = Ensemble(nets, temperature=Doubled())
    halved = Ensemble(nets, temperature=0.5)
    assert torch.allclose(by_function(X), halved(X), atol=1e-6)
    assert torch.allclose(by_module(X), halved(X), atol=1e-6)
    assert "calibrate.factor" in by_module.state_dict()


def test_a_temperature_fitted_to_the_ensemble_is_applied_after_combining():
    nets, targets = networks(), torch.tensor([0, 1, 2, 0, 1, 2])
    pooled = mean_probability(logits_of(nets)).detach()
    fitted = fit_temperature(pooled, targets)
    by_function = Ensemble(nets, temperature=fitted.apply)
    by_number = Ensemble(nets, temperature=fitted.value)
    assert nll(by_function(X), targets) == pytest.approx(fitted.nll_after, rel=1e-6)
    assert torch.allclose(by_number(X).double(), by_function(X), atol=1e-5)


def test_the_output_is_logits_so_that_cross_entropy_is_the_nll():
    nets, targets = networks(), torch.tensor([0, 1, 2, 0, 1, 2])
    output = Ensemble(nets)(X)
    as_logits = nn.functional.cross_entropy(output, targets)
    as_log_probs = nn.functional.nll_loss(output, targets)
    probs = torch.stack([net(X).softmax(dim=1) for net in nets]).mean(dim=0)
    expected = -probs[range(6), targets].log().mean()
    assert torch.allclose(as_logits, expected)
    assert torch.allclose(as_log_probs, expected)


def test_gradients_reach_every_member():
    ensemble = Ensemble(networks(), temperature=1.5)
    nn.functional.nll_loss(ensemble(X), torch.tensor([0, 1, 2, 0, 1, 2])).backward()
    for name, parameter in ensemble.named_parameters():
        # a bias before batch norm in training has none, but these are in eval mode
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all())
    assert all(bool(p.grad.any()) for p in ensemble.networks[2].parameters())


def test_learns_as_one_model():
    torch.manual_seed(0)
    ensemble = Ensemble([nn.Linear(4, 3) for _ in range(3)])
    targets = X[:, :3].argmax(dim=1)
    optimizer = torch.optim.SGD(ensemble.parameters(), lr=1.0)
    losses = []
    for _ in range(30):
        loss = nn.functional.nll_loss(ensemble(X), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_state_dict_carries_members_weights_and_temperature():
    source = Ensemble(networks(), weights=[3, 1, 0], temperature=1.7).eval()
    file = io.BytesIO()
    torch.save(source.state_dict(), file)
    file.seek(0)
    others = [network(seed) for seed in (7, 8, 9)]
    target = Ensemble(others, weights=[1, 1, 1], temperature=1.0).eval()
    target.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(target(X), source(X))
    assert target.weights_M.tolist() == pytest.approx([0.75, 0.25, 0.0])
    with pytest.raises(RuntimeError, match="temperature"):
        Ensemble(others, weights=[1, 1, 1]).load_state_dict(source.state_dict())


def test_train_and_eval_reach_the_members():
    ensemble = Ensemble(networks())
    ensemble.train()
    assert all(net.training for net in ensemble.networks)
    before = ensemble.networks[0][1].running_mean.clone()
    ensemble(X)
    assert not torch.equal(ensemble.networks[0][1].running_mean, before)
    ensemble.eval()
    assert not any(net.training for net in ensemble.networks)


def test_to_reaches_everything():
    ensemble = Ensemble(networks(), weights=[1, 2, 3], temperature=2.0).double()
    assert ensemble(X.double()).dtype == torch.float64
    assert {tensor.dtype for tensor in ensemble.buffers()} == {
        torch.float64,
        torch.int64,
    }


def test_half_precision_members_are_combined_in_float32():
    nets = [nn.Linear(4, 3).bfloat16() for _ in range(2)]
    output = Ensemble(nets, weights=[1, 2], temperature=1.3).bfloat16()(X.bfloat16())
    assert output.dtype == torch.float32
    assert torch.allclose(output.exp().sum(dim=1), torch.ones(6))


def test_arguments_are_passed_on():
    class Scaled(nn.Module):
        def forward(self, x, factor, bias=0.0):
            return factor * x[:, :3] + bias * x[:, :1] * torch.tensor([1.0, 0.0, 0.0])

    ensemble = Ensemble([Scaled(), Scaled()])
    expected = Scaled()(X, 3.0, bias=2.0).log_softmax(dim=1)
    assert torch.allclose(ensemble(X, 3.0, bias=2.0), expected, atol=1e-6)


def test_from_weights_copies_and_loads():
    nets = networks(4)
    template = network(99).eval()
    before = {name: t.clone() for name, t in template.state_dict().items()}
    states = [net.state_dict() for net in nets]
    ensemble = Ensemble.from_weights(
        template, states, weights=[1, 1, 1, 0], temperature=1.1
    ).eval()
    expected = Ensemble(nets, weights=[1, 1, 1, 0], temperature=1.1)
    assert torch.equal(ensemble(X), expected(X))
    assert all(torch.equal(before[k], t) for k, t in template.state_dict().items())
    with torch.no_grad():
        ensemble.networks[0][0].weight.zero_()
    assert bool(states[0]["0.weight"].any())
    assert bool(ensemble.networks[1][0].weight.any())


def test_from_weights_is_strict():
    states = [nn.Linear(4, 3).state_dict(), {"weight": torch.zeros(3, 4)}]
    with pytest.raises(WeightsError, match="bias"):
        Ensemble.from_weights(nn.Linear(4, 3), states)
    with pytest.raises(InputError, match="at least one module, got none"):
        Ensemble.from_weights(nn.Linear(4, 3), [])


def test_the_exported_graph_computes_the_same():
    nets = [nn.Linear(4, 3) for _ in range(2)]
    for combine in ("mean_probability", "mean_logit"):
        ensemble = Ensemble(nets, combine, [1, 3], 1.4).eval()
        exported = torch.export.export(ensemble, (X,)).module()
        assert torch.allclose(exported(X), ensemble(X), atol=1e-6)


def test_no_module_is_refused():
    with pytest.raises(InputError, match="at least one module, got none"):
        Ensemble([])


def test_an_unknown_combiner_is_named_with_the_nearest():
    with pytest.raises(InputError, match=r"'mean_logits'; did you mean 'mean_logit'\?"):
        Ensemble(networks(), "mean_logits")


@pytest.mark.parametrize("weights", [[1, 2], [0, 0, 0], [1, 1, -1]])
def test_impossible_weights_are_refused(weights):
    with pytest.raises(InputError, match="weights_M: expected"):
        Ensemble(networks(), weights=weights)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_impossible_temperatures_are_refused(temperature):
    with pytest.raises(InputError, match="temperature: expected a number > 0"):
        Ensemble(networks(), temperature=temperature)


def test_members_that_do_not_return_logits_are_named():
    with pytest.raises(ModelError, match=r"member 1: .* \(6, 3\) .* got \(6, 2\)"):
        Ensemble([nn.Linear(4, 3), nn.Linear(4, 2)])(X)
    with pytest.raises(ModelError, match=r"member 0: .* \(N, C\), got \(6, 2, 2\)"):
        Ensemble([nn.Unflatten(1, (2, 2))])(X)

    class Tuple(nn.Module):
        def forward(self, x):
            return (x, x)

    with pytest.raises(ModelError, match="got a tuple"):
        Ensemble([Tuple()])(X)


def test_the_default_is_the_mean_probability():
    nets = networks()
    assert torch.equal(Ensemble(nets)(X), mean_probability(logits_of(nets)))
