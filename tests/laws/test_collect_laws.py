"""What holds for every collector that a recipe can name."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dale.errors import Interrupted
from dale.recipes import start
from dale.train import COLLECTORS, Span, Watcher
from dale.train.checkpoint import pack, unpack

SETTINGS = {
    "snapshot": [{"every": 2}],
    "swa": [{"start": "30%", "every": 1}, {"start": 0, "every": 3}],
    "best": [{}, {"metric": "error"}],
    "ema": [{}, {"early": "warmup", "every": 2}, {"early": "first", "decay": 0.5}],
    "tail": [{}, {"starts": 2, "every": 2}, {"starts": 9}],
    "swag": [
        {"start": 0, "every": 1, "samples": 2},
        {"start": "20%", "every": 2, "rank": 3, "samples": 2},
        {"start": 0, "every": 1, "rank": 0, "samples": 1},
    ],
}
EACH = [(name, given) for name, settings in SETTINGS.items() for given in settings]
SPAN = Span(steps=12, per_epoch=4, seed=5)
EVERYTHING = """
seed: 3
data: {source: digits, val: 300, test: 1200}
model: {name: mlp, hidden: [8], norm: batch}
epochs: 3
batch: 64
checkpoint_seconds: 0
strategies: [{name: snapshot, cycles: 2}, {name: bagging, members: 2}]
collect:
  - snapshot
  - best
  - {name: swa, start: 0, every: 2}
  - {name: ema, statistics: reestimate}
  - {name: tail, starts: 2}
  - {name: swag, start: 0, every: 2, rank: 3, samples: 2}
"""


def make(name, given):
    return COLLECTORS[name].function(SPAN, **given)


def path(seed, dtype=torch.float32):
    """Weights after each update: tied, with a counter and a mask of infinities."""
    generator = torch.Generator().manual_seed(seed)
    for step in range(1, SPAN.steps + 1):
        shared = torch.randn(3, 2, generator=generator).to(dtype)
        yield (
            step,
            {
                "embed": shared,
                "head": shared,
                "bias": torch.randn(4, generator=generator).to(dtype),
                "mask": torch.tensor([0.0, -torch.inf]),
                "count": torch.tensor(step),
            },
        )


def show(collector, items):
    for step, weights in items:
        if collector.wants(step):
            collector.update(step, weights)
        if collector.judges and step % SPAN.per_epoch == 0:
            collector.judge(step, {"nll": 1 / step, "error": 1 / step}, weights)


def members(collector, live):
    return [collector.member(index, live) for index in collector.emits(SPAN.steps)]


def same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].dtype == right[name].dtype
        assert torch.equal(left[name], right[name])


def test_every_collector_is_under_these_laws():
    assert SETTINGS.keys() == COLLECTORS.keys()


@pytest.mark.parametrize(("name", "given"), EACH)
def test_members_come_at_the_end_numbered_from_one(name, given):
    collector = make(name, given)
    numbers = collector.emits(SPAN.steps)
    first = numbers[0]
    assert numbers == tuple(range(first, first + len(numbers)))
    assert COLLECTORS[name].several or len(numbers) == 1


def biases(state):
    """How many tensors of the shape of the bias are anywhere in a state."""
    if isinstance(state, torch.Tensor):
        return int(state.shape == (4,))
    items = state.values() if isinstance(state, dict) else state
    return sum(map(biases, items)) if isinstance(state, dict | list | tuple) else 0


@pytest.mark.parametrize(("name", "given"), EACH)
def test_a_plan_may_count_on_the_copies_that_are_carried(name, given):
    collector = make(name, given)
    show(collector, path(0))
    assert biases(collector.state()) == collector.copies
    assert biases(collector.keepsake()) == collector.copies * collector.keeps


@given(case=st.sampled_from(EACH), stop=st.integers(0, 12), seed=st.integers(0, 99))
def test_a_state_that_was_saved_goes_on_to_the_same_bits(case, stop, seed):
    whole, first, second = (make(*case) for _ in range(3))
    items = list(path(seed))
    show(whole, items)
    show(first, items[:stop])
    second.load_state(unpack(*pack(first.state())))
    show(first, items[stop:])
    show(second, items[stop:])
    live = items[-1][1]
    for expected, one, other in zip(
        members(whole, live), members(first, live), members(second, live), strict=True
    ):
        same(expected, one)
        same(expected, other)


@given(case=st.sampled_from(EACH), dtype=st.sampled_from(["float32", "bfloat16"]))
def test_what_a_member_is_made_of(case, dtype):
    """Types, ties, masks and counters are those of the network; nothing is mutated."""
    collector, items = make(*case), list(path(0, getattr(torch, dtype)))
    before = [{n: t.clone() for n, t in weights.items()} for _, weights in items]
    show(collector, items)
    live = items[-1][1]
    seen = [step for step, _ in items if collector.wants(step)]
    for member in members(collector, live):
        assert list(member) == list(live)
        assert member["head"] is member["embed"]
        assert member["bias"].dtype == live["bias"].dtype
        assert torch.equal(member["mask"], live["mask"])
        assert member["count"] == (seen[-1] if seen else SPAN.steps)
    for (_, weights), kept in zip(items, before, strict=True):
        same(weights, kept)


@pytest.mark.parametrize(("name", "given"), EACH)
def test_equal_models_give_that_model(name, given):
    collector = make(name, given)
    _, weights = next(path(1))
    show(collector, [(step, weights) for step in range(1, SPAN.steps + 1)])
    for member in members(collector, weights):
        same(member, weights)


@given(case=st.sampled_from(EACH), stop=st.integers(1, 12), seed=st.integers(0, 99))
def test_a_cut_gives_what_a_shorter_path_gives(case, stop, seed):
    """After a cut there are no more members, and a resume knows of the cut."""
    collector, items = make(*case), list(path(seed))
    before = {s: collector.emits(s) for s in range(1, stop)}
    show(collector, items[:stop])
    collector.cut(stop)
    again = make(*case)
    again.load_state(unpack(*pack(collector.state())))
    again.cut(stop)
    live = items[stop - 1][1]
    for cut in (collector, again):
        assert {s: cut.emits(s) for s in range(1, stop)} == before
        assert not any(cut.emits(s) for s in range(stop + 1, SPAN.steps + 1))
        numbers = [i for s in range(1, stop + 1) for i in cut.emits(s)]
        assert numbers == list(range(1, len(numbers) + 1))
    for index in collector.emits(stop):
        same(collector.member(index, live), again.member(index, live))
        facts = collector.details(index)
        if "models" in facts and case[0] != "tail":
            seen = [step for step, _ in items[:stop] if make(*case).wants(step)]
            assert facts["models"] == len(seen)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    return start(EVERYTHING, tmp_path_factory.mktemp("run") / "whole").train()


def test_all_at_once_change_no_member_of_the_strategy(everything, tmp_path):
    plain = EVERYTHING.split("collect:")[0]
    alone = start(plain, tmp_path / "run").train()
    found = {member.label: member.digest for member in everything}
    assert len(found) == len(everything) > len(alone)
    assert {m.label: m.digest for m in alone}.items() <= found.items()


def test_an_added_collector_sees_what_the_strategys_own_would(everything):
    """The live weights at an epoch's end, taken by two collectors."""
    found = {member.label: member.digest for member in everything}
    assert found["snapshot-c02-s15"] == found["snapshot-snapshot-c03-s15"]


