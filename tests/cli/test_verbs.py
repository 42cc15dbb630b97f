"""Every verb on a small run: what it says, what it writes, and JSON for machines."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cases.runs import RECIPE
from dale import __version__
from dale.calibrate import CALIBRATORS
from dale.cli import app, verbs
from dale.ensemble import COMBINERS
from dale.merge import METHODS
from dale.recipes import SCHEMA_NAME
from dale.train import STRATEGIES

MEASURED = {"val_error", "val_nll", "val_ece", "val_logit_norm"}
LABELS = [
    *("nocycle-c01-s6", "nocycle-c02-s12", "nocycle-c03-s18"),
    *("snapshot-c01-s4", "snapshot-c02-s9", "snapshot-c03-s13", "snapshot-c04-s18"),
    "swa-c01-s18",
]
ROWS = [
    *("single run (control)", "NoCycle snapshots", "last snapshot"),
    *("snapshot ensemble", "SWA"),
]
VERBS = [name for name in vars(verbs) if not name.startswith("_")]


@pytest.fixture(autouse=True)
def quick_pilot(monkeypatch):
    monkeypatch.setattr("dale.recipes.pilot._SECONDS", 0.0)


@pytest.fixture
def ask(dale):
    """Run a command with ``--json``: one document on standard output, else nothing."""

    def call(*arguments):
        said = dale(*arguments, "--json")
        assert (said.code, said.err) == (0, "")
        return json.loads(said.out)

    return call


def fine(said):
    assert said.code == 0, said.err
    return said


def test_version(dale):
    assert fine(dale("--version")).out == f"{__version__}\n"


def test_help_of_all(dale):
    said = fine(dale("--help"))
    assert all(re.search(rf"^  {verb}\s", said.out, re.M) for verb in VERBS)
    assert len(app.registered_commands) == len(VERBS) == 13


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb(verb, dale):
    said = fine(dale(verb, "--help"))
    assert said.out.startswith(f"Usage: dale {verb}")
    assert "--json" in said.out
    assert said.err == ""


def test_help_loads_no_pytorch():
    check = "import sys, dale.cli.verbs; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_no_arguments_show_the_help(dale):
    said = dale()
    assert said.code == 2
    assert "Usage: dale" in said.err


def test_plan(dale, ask, contents):
    Path("recipe.yaml").write_text(RECIPE)
    before = contents(".")
    said = fine(dale("plan", "recipe.yaml"))
    assert "6 steps an epoch · 1397 train, 200 val, 200 test examples" in said.out
    assert re.search(r"snapshot +18 +4, 9, 13, 18 ", said.out)
    assert re.search(r"about \d+ s, with scoring .*: \d+\.\d ms an update", said.out)
    assert re.search(
        r"MB in memory for an update: .* weights, .* activations", said.out
    )
    found = ask("plan", "recipe.yaml")
    assert [t["name"] for t in found["trajectories"]] == ["nocycle", "snapshot", "swa"]
    assert found["trajectories"][1]["members"] == [4, 9, 13, 18]
    assert found["examples"] == {"train": 1397, "val": 200, "test": 200}
    assert contents(".") == before


def test_plan_of_every_strategy_in_given_minutes(dale, ask):
    Path("recipe.yaml").write_text(RECIPE)
    options = "--minutes", "1", "--all", "--draw", "plans/plan.html"
    said = fine(dale("plan", "recipe.yaml", *options))
    epochs = int(re.search(r"in 1 min: set epochs to (\d+)", said.out)[1])
    assert epochs > 3
    for name in STRATEGIES:
        assert re.search(rf"^ {name} (\*)? +\d+ ", said.out, re.M)
    page = Path("plans/plan.html").read_text(encoding="utf-8")
    assert f"{epochs} epochs" in page
    for name in STRATEGIES:
        assert re.search(rf'<th scope="row">{name}( \*)?</th>', page)
    found = ask("plan", "recipe.yaml", "--all")
    steps = {price["strategy"]: price["steps"] for price in found["prices"]}
    assert steps.pop("independent") == 5 * 18
    assert set(steps.values()) <= {18, 0}  # fge and others may not fit into 3 epochs
    own = {price["strategy"] for price in found["prices"] if price["own"]}
    assert own == {"nocycle", "snapshot", "swa"}
    Path("recipe.yaml").write_text(RECIPE.replace(", dropout: 0.2", ""))
    said = fine(dale("plan", "recipe.yaml", "--all"))
    assert re.search(r"^ pi +– +– +– +– *$", said.out, re.M)
    assert "\npi does not work here: both predictions of step" in said.out


def test_range(dale, ask, contents):
    Path("recipe.yaml").write_text(RECIPE)
    before = contents(".")
    said = fine(dale("range", "recipe.yaml", "--steps", "40"))
    assert re.search(r"suggested peak \d\S*: a tenth of \d", said.out)
    assert contents(".") == before
    found = ask("range", "recipe.yaml", "--steps", "40", "--draw", "range.html")
    assert found["suggested"] == found["lowest"] / 10
    assert "Range test" in Path("range.html").read_text(encoding="utf-8")


def test_diagnose(dale, ask):
    Path("recipe.yaml").write_text(RECIPE)
    fine(dale("train", "recipe.yaml", "run", "--quiet"))
    given = ("diagnose", "run", "--examples", "64", "--draws", "4", "--steps", "4")
    said = fine(dale(*given))
    assert re.search(r"noise scale \d", said.out)
    assert re.search(r"top Hessian eigenvalue \d", said.out)
    found = ask(*given, "--batches", "2,8", "--draw", "page.html")
    assert found["noise"]["batches"] == [2, 8]
    assert "Gradients and curvature" in Path("page.html").read_text(encoding="utf-8")
    fine(dale("report", "run"))
    for wrong in ("x", "2,", "64"):
        assert dale(*given, "--batches", wrong).code == 2
    assert "group 'independent'" in dale("diagnose", "run", "--ergodicity").err


def test_ergodicity(dale, ask):
    recipe = re.sub(
        r"strategies:.*", "strategies: [snapshot, bagging]", RECIPE, flags=re.S
    )
    recipe = recipe.replace("bagging", "{name: independent, members: 2}")
    Path("recipe.yaml").write_text(recipe)
    fine(dale("train", "recipe.yaml", "run", "--quiet"))
    said = fine(dale("diagnose", "run", "--ergodicity", "--draw", "page.html"))
    assert re.search(r"snapshot +2 +-?\d+ \(", said.out)
    assert "Time and ensemble" in Path("page.html").read_text(encoding="utf-8")
    found = ask("diagnose", "run", "--ergodicity")
    assert [entry["group"] for entry in found["groups"]] == ["snapshot"]


def test_sweep(dale, ask):
    recipe = re.sub(r"strategies:.*", "strategies: [single]", RECIPE, flags=re.S)
    Path("recipe.yaml").write_text(recipe + "\nengine: {stack: always}\n")
    given = ("diagnose", "recipe.yaml", "--sweep", "0.05,0.2", "--cycles", "2")
    said = fine(dale(*given, "--seeds", "2", "--draw", "page.html"))
    assert re.search(r"0.2 +2 +1.5 +\d+\.\d\d ± \d", said.out)
    assert "seed-4: snapshot..snapshot-2: 2 networks trained at once" in said.err
    page = Path("page.html").read_text(encoding="utf-8")
    assert "Rate, cycle length and diversity" in page
    found = ask(*given, "--seeds", "2")
    assert [cell["peak"] for cell in found["cells"]] == [0.05, 0.2]
    for wrong in ("x", "0.1,", "0", "0.05,0.05"):
        assert dale(*given[:3], wrong).code == 2
    assert "--cycles is 'two'" in dale(*given[:4], "--cycles", "two").err


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf", "1e-9"])
def test_plan_for_no_time_is_refused(dale, minutes):
    Path("recipe.yaml").write_text(RECIPE)
    said = dale("plan", "recipe.yaml", f"--minutes={minutes}")
    assert said.code == 2
    assert re.match(r"dale: minutes: .*, got ", said.err)
    assert len(said.err.splitlines()) == 1


def test_train(dale, contents):
    Path("recipe.yaml").write_text(RECIPE)
    said = fine(dale("train", "recipe.yaml"))
    assert said.err.splitlines()[-1] == "next: dale evaluate runs/recipe"
    assert [line.split()[1] for line in said.err.splitlines()[:-1]] == LABELS
    assert said.out.startswith("8 members")
    assert all(label in said.out for label in LABELS)
    assert json.loads(Path("runs/recipe", SCHEMA_NAME).read_text())["title"]
    before = contents("runs")
    for again in (["recipe.yaml", "runs/recipe"], ["runs/recipe"], ["recipe.yaml"]):
        assert fine(dale("train", *again, "--resume")).out == said.out
        assert contents("runs") == before


def test_train_for_machines(ask, dale, trained):
    Path("recipe.yaml").write_text(RECIPE)
    found = ask("train", "recipe.yaml", "new")
    assert found["run"] == "new"
    assert [m["label"] for m in found["members"]] == LABELS
    whole = {m["label"]: m for m in ask("show", trained)["members"]}
    for member in found["members"]:
        assert member["digest"] == whole[member["label"]]["digest"]
        assert set(member["scores"]) == MEASURED


def test_quiet_training_only_says_what_comes_next(dale):
    Path("recipe.yaml").write_text(RECIPE)
    said = fine(dale("train", "recipe.yaml", "a b", "--quiet"))
    assert said.err == "next: dale evaluate 'a b'\n"


def test_resume_starts_what_was_never_started(ask):
    Path("recipe.yaml").write_text(RECIPE)
    found = ask("train", "recipe.yaml", "new", "--resume")
    assert [m["label"] for m in found["members"]] == LABELS


def test_predict(run, dale, ask, contents):
    said = fine(dale("predict", "run", "--split", "val"))
    assert said.out == "8 members × val: 8 computed, 0 were there already\n"
    assert said.err.splitlines() == [f"ran {label}" for label in LABELS]
    before = contents("run")
    found = ask("predict", "run", "--split", "val")
    assert found == {"run": "run", "splits": ["val"], "ran": []}
    assert contents("run") == before
    assert ask("predict", "run")["ran"] == LABELS
    assert fine(dale("predict", "run")).out.endswith(
        "0 computed, 16 were there already\n"
    )


def test_evaluate(run, dale, ask):
    found = ask("evaluate", "run")
    assert [row["name"] for row in found["rows"]] == ROWS
    assert [row["networks"] for row in found["rows"]] == [1, 3, 1, 4, 1]
    assert found["verdict"]["regime"] in ("underfits", "balanced", "overfits")
    assert [d["group"] for d in found["disagreement"]] == ["nocycle", "snapshot"]
    said = fine(dale("evaluate", "run"))
    assert "test, 200 examples; T fitted on val" in said.out
    assert all(row in said.out for row in ROWS)
    assert found["verdict"]["headline"] in said.out
    assert said.err == "next: dale report run\n"
    swapped = ask("evaluate", "run", "--fit", "test", "--split", "val")
    assert (swapped["split"], swapped["fitted_on"]) == ("val", "test")


@pytest.mark.parametrize("combine", COMBINERS)
@pytest.mark.parametrize("choose", ["all", "greedy"])
def test_ensemble(combine, choose, run, dale, ask):
    options = ["--combine", combine, "--choose", choose]
    row = ask("ensemble", "run", *options)
    assert row["kind"] == "ensemble"
    assert set(row["labels"]) <= set(LABELS[3:7])
    assert row["name"] == f"{choose} {combine.replace('_', ' ')} of snapshot"
    assert 0 <= row["error"] <= 1
    said = fine(dale("ensemble", "run", *options))
    assert f"members: {', '.join(row['labels'])}" in said.out
    assert ("chosen on val out of 4 members" in said.out) == (choose == "greedy")


def test_pools_are_remembered_once_each(run, ask):
    for name in ("mine", "other", "mine"):
        ask("ensemble", "run", "--group", "nocycle", "--name", name)
    members = ["--member", LABELS[0], "--member", LABELS[4]]
    ask("ensemble", "run", *members, "--weight", 3, "--weight", 1, "--name", "mixed")
    names = [row["name"] for row in ask("evaluate", "run")["rows"]]
    assert names == [*ROWS, "other", "mine", "mixed"]
    (record,) = ask("calibrate", "run", "--name", "mixed")
    assert record["name"] == "mixed"


@pytest.mark.parametrize("method", CALIBRATORS)
def test_calibrate(method, run, dale, ask):
    few = ["--name", "snapshot ensemble", "--name", LABELS[0]]
    if CALIBRATORS[method].binary_only:
        said = dale("calibrate", "run", "--method", method, *few)
        assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
        return
    records = ask("calibrate", "run", "--method", method, *few)
    assert [r["name"] for r in records] == ["snapshot ensemble", LABELS[0]]
    assert {r["method"] for r in records} == {method}
    said = fine(dale("calibrate", "run", "--method", method, *few))
    assert "fitted on val, scored on test" in said.out


def test_cross_fitting_may_use_one_split(run, dale, ask):
    options = ["--fit", "test", "--split", "test", "--cross-fit"]
    (record,) = ask("calibrate", "run", *options, "--name", "SWA")
    assert record["nll_calibrated"] < record["nll"]
    said = fine(dale("calibrate", "run", *options))
    assert "fitted on folds of test" in said.out


@pytest.mark.parametrize("method", ["uniform", "weighted", "greedy_soup"])
def test_merge(method, run, dale, ask, contents):
    assert method in METHODS
    given = ["--weight", 1, "--weight", 2, "--weight", 3, "--weight", 4]
    options = ["--method", method, *(given if method == "weighted" else [])]
    made = ask("merge", "run", *options)
    assert made["label"] == f"{method}-of-snapshot"
    assert set(made["parents"]) <= set(LABELS[3:7])
    found = made["soundness"]
    assert Path(found["page"]).parent == run / "report"
    kept = (run / "members", run / "population.json")
    before = [contents(kept[0]), kept[1].read_bytes()]
    said = fine(dale("merge", "run", *options))
    mean, verdict = said.out.splitlines()[-2:]
    assert mean.startswith(f"{method}-of-snapshot: mean of ")
    assert verdict.startswith(f"{method}-of-snapshot: {found['verdict']}. ")
    assert [contents(kept[0]), kept[1].read_bytes()] == before
    assert [m["label"] for m in ask("show", "run")["members"]] == [
        *LABELS,
        made["label"],
    ]


def test_merge_of_members_by_name(run, dale, ask):
    few = ["--member", LABELS[0], "--member", LABELS[1], "--name", "two"]
    made = ask("merge", "run", "--method", "uniform", *few)
    assert (made["label"], made["parents"]) == ("two", LABELS[:2])
    rows = {row["name"]: row for row in ask("evaluate", "run")["rows"]}
    assert rows["two"]["kind"] == "soup"
    said = dale("merge", "run", "--method", "uniform", "--name", "two")
    assert said.code == 2
    assert "'two' exists with other weights; choose another label" in said.err


def test_a_merge_is_checked_on_validation_examples_unless_told_not_to(run, dale, ask):
    options = ["--method", "task_arithmetic", "--base", LABELS[0]]
    made = ask("merge", "run", *options)
    numbers = Path(made["soundness"]["page"]).with_suffix(".json")
    found = json.loads(numbers.read_text())["soundness"]
    assert found["models"] == made["parents"][1:]
    assert found["base"] == LABELS[0]
    assert len(found["barriers"]) == len(found["models"])
    assert "validation examples" in found["measure"]
    assert "soundness" not in ask("merge", "run", *options, "--no-check")


def test_a_soup_says_what_it_climbed_on(run, dale):
    said = fine(dale("merge", "run", "--score", "nll"))
    assert said.out.startswith("nll on validation examples")
    assert "the best alone" in said.out


def test_report(run, dale, ask):
    said = fine(dale("report", "run"))
    assert said.out == "report: run/report/index.html\n"
    fine(dale("evaluate", "run"))
    found = ask("report", "run", "--output", "elsewhere")
    assert found["report"] == "elsewhere/index.html"
    page = Path(found["report"]).read_text("utf-8")
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert all(name in page for name in ROWS)
    document = json.loads(Path(found["document"]).read_text("utf-8"))
    assert isinstance(document, dict)


def test_show(run, dale, ask):
    found = ask("show", "run")
    assert [m["label"] for m in found["members"]] == LABELS
    assert "9 epochs in the log" in fine(dale("show", "run")).out
    member = ask("show", "run", LABELS[0])
    assert member == ask("show", "run", member["digest"][:8])
    assert {t["name"] for t in member["tensors"]} >= {"1.weight"}
    said = fine(dale("show", "run", LABELS[0]))
    assert said.out.startswith(f"{LABELS[0]} · snapshot · {member['digest'][:16]}")
    schema = json.loads(fine(dale("show", "--schema")).out)
    assert schema["$schema"].endswith("2020-12/schema")


def test_verify(run, dale, ask):
    said = fine(dale("verify", "run"))
    assert re.fullmatch(r"\d+ files read: whole\n", said.out)
    fine(dale("evaluate", "run"))
    found = ask("verify", "run")
    assert found["problems"] == found["notes"] == []
    assert found["files"] > int(said.out.split()[0])
    shutil.copy(
        next(run.glob("members/*")), run / "members" / f"{'0' * 16}.safetensors"
    )
    Path(run, "members", ".x.partial").write_text("half")
    assert len(ask("verify", "run")["notes"]) == 2
    damaged = [next(run.glob("state/*")), next(run.glob("predictions/*/*"))]
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-9])
    said = dale("verify", "run")
    assert said.code == 1
    assert said.out.endswith("2 problems\n")
    assert all(str(path) in said.err for path in damaged)
    assert dale("verify", "run", "--json").code == 1


def test_demo(dale, ask, monkeypatch, contents):
    short = (
        RECIPE.replace("epochs: 3", "epochs: 1")
        .replace("batch: 256", "batch: 64")
        .replace("every: 5", "every: 2")
    )

    class Files:
        def joinpath(self, name):
            Path(name).write_text(short)
            return Path(name)

    monkeypatch.setattr("dale.cli.demo.files", lambda package: Files())
    said = fine(dale("demo", "runs/d"))
    assert said.err.startswith("recipe: runs/d/recipe.yaml\n")
    for name in (*ROWS, "uniform soup of snapshot", "greedy soup of snapshot"):
        assert name in said.out
    assert said.out.splitlines()[-2] == "recipe: runs/d/recipe.yaml"
    page = Path("runs/d/report/index.html").resolve()
    assert said.out.splitlines()[-1] == f"report: {page}"
    before = contents("runs/d/members")
    found = ask("demo", "runs/d")
    assert Path(found["report"]).resolve() == page
    assert contents("runs/d/members") == before


def test_json_has_null_where_a_number_is_not_finite(capsys):
    from dale.cli.common import show_json

    show_json({"a": [float("nan"), float("inf"), 1.5]})
    assert json.loads(capsys.readouterr().out) == {"a": [None, None, 1.5]}


def test_too_little_memory_is_one_line(dale):
    asked = "strategies: [{name: independent, members: 1000000000000}]"
    Path("r.yaml").write_text(f"{{data: digits, model: mlp, epochs: 1, {asked}}}")
    said = dale("train", "r.yaml", "run")
    assert said.code == 1
    assert said.err == "dale: there is not enough memory for what was asked\n"
    assert not Path("run").exists()
