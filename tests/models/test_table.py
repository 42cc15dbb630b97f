"""Every row of MODELS, through the table."""

import copy
import inspect

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import reference.models as slow
from cases.models import SETTINGS, SHAPES, WRONG
from dale.errors import ModelError
from dale.models import MODELS, build, check_output, count_parameters
from dale.models.bottleneck import _BLOCKS as bottleneck_blocks
from dale.models.bottleneck import BottleneckResNet

EVERY = [(name, settings) for name in SETTINGS for settings in SETTINGS[name]]


def made(name, shape=(1, 8, 8), classes=5, seed=0, **settings):
    torch.manual_seed(seed)
    return build(name, shape, classes, **settings)


def images(count, *shape, seed=0):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def stirred(model):
    """The model in evaluation mode, with statistics as after some training."""
    generator = torch.Generator().manual_seed(1)
    for value in model.buffers():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    for value in model.parameters():
        if value.ndim == 1:
            value.data += torch.randn(value.shape, generator=generator) * 0.3
    return model.eval()


def test_every_row_has_settings_and_facts():
    assert set(SETTINGS) == set(MODELS)
    for row in MODELS.values():
        parameters = inspect.signature(row.function).parameters
        assert list(parameters)[:2] == ["shape", "classes"]
        assert row.summary
        assert row.reference


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "settings"), EVERY)
def test_gives_one_logit_per_class(name, settings, shape):
    check_output(made(name, shape, **settings), shape, 5)


@pytest.mark.parametrize(("name", "settings"), EVERY)
def test_same_seed_gives_the_same_weights(name, settings):
    one, same, other = (made(name, seed=s, **settings) for s in (1, 1, 2))
    a, b, c = one.state_dict(), same.state_dict(), other.state_dict()
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert any(not torch.equal(a[key], c[key]) for key in a)


@pytest.mark.parametrize(("name", "settings"), EVERY)
def test_every_parameter_learns(name, settings):
    model, x = made(name, **settings), images(16, 1, 8, 8)
    y = torch.arange(16) % 5
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    before = F.cross_entropy(model(x), y)
    before.backward()
    for key, value in model.named_parameters():
        assert value.grad is not None, key
        assert value.grad.isfinite().all()
    for _ in range(30):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    assert loss < before


@pytest.mark.parametrize(("name", "settings"), EVERY)
def test_memory_layout_changes_no_weight_and_survives_loading(name, settings):
    model = made(name, **settings)
    plain = {k: v.contiguous().clone() for k, v in model.state_dict().items()}
    other = made(name, seed=9, **settings)
    strides = {k: v.stride() for k, v in other.state_dict().items()}
    other.load_state_dict(plain)
    assert strides == {k: v.stride() for k, v in other.state_dict().items()}
    x = images(4, 1, 8, 8)
    assert torch.equal(other.eval()(x), model.eval()(x))
    called = torch.func.functional_call(model, plain, (x,))
    assert torch.allclose(called, model(x), atol=1e-5)


@pytest.mark.parametrize(("name", "settings"), EVERY)
def test_can_be_stacked_and_exported(name, settings):
    model, x = made(name, **settings).eval(), images(3, 1, 8, 8)
    weights = {k: torch.stack([v, v * 0.5]) for k, v in model.state_dict().items()}

    def run(given):
        return torch.func.functional_call(model, given, (x,))

    stacked = torch.vmap(run)(weights)
    assert torch.allclose(stacked[0], model(x), atol=1e-5)
    program = torch.export.export(model, (x,))
    assert torch.allclose(program.module()(x), model(x), atol=1e-6)


@pytest.mark.parametrize(
    "name", [n for n, row in MODELS.items() if row.inputs == "any"]
)
def test_rows_for_any_input_take_features(name):
    check_output(made(name, (13,)), (13,), 5)


@pytest.mark.parametrize(
    "name", [n for n, row in MODELS.items() if row.inputs == "image"]
)
@pytest.mark.parametrize("shape", [(64,), (8, 8), (1, 2, 8, 8), (1, 0, 8)])
def test_rows_for_images_refuse_other_shapes(name, shape):
    message = rf"{name} needs images of shape \(channels, height, width\)"
    with pytest.raises(ModelError, match=message):
        build(name, shape, 5)


