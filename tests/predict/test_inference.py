import pytest
import torch
from torch import nn

from cases.runs import RECIPE
from dale.data import from_arrays
from dale.errors import CorruptError, InputError, ModelError
from dale.predict import evaluating, infer, predict
from dale.recipes import start


@pytest.fixture
def split():
    x = torch.randn(23, 4, generator=torch.Generator().manual_seed(0))
    data = from_arrays({"train": (x, torch.arange(23) % 3)}, val=3, test=3)
    return data.splits["train"]


def net():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3)
    )


@pytest.mark.parametrize("batch", [1, 4, 17, 512])
def test_logits_do_not_depend_on_the_size_of_the_batches(batch, split):
    model = net()
    everything = split.batch(torch.arange(len(split)))
    expected = model.eval()(everything).detach()
    found = infer(net(), split, batch=batch)
    assert found.dtype == torch.float32
    assert not found.is_inference()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_a_network_is_left_as_it_was(split):
    model = net()
    model.train()
    model[1].eval()
    model[0].weight.requires_grad_(False)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    infer(model, split)
    assert [part.training for part in model] == [True, False, True, True]
    assert [p.requires_grad for p in model.parameters()].count(False) == 1
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_modes_come_back_after_an_error():
    model = net()
    model[2].eval()

    def fail():
        with evaluating(model):
            assert not any(part.training for part in model.modules())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [part.training for part in model] == [True, True, False, True]


def test_nothing_random_is_drawn(split):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    infer(net().eval(), split)
    torch.manual_seed(0)
    infer(model := net(), split)
    assert torch.equal(infer(model, split), infer(model, split))
    assert len(state) == len(torch.get_rng_state())


class Bad(nn.Module):
    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, x):
        return self.output(x)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda x: x.sum(), r"returned \(\) for 20|returned \(\) for 17"),
        (lambda x: x[:-1], r"returned \(16, 4\) for 17 examples; expected \(17, class"),
        (lambda x: x[:, None], r"returned \(17, 1, 4\) for 17 examples"),
        (lambda x: {"logits": x, "more": "a\nb"}, r"returned dict for 17 examples"),
        (lambda x: None, r"returned NoneType for 17 examples"),
    ],
)
def test_outputs_that_are_no_logits(output, message, split):
    assert len(split) == 17
    with pytest.raises(ModelError, match=message) as caught:
        infer(Bad(output), split)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    bench = start(RECIPE, tmp_path_factory.mktemp("run") / "run")
    bench.train()
    return bench


@pytest.fixture
def counted(monkeypatch):
    """How often a network was run."""
    from dale.predict import inference

    calls = []

    def counting(module, split, **settings):
        calls.append(len(split))
        return infer(module, split, **settings)

    monkeypatch.setattr(inference, "infer", counting)
    return calls


def test_what_was_computed_once_is_never_computed_again(bench, counted):
    members, told = bench.members(), []
    first = bench.predict("val", members[:3], told.append)
    assert len(counted) == 3
    assert told == members[:3]
    again = bench.predict("val", members[2::-1], told.append)
    assert len(counted) == 3
    assert torch.equal(again.logits_MNC, first.logits_MNC.flip(0))
    bench.predict("val", members[:4], told.append)
    assert told == members[:4]
    assert torch.equal(first.targets_N, bench.split("val").targets_N)


def test_the_cache_holds_what_the_network_says(bench):
    found = bench.predict("test", bench.members())
    for member, logits_NC in zip(bench.members(), found.logits_MNC, strict=True):
        bench.model.load_state_dict(bench.run.population.weights(member))
        assert torch.equal(infer(bench.model, bench.split("test")), logits_NC)


def test_no_members_and_a_lost_one(bench, tmp_path):
    run, split = bench.run, bench.split("val")
    arguments = (run, bench.cache, bench.model, "val", split)
    with pytest.raises(InputError, match="no member to read predictions of on val"):
        predict(*arguments, [])
    member = bench.members()[0]
    path = run.population.path(member)
    kept = path.rename(tmp_path / "kept")
    bench.cache.path(member, "val").unlink(missing_ok=True)
    with pytest.raises(CorruptError, match="is missing: it holds member 'nocycle-c01"):
        predict(*arguments, [member])
    kept.rename(path)
    predict(*arguments, [member])
