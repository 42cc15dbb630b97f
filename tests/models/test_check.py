import pytest
import torch
from torch import nn

from dale.errors import ModelError
from dale.models import MODELS, build, check_output, count_parameters

SHAPE = (1, 4, 4)


class Gives(nn.Module):
    """Returns what a function makes of its inputs."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, inputs):
        return self.function(inputs)


def fail(inputs):
    raise RuntimeError("first line\nsecond line")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: torch.zeros(2, 7), r"returned shape \(2, 7\); expected \(2, 10\)"),
        (lambda x: torch.zeros(2), r"returned shape \(2,\); expected \(2, 10\)"),
        (
            lambda x: torch.zeros(10),
            r"shape \(10,\); expected \(2, 10\), one logit per",
        ),
        (
            lambda x: (torch.zeros(2, 10),),
            "returned tuple; expected a tensor of logits",
        ),
        (lambda x: {"logits": x}, "returned dict; expected a tensor"),
        (lambda x: None, "returned NoneType; expected a tensor"),
        (lambda x: torch.full((2, 10), torch.nan), "NaN or infinite logits for two in"),
        (lambda x: torch.full((2, 10), torch.inf), "NaN or infinite logits"),
        (
            lambda x: torch.zeros(2, 10).long(),
            r"returned torch.int64; expected logits of torch\.float32",
        ),
        (
            lambda x: torch.zeros(2, 10).double(),
            r"returned torch.float64; expected logits of torch\.float32",
        ),
        (fail, r"fails on two inputs of shape \(1, 4, 4\): RuntimeError: first line$"),
    ],
)
def test_wrong_outputs(function, message):
    with pytest.raises(ModelError, match=message):
        check_output(Gives(function), SHAPE, 10)


def test_wrong_input_width_is_told_with_the_shape():
    with pytest.raises(
        ModelError, match=r"fails on two inputs of shape \(1, 4, 4\): R"
    ):
        check_output(nn.Sequential(nn.Flatten(), nn.Linear(15, 10)), SHAPE, 10)


def test_parameters_without_a_shape_are_named():
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(10))
    with pytest.raises(
        ModelError, match=r"parameters 1\.weight, 1\.bias have no shape"
    ):
        check_output(model, SHAPE, 10)


class Counting(nn.Module):
    """Changes buffers and draws numbers even in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(16, 10)
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("mean", torch.zeros(1))

    def forward(self, inputs):
        self.calls += 1
        self.mean = self.mean + 1
        return self.linear(inputs.flatten(1)) + torch.rand(1)


@pytest.mark.parametrize(
    "make",
    [
        Counting,
        lambda: build("convnet", SHAPE, 10, dropout=0.5),
        lambda: nn.Sequential(build("resnet", SHAPE, 10, depth=8).eval()),
    ],
)
def test_nothing_is_changed(make):
    model = make()
    modes = [part.training for part in model.modules()]
    before = {k: v.clone() for k, v in model.state_dict().items()}
    torch.manual_seed(3)
    state = torch.get_rng_state()
    check_output(model, SHAPE, 10)
    assert torch.equal(torch.get_rng_state(), state)
    assert [part.training for part in model.modules()] == modes
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(value.grad is None for value in model.parameters())


def test_modes_come_back_after_a_failure():
    model = Gives(fail)
    with pytest.raises(ModelError):
        check_output(model, SHAPE, 10)
    assert model.training


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_parameters_are_float32(dtype):
    with pytest.raises(
        ModelError, match=rf"parameter 1\.weight has type {dtype}; expected torch\.fl"
    ):
        check_output(build("mlp", SHAPE, 10).to(dtype), SHAPE, 10)


@pytest.mark.parametrize("name", MODELS)
def test_probabilities_are_refused(name):
    torch.manual_seed(0)
    model = build(name, SHAPE, 10)
    check_output(model, SHAPE, 10)
    check_output(nn.Sequential(model, nn.LogSoftmax(1)), SHAPE, 10)
    with pytest.raises(ModelError, match=r"returns probabilities; expected logits \("):
        check_output(nn.Sequential(model, nn.Softmax(1)), SHAPE, 10)


def one_hot(inputs):
    return nn.functional.one_hot(inputs.flatten(1)[:, :10].argmax(1), 10).float()


def uniform_at_zero(inputs):
    return 0.1 + inputs.flatten(1)[:, :10]


def larger_elsewhere(inputs):
    return 0.1 + inputs.flatten(1)[:, :10].abs()


def test_rows_that_are_probabilities_for_zeros_alone_are_not_refused():
    with pytest.raises(ModelError, match="returns probabilities"):
        check_output(Gives(one_hot), SHAPE, 10)
    check_output(Gives(uniform_at_zero), SHAPE, 10)
    check_output(Gives(larger_elsewhere), SHAPE, 10)


def test_a_model_that_fails_on_other_inputs_than_zeros_is_told():
    def picky(inputs):
        if inputs.any():
            raise RuntimeError("only zeros")
        return torch.full((2, 10), 0.1)

    with pytest.raises(ModelError, match=r"fails on two inputs of .* only zeros$"):
        check_output(Gives(picky), SHAPE, 10)


def test_count_parameters():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 4))
    assert count_parameters(model) == 15 + 6 + 16
    model[0].weight.requires_grad_(False)
    assert count_parameters(model, trainable=True) == 3 + 6 + 16
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    assert count_parameters(tied) == 9 + 3 + 3
