"""Re-estimated statistics are those of all values that a layer sees."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cases.weights import SharedNorm, bits, built
from dale.errors import InputError, WeightsError
from dale.weights import has_statistics, load_into, reestimate, weights_of
from reference.weights import normalisation


def images(*lengths: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [3 * torch.randn(n, 1, 4, 4, generator=generator) + 1 for n in lengths]


def test_unequal_batches_count_by_length() -> None:
    net = nn.BatchNorm1d(1)
    batches = [torch.zeros(100, 1), torch.full((10, 1), 11.0)]
    (new,) = reestimate(net, [weights_of(net)], batches)
    assert new["running_mean"].item() == 1.0
    everything = torch.cat(batches).double()
    torch.testing.assert_close(new["running_var"].double(), everything.var(0))


def test_every_layer_agrees_with_keeping_all_inputs() -> None:
    net = built("convolutional")
    sets = [weights_of(built("convolutional", seed)) for seed in (1, 2)]
    batches = images(7, 3, 16)
    results = reestimate(net, sets, iter(batches))
    for weights, result in zip(sets, results, strict=True):
        twin = built("convolutional")
        layers = [twin[1], twin[6]]
        expected = normalisation(
            twin, layers, batches, lambda m, w=weights: load_into(m, w)
        )
        for index, (mean, variance) in zip((1, 6), expected, strict=True):
            for kind, value in (("mean", mean), ("var", variance)):
                actual = result[f"{index}.running_{kind}"].double().numpy()
                np.testing.assert_allclose(actual, value, rtol=2e-6, atol=1e-6)


def test_equal_batches_agree_with_pytorch() -> None:
    net = built("convolutional").eval()
    net[3].p = 0.0  # update_bn leaves dropout active
    batches = images(8, 8, 8)
    (new,) = reestimate(net, [weights_of(net)], batches)
    torch.optim.swa_utils.update_bn(batches, net)
    for index in (1, 6):
        expected = net[index].running_mean
        torch.testing.assert_close(new[f"{index}.running_mean"], expected)


def test_pooled_variance_is_exact_far_from_zero() -> None:
    net = nn.BatchNorm1d(1).double()
    batches = [1e8 + torch.tensor(v).double()[:, None] for v in ([0, 1], [2, 2])]
    (new,) = reestimate(net, [weights_of(net)], batches)
    assert new["running_mean"].item() == 1e8 + 1.25
    assert new["running_var"].item() == pytest.approx(11 / 12, rel=1e-12)


def test_network_is_left_bit_identical() -> None:
    net = built("convolutional")
    net.train()
    net[0].eval()
    net(images(4)[0]).sum().backward()
    net[1].register_buffer("scratch", torch.zeros(1), persistent=False)
    before, modes = bits(weights_of(net)), [m.training for m in net.modules()]
    gradients = [parameter.grad.clone() for parameter in net.parameters()]
    hooks = [len(m._forward_pre_hooks) for m in net.modules()]
    random = torch.get_rng_state()
    reestimate(net, [weights_of(built("convolutional", 3))], images(4, 5))
    assert bits(weights_of(net)) == before
    assert [m.training for m in net.modules()] == modes
    assert [len(m._forward_pre_hooks) for m in net.modules()] == hooks
    assert torch.equal(random, torch.get_rng_state())
    for parameter, gradient in zip(net.parameters(), gradients, strict=True):
        assert torch.equal(parameter.grad, gradient)


def test_network_is_left_as_it_is_after_a_failure() -> None:
    net = built("convolutional").train()
    before = bits(weights_of(net))
    with pytest.raises(InputError, match="batch 1 gives BatchNorm layer '6'"):
        reestimate(net, [weights_of(net)], images(4, 1))
    assert bits(weights_of(net)) == before
    assert all(part.training for part in net.modules())
    assert not any(part._forward_pre_hooks for part in net.modules())


def test_given_weights_are_not_written_and_counters_are_carried() -> None:
    net = built("convolutional")
    given = weights_of(net)
    given["1.num_batches_tracked"].fill_(7)
    before = bits(given)
    (new,) = reestimate(net, [given], images(4))
    assert bits(given) == before
    assert new["1.num_batches_tracked"].item() == 7
    assert new["0.weight"].data_ptr() != given["0.weight"].data_ptr()
    changed = {n for n in given if not torch.equal(given[n], new[n])}
    assert changed == {
        f"{i}.running_{kind}" for i in (1, 6) for kind in ("mean", "var")
    }


def test_a_walk_reads_each_batch_once_for_all_sets() -> None:
    net, read = built("convolutional"), []

    def batches() -> object:
        for batch in images(4, 4):
            read.append(len(batch))
            yield batch

    results = reestimate(net, [weights_of(net)] * 3, batches())
    assert read == [4, 4]
    assert bits(results[0]) == bits(results[1]) == bits(results[2])


def test_dropout_is_silent() -> None:
    net = built("convolutional")
    first, second = (reestimate(net, [weights_of(net)], images(8))[0] for _ in range(2))
    assert bits(first) == bits(second)


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.norm(left + right)


@pytest.mark.parametrize("form", ["tuple", "list", "dict"])
def test_forms_of_batches(form: str) -> None:
    net = Pair()
    left, right = torch.randn(6, 2), torch.randn(6, 2)
    given = {"left": left, "right": right}
    batch = {"tuple": (left, right), "list": [left, right], "dict": given}[form]
    (new,) = reestimate(net, [weights_of(net)], [batch])
    torch.testing.assert_close(new["norm.running_mean"], (left + right).mean(0))


def test_a_layer_called_twice_pools_both_calls_under_both_names() -> None:
    net = SharedNorm()
    inputs = torch.randn(9, 3) + 2
    (new,) = reestimate(net, [weights_of(net)], [inputs])
    twin = copy.deepcopy(net)
    ((mean, variance),) = normalisation(twin, [twin.first], [inputs], lambda m: None)
    np.testing.assert_allclose(new["first.running_mean"].numpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(new["second.running_var"].numpy(), variance, rtol=1e-5)
    assert new["first.running_mean"] is new["second.running_mean"]


def test_layers_that_no_batch_reaches_keep_their_statistics() -> None:
    net = nn.Sequential(nn.BatchNorm1d(2))
    net.spare = nn.BatchNorm1d(2)
    net.forward = lambda inputs: net[0](inputs)
    given = weights_of(net) | {"spare.running_mean": torch.tensor([4.0, 5.0])}
    (new,) = reestimate(net, [given], [torch.randn(5, 2)])
    assert new["spare.running_mean"].tolist() == [4.0, 5.0]


def test_weights_of_another_precision_are_cast_for_the_walk() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    given = {
        n: t.half() if t.is_floating_point() else t for n, t in weights_of(net).items()
    }
    (new,) = reestimate(net, [given], [torch.randn(8, 2)])
    assert new["1.running_mean"].dtype == torch.float16
    assert net[0].weight.dtype == torch.float32


def test_without_statistics_copies_come_back() -> None:
    net = nn.Linear(2, 2)
    given = weights_of(net)
    (new,) = reestimate(net, [given], [])
    assert bits(new) == bits(given)
    assert new["weight"] is not given["weight"]


def test_no_batches() -> None:
    net = nn.BatchNorm1d(2)
    with pytest.raises(InputError, match="from 0 batches"):
        reestimate(net, [weights_of(net)], [])


def test_weights_that_do_not_fit() -> None:
    net = nn.BatchNorm1d(2)
    other = weights_of(nn.BatchNorm1d(3))
    with pytest.raises(
        WeightsError, match=r"weight set 1: 'weight' must have shape \(2,\)"
    ):
        reestimate(net, [weights_of(net), other], [torch.randn(4, 2)])


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        (nn.BatchNorm2d(2), True),
        (nn.Sequential(nn.SyncBatchNorm(2)), True),
        (nn.BatchNorm1d(2, track_running_stats=False), False),
        (nn.GroupNorm(1, 2), False),
    ],
)
def test_has_statistics(net: nn.Module, expected: bool) -> None:
    assert has_statistics(net) is expected
