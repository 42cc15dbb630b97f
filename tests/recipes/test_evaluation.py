import json

import pytest
import torch

from cases.runs import RECIPE
from dale.calibrate import fit_temperature
from dale.ensemble import COMBINERS
from dale.errors import Interrupted, LeakageError
from dale.metrics import ece, error, nll
from dale.recipes import (
    PROBE,
    Predictor,
    Workbench,
    calibrate,
    evaluate,
    first_pool,
    fuse,
    judge,
    pool,
    predictors,
    start,
)
from dale.store import Member, Predictions
from dale.train import Watcher


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    bench = start(RECIPE, tmp_path_factory.mktemp("run") / "run")
    bench.train()
    return bench


def member(label, group, how="snapshot", digest=None, parents=()):
    digest = digest or f"{abs(hash(label)):064x}"
    return Member(label, digest, how, group, parents=parents)


def names(members):
    return [(p.name, p.kind, p.labels) for p in predictors(members)]


def test_a_strategy_gives_its_last_member_and_its_pool():
    members = [member(f"s{i}", "snapshot") for i in range(3)]
    assert names(members) == [
        ("last snapshot", "single", ("s2",)),
        ("snapshot ensemble", "ensemble", ("s0", "s1", "s2")),
    ]
    assert names([member("a", "swa", "swa")]) == [("SWA", "average", ("a",))]


def test_repeated_strategies_are_told_apart():
    members = [
        *(member(f"s{i}", "snapshot") for i in range(2)),
        *(member(f"t{i}", "snapshot-2") for i in range(2)),
        *(member(f"u{i}", "short_cycles-3") for i in range(2)),
    ]
    found = [p.name for p in predictors(members)]
    assert found == [
        *("last snapshot", "snapshot ensemble"),
        *("last snapshot 2", "snapshot ensemble 2"),
        *("one short run 3", "short-cycle ensemble 3"),
    ]


def test_one_control_is_judged_once_and_two_controls_twice():
    single, other = member("x", "single", digest="a"), member("y", "single", digest="b")
    last = member("n1", "nocycle", digest="a")
    first = member("n0", "nocycle", digest="c")
    assert [p.name for p in predictors([single, first, last])] == [
        *("single run (control)", "NoCycle snapshots")
    ]
    found = {p.name: p.labels for p in predictors([other, first, last])}
    assert found["single run (control)"] == ("y",)
    assert found["single run (control) of nocycle"] == ("n1",)


def test_fused_members_come_after_and_are_no_part_of_pools():
    members = [
        *(member(f"s{i}", "snapshot") for i in range(2)),
        member("uniform-of-snapshot", "snapshot", "uniform", parents=("s0", "s1")),
        member("mine", "snapshot", "greedy_soup", parents=("s1",)),
        member("n", "nocycle"),
    ]
    extra = Predictor("chosen", "snapshot", "ensemble", ("s0",))
    found = predictors(members, [extra])
    assert [p.name for p in found] == [
        *("last snapshot", "snapshot ensemble", "single run (control)"),
        *("uniform soup of snapshot", "mine", "chosen"),
    ]
    assert found[1].labels == ("s0", "s1")
    assert found[3].note == "mean of 2 members"
    assert len({p.name for p in found}) == len(found)


def predictions(split_digest, seed, N=40, M=3):
    generator = torch.Generator().manual_seed(seed)
    logits_MNC = 4 * torch.randn(M, N, 5, generator=generator)
    targets_N = torch.randint(0, 5, (N,), generator=generator)
    labels = tuple(f"s{m}" for m in range(M))
    return Predictions(logits_MNC, targets_N, labels, "x", split_digest)


@pytest.mark.parametrize("combine", COMBINERS)
@pytest.mark.parametrize("weights", [None, (3.0, 1.0)])
def test_a_row_is_what_its_parts_say(combine, weights):
    fit, score = predictions("a", 0), predictions("b", 1)
    chosen = ("s2", "s0")
    predictor = Predictor("p", "g", "ensemble", chosen, combine, weights)
    row = judge(predictor, fit, score).row
    share = None if weights is None else torch.tensor(weights)
    merged = [
        COMBINERS[combine].function(p.pick(chosen).logits_MNC, share)
        for p in (fit, score)
    ]
    temperature = fit_temperature(merged[0], fit.targets_N)
    after = temperature.apply(merged[1])
    assert row["temperature"] == temperature.value
    assert row["error"] == error(merged[1], score.targets_N)
    assert row["nll"] == nll(merged[1], score.targets_N)
    assert row["nll_calibrated"] == nll(after, score.targets_N)
    assert row["ece_calibrated"] == ece(after, score.targets_N)
    low, high = row["error_interval"]
    assert low <= row["error"] <= high
    assert (row["networks"], row["n"]) == (2, 40)


