import gc
import weakref

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from dale.errors import InputError
from dale.train import Engine, EngineSpec


def prepared(**settings):
    """An engine with a small model and its optimiser."""
    engine = Engine(EngineSpec(device="cpu", **settings))
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return engine, model, *engine.prepare(model, optimizer)


def test_gradients_are_clipped_to_the_norm_asked_for():
    engine, model, call, optimizer = prepared(clip=0.01)
    engine.backward((100 * call(torch.ones(4, 3))).sum())
    engine.clip(model)
    norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
    assert norm == pytest.approx(0.01, rel=1e-4)
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_small_gradients_are_left_alone():
    engine, model, call, _ = prepared(clip=1e6)
    engine.backward(call(torch.ones(4, 3)).sum())
    before = [p.grad.clone() for p in model.parameters()]
    engine.clip(model)
    assert all(map(torch.equal, before, (p.grad for p in model.parameters())))


@pytest.mark.parametrize("first", ["fp32", "bf16"])
def test_one_process_may_use_several_precisions(first):
    for precision in (first, "bf16", "fp32", "bf16"):
        _, model, call, _ = prepared(precision=precision)
        inputs = torch.linspace(-1, 1, 12).reshape(4, 3)
        exact = nn.functional.linear(inputs, model.weight, model.bias)
        found = call(inputs)
        assert found.dtype == torch.float32
        assert torch.equal(found, exact) == (precision == "fp32")
        assert model.weight.dtype == torch.float32


def test_images_may_lie_channels_last():
    engine = Engine(EngineSpec(device="cpu", channels_last=True))
    images = engine.place(torch.rand(2, 3, 4, 4))
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert engine.place(torch.rand(2, 3)).is_contiguous()


def test_a_compiled_network_trains_as_the_network_does(monkeypatch):
    real, asked = torch.compile, []

    def compiled(call, **facts):
        asked.append(facts)
        return real(call, backend="eager", **facts)

    monkeypatch.setattr(torch, "compile", compiled)
    inputs, found = torch.linspace(-1, 1, 12).reshape(4, 3), []
    for compile in (False, True):
        engine, model, call, _ = prepared(compile=compile)
        engine.backward(call(inputs).square().sum())
        found.append([p.grad for p in model.parameters()])
        assert all("_orig_mod" not in name for name in model.state_dict())
    assert asked == [{"dynamic": False}]
    assert all(map(torch.equal, *found))


def test_nothing_is_held_once_an_engine_is_gone():
    engine, model, call, optimizer = prepared()
    gone = weakref.ref(model)
    del engine, model, call, optimizer
    gc.collect()
    assert gone() is None


def test_no_scaler_has_no_state():
    engine, *_ = prepared()
    assert engine.scaler_state == {}
    engine.load_scaler_state({})


def test_what_is_not_here_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="torch sees no CUDA device"):
        Engine(EngineSpec(device="cuda"))
    with pytest.raises(InputError, match="fp16 needs a GPU; bf16 works on CPUs"):
        Engine(EngineSpec(precision="fp16"))
    for clip in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValidationError):
            EngineSpec(clip=clip)