@pytest.mark.parametrize(("name", "settings", "message"), WRONG)
def test_wrong_settings(name, settings, message):
    with pytest.raises(ModelError, match=message):
        build(name, (1, 8, 8), 5, **settings)


@pytest.mark.parametrize("name", MODELS)
def test_one_class_is_refused(name):
    with pytest.raises(ModelError, match=f"{name}: classes is 1; expected .* least 2"):
        build(name, (1, 8, 8), 1)


def test_unknown_model():
    with pytest.raises(ModelError, match=r"'resnett'; did you mean 'resnet'\?"):
        build("resnett", (1, 8, 8), 5)
    with pytest.raises(ModelError, match="mlp needs inputs that hold numbers"):
        build("mlp", (), 5)


def test_mlp_equals_the_slow_twin():
    model, x = stirred(made("mlp", hidden=(7, 6))), images(4, 1, 8, 8)
    expected = slow.mlp(model.state_dict(), x)
    assert model(x).detach().numpy() == pytest.approx(expected, abs=1e-5)


def test_convnet_equals_the_slow_twin():
    model, x = stirred(made("convnet", (2, 9, 8), width=4)), images(2, 2, 9, 8)
    expected = slow.convnet(model.state_dict(), x)
    assert model(x).detach().numpy() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("shortcut", ["conv", "pad"])
def test_resnet_equals_the_slow_twin(shortcut):
    settings = {"depth": 8, "width": 3, "shortcut": shortcut}
    model, x = stirred(made("resnet", (2, 9, 8), **settings)), images(2, 2, 9, 8)
    expected = slow.resnet(model.state_dict(), x, shortcut)
    assert model(x).detach().numpy() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("stem", ["small", "large"])
def test_bottleneck_equals_the_slow_twin(stem):
    settings = {"depth": 26, "width": 2, "stem": stem}
    model, x = stirred(made("bottleneck", (2, 9, 8), **settings)), images(2, 2, 9, 8)
    expected = slow.bottleneck(model.state_dict(), x, stem)
    assert model(x).detach().numpy() == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    ("depth", "count"), [(50, 25_557_032), (101, 44_549_160), (152, 60_192_808)]
)
def test_bottleneck_has_the_published_number_of_parameters(depth, count):
    with torch.device("meta"):
        model = BottleneckResNet(
            3, 1000, bottleneck_blocks[depth], width=64, norm="batch", stem="large"
        )
    assert count_parameters(model) == count


@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)]
)
def test_resnet_has_the_published_number_of_parameters(depth, millions):
    # He et al. 2016, table 6
    model = build("resnet", (3, 32, 32), 10, depth=depth, shortcut="pad")
    assert count_parameters(model) / 1e6 == pytest.approx(millions, abs=0.03)


def test_convnet_is_of_the_documented_size():
    assert count_parameters(build("convnet", (1, 28, 28), 10)) == 94962
    widths = [
        layer.out_channels
        for layer in build("convnet", (1, 28, 28), 10, depth=6).modules()
        if isinstance(layer, nn.Conv2d)
    ]
    assert widths == [24, 48, 64, 96, 96, 96]


@pytest.mark.parametrize(("side", "pools"), [(64, 3), (8, 3), (7, 2), (3, 1), (1, 0)])
def test_convnet_pools_while_there_are_two_pixels(side, pools):
    model = build("convnet", (1, side, side), 10)
    found = [layer for layer in model if isinstance(layer, nn.MaxPool2d)]
    assert len(found) == pools


def test_first_weights_have_the_documented_spread():
    torch.manual_seed(0)
    conv = build("convnet", (1, 28, 28), 10)[4]
    assert conv.weight.std().item() == pytest.approx((2 / (48 * 9)) ** 0.5, rel=0.05)
    linear = build("mlp", (784,), 10)[1]
    assert linear.weight.std().item() == pytest.approx((2 / 784) ** 0.5, rel=0.02)
    assert not linear.bias.any()


def test_models_can_be_copied():
    model = made("convnet", width=4)
    x = images(2, 1, 8, 8)
    assert torch.equal(copy.deepcopy(model).eval()(x), model.eval()(x))