@pytest.mark.parametrize("stop", [1, 7, 13, 22, 28])
def test_all_at_once_resume_to_the_same_bytes(stop, everything, tmp_path):
    bench = start(EVERYTHING, tmp_path / "run")
    steps = iter(range(stop))
    with pytest.raises(Interrupted):
        bench.train(Watcher(stop=lambda: next(steps, None) is None))
    found = bench.train()
    assert [(m.label, m.digest) for m in found] == [
        (m.label, m.digest) for m in everything
    ]


def test_all_at_once_resume_in_microbatches_of_bfloat16(tmp_path):
    """Every collector that there is, wherever it is stopped."""
    parts = EVERYTHING + "engine: {accumulate: 2, precision: bf16}\n"
    whole = start(parts, tmp_path / "whole")
    assert {spec.name for spec in whole.recipe.collect} == COLLECTORS.keys()
    expected = [(m.label, m.digest) for m in whole.train()]
    bench = start(parts, tmp_path / "run")
    for more in (3, 5, 9, 4):
        steps = iter(range(more))
        with pytest.raises(Interrupted):
            bench.train(Watcher(stop=lambda steps=steps: next(steps, None) is None))
    assert [(m.label, m.digest) for m in bench.train()] == expected


@pytest.mark.parametrize(
    "change", ["engine: {accumulate: 3}", "checkpoint_seconds: 99"]
)
def test_steps_of_members_are_moved_by_nothing(change, everything, tmp_path):
    word = change.split(":", maxsplit=1)[0]
    kept = [x for x in EVERYTHING.splitlines() if not x.startswith(f"{word}:")]
    found = start("\n".join([*kept, change]), tmp_path / "run").train()
    assert [m.label for m in found] == [m.label for m in everything]
