"""``dale merge CONFIG OUT``, as a user calls it."""

import json
from pathlib import Path

import pytest
import torch

from dale.errors import DiskError
from dale.weights import load, save

TEXT = (
    "merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: a}, {model: b}]\n"
)


@pytest.fixture(autouse=True)
def models():
    for name, value in (("a", 1.0), ("b", 3.0)):
        save(f"{name}/model.safetensors", {"w": torch.full((4,), value)}, {})
    Path("c.yml").write_text(TEXT)


def test_merges_and_refuses_to_write_over(dale):
    said = dale("merge", "c.yml", "out")
    assert (said.code, said.err) == (0, "")
    assert "out: 1 file" in said.out
    assert load("out")[0]["w"].tolist() == [2.0] * 4
    Path("c.yml").write_text(TEXT + "dtype: float16\n")
    said = dale("merge", "c.yml", "out")
    assert said.code == 1
    assert said.err == "dale: c.yml: out must be a new or an empty folder\n"


def test_a_plan_writes_nothing(dale):
    said = dale("merge", "c.yml", "--plan")
    assert said.code == 0
    assert "c.yml: no problems" in said.out
    assert "to read" in said.out
    assert sorted(path.name for path in Path().iterdir()) == ["a", "b", "c.yml"]


def test_problems_are_lines_and_the_code_is_1(dale):
    Path("c.yml").write_text(TEXT.replace("b}", "gone}") + "dtype: bf16\n")
    for more in ([], ["--plan"]):
        said = dale("merge", "c.yml", "out", *more)
        assert said.code == 1
        assert len(said.err.splitlines()) == 2
        assert "gone: no such file or folder" in said.err
    said = dale("merge", "c.yml", "--plan", "--json")
    assert said.code == 1
    assert len(json.loads(said.out)["problems"]) == 2


def test_shards_and_json(dale):
    weights = {f"w{i}": torch.full((100,), float(i)) for i in range(5)}
    for name in ("a", "b"):
        save(f"{name}/model.safetensors", weights, {})
    said = dale("merge", "c.yml", "out", "--shard-size", "1k", "--json")
    assert len(json.loads(said.out)["files"]) == 3
    assert Path("out/model.safetensors.index.json").is_file()
    merged = load("out")[0]
    assert all(torch.equal(merged[name], tensor) for name, tensor in weights.items())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["c.yml"], "where the result goes is missing"),
        (["c.yml", "out", "--shard-size", "much"], "expected a size such as 5GB"),
        (["c.yml", "out", "--group", "snapshot"], "is for the members of a run"),
        (["a", "out"], "is for configurations"),
        (["a", "--plan"], "is for configurations"),
    ],
)
def test_what_does_not_belong_together_is_refused(arguments, words, dale):
    said = dale("merge", *arguments)
    assert said.code == 2
    assert words in said.err
    assert not Path("out").exists()


def test_the_recipe_of_a_run_is_told_from_a_configuration(dale):
    Path("recipe.yaml").write_text("data: digits\nstrategies: [snapshot]\n")
    said = dale("merge", "recipe.yaml", "--plan")
    assert said.code == 1
    assert "give the folder of the run" in said.err


def test_a_merge_ends_with_a_page_and_a_verdict(dale):
    said = dale("merge", "c.yml", "out")
    assert said.out.splitlines()[-1] == (
        "out: sound. Nothing speaks against this merge. out/soundness.html"
    )
    page = Path("out/soundness.html").read_text()
    assert "merge_method: linear" in page
    assert "http://" not in page.split("<script>")[0]
    numbers = json.loads(Path("out/soundness.json").read_text())
    assert numbers["soundness"]["models"] == ["a", "b"]
    # the page is no part of the result
    assert dale("verify", "out").out == "3 files read: whole\n"
    Path("out/soundness.html").unlink()
    assert dale("verify", "out").code == 0
    assert load("out")[0]["w"].tolist() == [2.0] * 4