def test_scoring_where_one_was_fitted_is_refused(bench):
    one, two = predictions("a", 0), predictions("a", 1)
    with pytest.raises(LeakageError):
        judge(Predictor("p", "g", "single", ("s0",)), one, two)
    for fit, score in (("val", "val"), ("test", "test"), (PROBE, "train")):
        with pytest.raises(LeakageError, match=f"fit on '{fit}' and score on '{score}"):
            evaluate(bench, fit=fit, score=score)
        with pytest.raises(LeakageError):
            calibrate(bench, fit=fit, score=score)
    with pytest.raises(LeakageError):
        pool(bench, score="val")
    assert bench.run.read_result("evaluation") is None


def test_temperatures_come_from_the_split_that_is_named(bench):
    found = evaluate(bench, fit=PROBE, score="test")
    fit = bench.predict(PROBE, bench.members())
    by_name = {p.name: p for p in predictors(bench.members())}
    for row in found["rows"]:
        logits_NC = by_name[row["name"]].logits(fit)
        expected = fit_temperature(logits_NC, fit.targets_N).value
        assert row["temperature"] == expected
    assert set(found["inputs"]) == {"recipe", PROBE, "test"}


def test_an_evaluation_is_kept_and_is_the_same_again(bench):
    found = evaluate(bench)
    stored = bench.run.read_result("evaluation")
    assert stored["rows"] == json.loads(json.dumps(found["rows"]))
    assert evaluate(Workbench(bench.run)) == found
    (first, second) = found["disagreement"]
    assert (first["group"], second["group"]) == ("nocycle", "snapshot")
    matrix = torch.tensor(second["matrix"])
    assert torch.equal(matrix, matrix.T)
    assert matrix.diagonal().eq(0).all()
    assert found["verdict"]["figures"]["val_error"] == pytest.approx(
        bench.run.population.find("nocycle-c03-s18").scores["val_error"]
    )


def test_a_run_that_was_stopped_half_way_can_be_evaluated(tmp_path):
    bench = start(RECIPE, tmp_path / "run")
    steps = iter(range(18 + 5))
    with pytest.raises(Interrupted):
        bench.train(Watcher(stop=lambda: next(steps, None) is None))
    found = evaluate(Workbench(bench.run))
    assert [row["name"] for row in found["rows"]] == [
        *("single run (control)", "NoCycle snapshots", "last snapshot")
    ]
    bench.train()
    assert len(evaluate(bench)["rows"]) == 5


def test_pools_default_to_the_snapshots(bench):
    assert first_pool(bench) == "snapshot"
    row = pool(bench, name="a pool")
    assert row["labels"] == [m.label for m in bench.members("snapshot")]
    assert "a pool" in [r["name"] for r in evaluate(bench)["rows"]]


def test_soups_are_chosen_on_validation_examples_alone(bench, monkeypatch):
    seen = []
    split = Workbench.split

    def watched(self, name):
        seen.append(name)
        return split(self, name)

    monkeypatch.setattr(Workbench, "split", watched)
    made = fuse(bench, "greedy_soup")
    assert set(seen) == {"val"}
    best = max(d["score_with"] for d in made.details["decisions"] if d["kept"])
    assert made.scores["val_error"] == pytest.approx(1 - best)


def test_the_probe_is_a_fixed_part_of_the_training_examples(bench):
    probe, train = bench.split(PROBE), bench.data.splits["train"]
    assert len(probe) == len(bench.split("val")) == 200
    assert Workbench(bench.run).split(PROBE).digest() == probe.digest()
    inputs = train.batch(torch.arange(len(train)))
    found = probe.batch(torch.arange(len(probe)))
    rows = {row.numpy().tobytes() for row in inputs}
    assert all(row.numpy().tobytes() in rows for row in found)


def test_a_probe_is_never_larger_than_what_there_is(tmp_path):
    text = RECIPE.replace("val: 200, test: 200", "val: 900, test: 500")
    bench = start(text.replace("batch: 256", "batch: 32"), tmp_path / "run")
    train = bench.data.splits["train"]
    assert len(train) == 397
    assert len(bench.split(PROBE)) == 397
    assert bench.split(PROBE).targets_N.bincount().equal(train.targets_N.bincount())


def test_what_was_chosen_on_the_scored_examples_is_marked(bench):
    fit = bench.predict("test", bench.members())
    score = bench.predict("val", bench.members())
    labels = fit.labels[:1]
    for chosen_on, marked in (("val", True), ("test", False), (None, False)):
        predictor = Predictor("p", "g", "soup", labels, chosen_on=chosen_on)
        note = judge(predictor, fit, score).row["note"]
        assert note.endswith("optimistic") == marked
