import pytest
import torch
from torch import nn

from dale.errors import InputError
from dale.train import AverageCollector, SnapshotCollector, Snapshots
from dale.train.checkpoint import pack, unpack


def weights(value):
    return {"w": torch.full((2,), float(value)), "n": torch.tensor(int(value))}


def test_snapshots_are_the_live_weights_at_the_ends():
    collector = SnapshotCollector((3, 5))
    assert [collector.emits(step) for step in range(7)] == [
        *((), (), (), (1,), (), (2,), ())
    ]
    live = weights(4)
    assert collector.member(1, live) is live


def test_an_average_counts_each_model_once_and_only_the_tail():
    collector = AverageCollector(at=(6, 8), end=8)
    seen = [step for step in range(1, 11) if collector.wants(step)]
    assert seen == [6, 8]
    for step in seen:
        collector.update(step, weights(step))
    assert [s for s in range(1, 11) if collector.emits(s)] == [8]
    assert torch.equal(collector.member(1, weights(0))["w"], torch.tensor([7.0, 7.0]))


def test_an_average_goes_on_from_its_state():
    whole = AverageCollector(at=range(1, 7), end=6)
    half = AverageCollector(at=range(1, 7), end=6)
    generator = torch.Generator().manual_seed(0)
    stream = [{"w": torch.randn(5, generator=generator)} for _ in range(6)]
    for step, item in enumerate(stream, start=1):
        whole.update(step, item)
    for step, item in enumerate(stream[:3], start=1):
        half.update(step, item)
    resumed = AverageCollector(at=range(1, 7), end=6)
    resumed.load_state(unpack(*pack(half.state())))
    for step, item in enumerate(stream[3:], start=4):
        resumed.update(step, item)
    assert torch.equal(whole.member(1, {})["w"], resumed.member(1, {})["w"])


def test_snapshots_in_a_loop_of_ones_own():
    model = nn.Linear(1, 1, bias=False)
    snapshots = Snapshots((2, 3))
    for value in range(1, 5):
        nn.init.constant_(model.weight, value)
        assert snapshots.update(model) == (value in (2, 3))
    assert [taken["weight"].item() for taken in snapshots.weights] == [2.0, 3.0]
    with pytest.raises(InputError, match="ends is empty"):
        Snapshots(())
    for ends in ((0,), (2, 2.5), "ab"):
        with pytest.raises(InputError, match="ends: expected whole numbers of at"):
            Snapshots(ends)