def test_a_page_that_is_missing_is_made_by_the_same_merge(dale):
    plain = dale("merge", "c.yml", "out", "--no-check")
    before = {p: p.read_bytes() for p in Path("out").iterdir()}
    again = dale("merge", "c.yml", "out", "--no-check")
    assert again.err == "dale: c.yml: out must be a new or an empty folder\n"
    said = dale("merge", "c.yml", "out", "--plan")
    line = "note: out: this very merge is there already and is left as it is\n"
    assert (said.code, said.err) == (0, line)
    said = dale("merge", "c.yml", "out")
    assert (said.code, said.err) == (0, line)
    assert said.out.startswith(plain.out)
    assert said.out.endswith("Nothing speaks against this merge. out/soundness.html\n")
    pages = {Path("out/soundness.html"), Path("out/soundness.json")}
    assert {
        p: p.read_bytes() for p in Path("out").iterdir() if p not in pages
    } == before
    assert pages <= {*Path("out").iterdir()}


@pytest.mark.parametrize("change", ["config", "seed", "input", "damage", "link"])
def test_another_merge_is_not_taken_for_the_same(change, dale):
    dale("merge", "c.yml", "out")
    more = ["--seed", "1"] if change == "seed" else []
    if change == "config":
        Path("c.yml").write_text(Path("c.yml").read_text() + "# another\n")
    elif change == "input":
        save("b/model.safetensors", {"w": torch.full((4,), 5.0)}, {})
    elif change == "damage":
        Path("out/model.safetensors").unlink()
    elif change == "link":
        Path("out").rename("real")
        Path("out").symlink_to("real")
    said = dale("merge", "c.yml", "out", *more)
    assert said.code == 1
    assert len(said.err.splitlines()) == 1
    assert "c.yml: out " in said.err


def test_weights_without_a_manifest_are_told_from_a_run(dale):
    dale("merge", "c.yml", "out")
    Path("out/dale_merge.json").unlink()
    said = dale("verify", "out")
    assert said.code == 2
    assert said.err == (
        "dale: out holds model.safetensors but no dale_merge.json, in which dale merge "
        "says what it wrote: there is nothing to hold it against\n"
    )
    Path("empty").mkdir()
    assert "not a run folder" in dale("verify", "empty").err


def test_no_check_leaves_no_page(dale):
    said = dale("merge", "c.yml", "out", "--no-check")
    assert len(said.out.splitlines()) == 1
    assert not [*Path("out").glob("soundness*")]
    said = dale("merge", "c.yml", "other", "--no-check", "--json")
    assert "soundness" not in json.loads(said.out)


def test_an_unsound_merge_is_a_warning_and_no_failure(dale):
    save("b/model.safetensors", {"w": torch.tensor([1.0, float("nan"), 1, 1])}, {})
    said = dale("merge", "c.yml", "out")
    assert said.code == 0
    assert "out: broken. This merge is broken. out/soundness.html" in said.out
    assert said.err.splitlines() == [
        "warning: out: 1 element is NaN or infinite, in 'w'",
        "warning: out: b has values that are NaN, in 'w'",
    ]
    said = dale("merge", "c.yml", "other", "--json")
    assert said.err == ""
    found = json.loads(said.out)["soundness"]
    assert found["verdict"] == "broken"
    assert found["page"] == "other/soundness.html"


def test_a_page_that_cannot_be_written_is_a_warning(dale, monkeypatch):
    def refuse(*_, **__):
        raise DiskError("could not write out/soundness.html: No space left on device")

    monkeypatch.setattr("dale.report.merges.write_together", refuse)
    said = dale("merge", "c.yml", "out")
    assert said.code == 0
    assert said.err.startswith("warning: the merge is whole, its page is not there: ")
    assert said.out.endswith("Nothing speaks against this merge.\n")
    assert load("out")[0]["w"].tolist() == [2.0] * 4
