"""A recipe on folds: trained, judged and predicted on what was held out."""

from statistics import fmean, stdev

import pytest
import torch

import dale
from dale.data import leave_out
from dale.errors import CorruptError, DataError, InputError, Interrupted, RecipeError
from dale.metrics import error
from dale.predict import infer
from dale.recipes import Workbench, start
from dale.train import Guard, Watcher, folds_of
from dale.train.reading import parse_recipe
from dale.weights import load_into

RECIPE = """
seed: 3
data: {source: digits, val: 200, test: 1200}
model: {name: mlp, hidden: [8]}
epochs: 3
batch: 64
folds: 3
checkpoint_seconds: 0
collect: [ema]
strategies: [{name: snapshot, cycles: 2}, {name: swa, start: 50%}]
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    bench = start(RECIPE, tmp_path_factory.mktemp("folds") / "run")
    bench.train()
    return bench


def test_members_are_named_by_fold(bench):
    labels = [m.label for m in bench.run.population]
    assert len(labels) == 3 * (2 + 1) + 3 * (1 + 1)
    assert labels[:4] == [
        *("snapshot-f1-c01-s7", "snapshot-f1-c02-s15", "snapshot-f1-ema-c01-s15"),
        "snapshot-f2-c01-s7",
    ]
    assert {m.group for m in bench.run.population} == {
        *("snapshot", "snapshot-ema", "swa", "swa-ema")
    }
    folds = {m.label.split("-")[1]: m.details["fold"] for m in bench.run.population}
    assert folds == {"f1": 1, "f2": 2, "f3": 3}
    assert len({m.seed for m in bench.run.population}) == 1


def test_a_fold_trains_as_a_run_on_the_rest_would(bench, tmp_path):
    """The members are those of a plain run on data that lack the fold."""
    plain = RECIPE.replace("folds: 3\n", "")
    fold_N = folds_of(bench.recipe, bench.data)
    for fold in (1, 3):
        other = start(plain, tmp_path / str(fold))
        other.data, _ = leave_out(bench.data, fold_N, fold - 1)
        expected = [m.digest for m in other.train()]
        mine = [m for m in bench.run.population if m.details["fold"] == fold]
        assert [m.digest for m in mine] == expected


def test_rows_are_of_the_folds_that_were_held_out(bench):
    found = dale.cross_validate(bench)
    names = [row["name"] for row in found["rows"]]
    assert names[:2] == ["last snapshot", "snapshot ensemble"]
    assert {row["group"] for row in found["rows"]} == {
        m.group for m in bench.run.population
    }
    row = found["rows"][0]
    assert row["networks"] == 1
    values = []
    for fold in (1, 2, 3):
        fold_N = folds_of(bench.recipe, bench.data)
        _, held = leave_out(bench.data, fold_N, fold - 1)
        member = bench.run.population.find(f"snapshot-f{fold}-c02-s15")
        load_into(bench.model, bench.run.population.weights(member))
        values.append(error(infer(bench.model, held), held.targets_N))
        assert row["by_fold"][fold - 1]["labels"] == [member.label]
    assert [one["error"] for one in row["by_fold"]] == pytest.approx(values)
    assert row["error"] == pytest.approx(fmean(values))
    assert row["error_sd"] == pytest.approx(stdev(values))
    assert sum(one["n"] for one in row["by_fold"]) == 397
    assert bench.run.read_result("cross_validation")["rows"] == found["rows"]


def test_every_training_example_is_predicted_by_those_who_have_not_seen_it(bench):
    found = dale.out_of_fold(bench)
    assert found.labels == ("snapshot-c01", "snapshot-c02")
    assert found.split == "train"
    assert found.split_digest == bench.data.splits["train"].digest()
    assert torch.equal(found.targets_N, bench.data.splits["train"].targets_N)
    fold_N, train = folds_of(bench.recipe, bench.data), bench.data.splits["train"]
    for row in (0, 200, 396):
        fold = int(fold_N[row]) + 1
        member = bench.run.population.find(f"snapshot-f{fold}-c01-s7")
        load_into(bench.model, bench.run.population.weights(member))
        expected = infer(bench.model, train.subset(torch.tensor([row])))
        torch.testing.assert_close(found.logits_MNC[0, row], expected[0])
    assert dale.out_of_fold(bench, "swa-ema").labels == ("swa-ema-c01",)
    run_again = []
    dale.out_of_fold(bench, "snapshot", run_again.append)
    assert run_again == []


def test_evaluate_says_what_the_single_networks_lack(bench):
    rows = {row["name"]: row for row in dale.evaluate(bench)["rows"]}
    assert rows["last snapshot"]["note"] == "trained without fold 3"
    assert rows["snapshot ensemble"]["networks"] == 6


def test_what_shows_the_gap_was_trained_on(bench):
    fold_N = folds_of(bench.recipe, bench.data)
    seen, _ = leave_out(bench.data, fold_N, 2)
    rows = {tuple(x.flatten().tolist()) for x in inputs(seen.splits["train"])}
    probe = bench.split("train-probe")
    assert len(probe) == 200
    assert all(tuple(x.flatten().tolist()) in rows for x in inputs(probe))


def inputs(split):
    return split.batch(torch.arange(len(split)))


def test_stopped_in_the_midst_of_a_fold_and_resumed(bench, tmp_path):
    cut, steps = start(RECIPE, tmp_path / "run"), iter(range(21))
    with pytest.raises(Interrupted, match="stopped snapshot-f2 after step 7 of 15"):
        cut.train(Watcher(stop=lambda: next(steps, None) is None))
    with pytest.raises(InputError, match=r"fold 2 has 1 members of 3.* train --resume"):
        dale.cross_validate(cut)
    found = [m.digest for m in Workbench(cut.run).train()]
    assert found == [m.digest for m in bench.run.population]
    assert cut.run.log() == bench.run.log()


def test_a_run_without_folds_says_so(tmp_path):
    plain = start(RECIPE.replace("folds: 3\n", ""), tmp_path / "run")
    plain.train()
    for call in (dale.cross_validate, dale.out_of_fold):
        with pytest.raises(InputError, match="has no folds: its recipe"):
            call(plain)


def test_what_does_not_fit_is_one_line(tmp_path):
    with pytest.raises(RecipeError, match="folds"):
        parse_recipe(RECIPE.replace("folds: 3", "folds: 1"))
    with pytest.raises(RecipeError, match="folds: 500 of 397 training examples"):
        start(RECIPE.replace("folds: 3", "folds: 500"), tmp_path / "run")
    lonely = RECIPE.replace("test: 1200", "test: 1586")
    with pytest.raises(DataError, match="would be missing where fold"):
        start(lonely, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_damaged_result_says_what_to_run(bench):
    dale.cross_validate(bench)
    path = bench.run.folder / "results" / "cross_validation.json"
    path.write_text(path.read_text().replace("0", "1", 1))
    with pytest.raises(CorruptError, match="delete this file and run: dale evaluate"):
        bench.run.read_result("cross_validation")
    path.unlink()


def test_a_guard_may_stop_folds_at_different_steps(tmp_path, monkeypatch):
    """Each fold is judged with what it has; only cycles of all folds are stacked."""
    note, epochs = Guard.note, {}

    def stop_after(guard, *facts):
        """The first fold after two epochs, the others not at all."""
        epochs.setdefault(guard, []).append(note(guard, *facts))
        return list(epochs) == [guard] and len(epochs[guard]) == 2

    monkeypatch.setattr(Guard, "note", stop_after)
    guarded = RECIPE.replace("cycles: 2", "cycles: 3").replace(", {name: swa", "]#")
    bench = start(f"{guarded}guard: {{of: ema, patience: 9}}\n", tmp_path / "run")
    bench.train()
    everyone = bench.members("snapshot")
    counts = [sum(m.details["fold"] == fold for m in everyone) for fold in (1, 2, 3)]
    assert counts == [2, 3, 3]
    rows = {row["name"]: row for row in dale.cross_validate(bench)["rows"]}
    assert rows["last snapshot"]["networks"] == 1
    assert rows["snapshot ensemble"]["networks"] == round(8 / 3, 1)
    by_fold = rows["snapshot ensemble"]["by_fold"]
    assert [len(row["labels"]) for row in by_fold] == counts
    assert dale.out_of_fold(bench).labels == ("snapshot-c01", "snapshot-c02")
