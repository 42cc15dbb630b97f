"""Configurations: problems told before any work, donors, slices, the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dale.errors import ConfigError
from dale.merge import load_config, plan_config, run_config
from dale.weights import load, save
from golden.merge.configs import LAYERS, write

SHAPES = {
    # the shapes of mergekit's own examples: methods and keys, not their words
    "linear": """
models:
  - model: one
    parameters: {weight: 1.0}
  - model: two
    parameters: {weight: 0.3}
  - model: three
    parameters: {weight: 0.5}
merge_method: linear
dtype: float16
""",
    "ties": """
models:
  - model: one
    parameters: {density: [1, 0.7, 0.1], weight: 1.0}
  - model: two
    parameters: {density: 0.5, weight: [0, 0.3, 0.7, 1]}
  - model: three
    parameters:
      density: 0.33
      weight: [{filter: mlp, value: 0.5}, {value: 0}]
merge_method: ties
base_model: base
parameters: {normalize: true, int8_mask: true}
dtype: float16
""",
    "gradient-slerp": """
slices:
  - sources:
      - {model: one, layer_range: [0, 4]}
      - {model: two, layer_range: [0, 4]}
merge_method: slerp
base_model: one
parameters:
  t:
    - {filter: self_attn, value: [0, 0.5, 0.3, 0.7, 1]}
    - {filter: mlp, value: [1, 0.5, 0.7, 0.3, 0]}
    - value: 0.5
dtype: float16
""",
    "bio-merge": """
models:
  - model: base
  - model: one
    parameters: {density: 0.6, weight: 0.3}
  - model: two
    parameters: {density: 0.5, weight: 0.4}
merge_method: dare_ties
base_model: base
parameters: {int8_mask: true}
dtype: bfloat16
""",
    "fusion": "merge_method: arcee_fusion\nbase_model: one\nmodels: [{model: one}, "
    "{model: two}]\ndtype: bfloat16",
    "stack": """
slices:
  - sources: [{model: one, layer_range: [0, 3]}]
  - sources: [{model: two, layer_range: [1, 4]}]
merge_method: passthrough
dtype: float16
""",
}


@pytest.fixture(autouse=True)
def models():
    def store(model, path):
        save(path, {n: torch.from_numpy(a).bfloat16() for n, a in model.items()}, {})

    write(Path(), store)


def plan(text):
    Path("c.yml").write_text(text)
    return plan_config("c.yml", "out")


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_what_mergekit_shows_is_planned_and_merged(text):
    found = plan(text)
    assert found.problems == ()
    assert found.cost.write_bytes > 0
    (file,) = run_config("c.yml", "out")
    weights, _ = load(file)
    config = json.loads(Path("out/config.json").read_text())
    dtype = load_config("c.yml").dtype
    assert {str(t.dtype) for t in weights.values()} == {f"torch.{dtype}"}
    assert config["torch_dtype"] == dtype
    depth = config["num_hidden_layers"]
    assert f"model.layers.{depth - 1}.mlp.up_proj.weight" in weights
    assert f"model.layers.{depth}.mlp.up_proj.weight" not in weights
    assert Path("out/mergekit_config.yml").read_text() == text


ONE = "merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: one}]\n"
WRONG = {
    "unknown key": (ONE + "normalize: true", "unknown key 'normalize'; it belongs un"),
    "near key": (ONE + "base_modle: one", "did you mean 'base_model'?"),
    "method": ("merge_method: dare-ties\nmodels: [{model: one}]", "'dare_ties'?"),
    "model": (ONE.replace("one", "gone"), "gone: no such file or folder"),
    "hub": (ONE.replace("one", "some/net"), "not in the local cache of the hub"),
    "weight": (ONE.replace("{weight: 1}", "{}"), "one: linear needs weight, missing"),
    "parameter": (ONE.replace("weight: 1", "wieght: 1"), "did you mean 'weight'?"),
    "kind": (ONE.replace("weight: 1", "weight: much"), "weight must be a number"),
    "zero": (ONE.replace("weight: 1", "weight: 0"), "must not sum to 0"),
    "type": (ONE + "dtype: bf16", "unknown type 'bf16'; did you mean 'bfloat16'?"),
    "both": (
        ONE + "slices: [{sources: [{model: one, layer_range: [0, 1]}]}]",
        "exactly",
    ),
    "depth": (ONE.replace("one}", "one}, {model: long}"), "long has 6 layers"),
    "base": (
        "merge_method: slerp\nparameters: {t: 1}\nmodels: [{model: one}]",
        "needs b",
    ),
    "range": (
        "merge_method: passthrough\nslices: [{sources: [{model: one, layer_range: [2, "
        "9]}]}]",
        "layers 2 to 9 of one, which has 4",
    ),
    "unequal": (
        "merge_method: linear\nparameters: {weight: 1}\nslices: [{sources: [{model: "
        "one, layer_range: [0, 2]}, {model: two, layer_range: [0, 3]}]}]",
        "must have one length",
    ),
    "count": (
        "merge_method: slerp\nbase_model: one\nparameters: {t: 1}\nmodels: [{model: "
        "two}, {model: three}]",
        "slerp needs exactly 2 models, got 3",
    ),
    "data": ("merge_method: greedy_soup\nmodels: [{model: one}]", "needs a score"),
    "long": (ONE.replace("one", "z" * 5000), "no such file or folder"),
    "token": (
        ONE + "tokenizer: {tokens: {x: {source: {kind: zeroo}}}}",
        "tokenizer.tokens.x.source.kind: input should be",
    ),
    "rows": (
        ONE + "tokenizer: {pad_to_multiple_of: 99999999999999999999}",
        "tokenizer.pad_to_multiple_of: input should be less than or equal to 1048576",
    ),
    "twice": (ONE + "merge_method: slerp", "stands twice"),
    "nothing": ("", "holds nothing"),
    "density": (
        "merge_method: ties\nbase_model: base\nparameters: {weight: 1, density: 7}\n"
        "models: [{model: one}]",
        "density must be in [0, 1]",
    ),
}


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
def test_a_problem_is_a_line_and_nothing_is_done(text, words):
    found = plan(text)
    assert any(words in line for line in found.problems), found.problems
    assert all("\n" not in line for line in found.problems)
    with pytest.raises(ConfigError):
        run_config("c.yml", "out")
    assert not Path("out").exists()


def test_all_problems_are_told_at_once():
    wrong = "normalise: 1\nmerge_method: ties\nbase_model: base\ndtype: half\nmodels:\n"
    found = plan(
        wrong + "  - {model: gone}\n  - {model: one, parameters: {density: 7}}"
    )
    wanted = ["'normalise'", "'half'", "gone:", "density", "one: ties needs weight"]
    assert all(any(w in line for line in found.problems) for w in wanted)


def damaged(how):
    path = Path("two/model.safetensors")
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "shape":
        weights = load(path)[0]
        save(path, weights | {"model.norm.weight": torch.ones(9)}, {})
    elif how == "vocabulary":
        weights = load(path)[0]
        heads = ("model.embed_tokens.weight", "lm_head.weight")
        save(path, weights | {n: torch.ones(9, 4) for n in heads}, {})
    elif how == "missing":
        weights = load(path)[0]
        del weights["model.norm.weight"]
        save(path, weights, {})
    elif how == "quantised":
        config = json.loads(Path("two/config.json").read_text())
        config["quantization_config"] = {"quant_method": "gptq"}
        Path("two/config.json").write_text(json.dumps(config))
    elif how == "index":
        weight_map = {"w": "model-00001-of-00002.safetensors"}
        text = json.dumps({"metadata": {}, "weight_map": weight_map})
        Path("two/model.safetensors.index.json").write_text(text)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("truncated", "two"),
        ("empty", "the file is empty"),
        ("shape", "shape (9,), but (4,) in one: 'model.norm.weight'"),
        ("vocabulary", "vocabularies differ, 7 rows in one and 9 in two"),
        ("missing", "two: names missing: 'model.norm.weight'"),
        ("quantised", "gptq weights are quantised"),
        ("index", "model-00001-of-00002.safetensors: no such file"),
    ],
)
def test_a_model_that_does_not_fit(how, words):
    damaged(how)
    found = plan(ONE.replace("one}", "one}, {model: two}"))
    assert any(words in line for line in found.problems), found.problems


def test_a_full_disk_is_foreseen(monkeypatch):
    full = os.statvfs(".").f_frsize and type("Use", (), {"free": 10})
    monkeypatch.setattr("dale.merge.config.cost.shutil.disk_usage", lambda path: full)
    assert any("are free" in line for line in plan(ONE).problems)


def test_base_model_of_linear_gives_config_only():
    found = plan(ONE + "base_model: three")
    assert found.donor == "three"
    assert any("config and tokenizer only" in note for note in found.notes)
    run_config("c.yml", "out")
    merged, one = load("out")[0], load("one")[0]
    assert all(torch.equal(merged[name], one[name]) for name in one)


def test_the_donor_does_not_depend_on_hashes():
    Path("c.yml").write_text(ONE.replace("one}", "two}, {model: one}, {model: three}"))
    code = "from dale.merge import plan_config; print(plan_config('c.yml').donor)"
    for seed in ("1", "2", "3"):
        env = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", code]
        said = subprocess.run(command, env=env, capture_output=True, text=True)
        assert said.stdout == "two\n", said.stderr


def test_importing_merge_reads_no_yaml():
    late = "{'yaml', 'pydantic'}"
    code = f"import sys, dale.merge; print({late} & {{*sys.modules}} or 'none')"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.stdout == "none\n", said.stderr


def test_order_of_parameters_under_a_model_is_noted():
    found = plan(
        ONE.replace("{model: one}", "{model: one, parameters: {normalize: no}}")
    )
    assert any("no model's own" in note for note in found.notes)


def test_layers_of_a_list_follow_slices():
    path = Path("one/config.json")
    kinds = ["full", "sliding", "full", "linear"]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"layer_types": kinds}))
    text = "merge_method: passthrough\nslices:\n"
    for span in ("[0, 2]", "[1, 4]"):
        text += f"  - sources: [{{model: one, layer_range: {span}}}]\n"
    assert plan(text).problems == ()
    run_config("c.yml", "out")
    config = json.loads(Path("out/config.json").read_text())
    assert config["num_hidden_layers"] == LAYERS + 1
    assert config["layer_types"] == ["full", "sliding", "sliding", "full", "linear"]


def test_tied_heads_stay_tied():
    for name in ("one", "two"):
        weights = load(name)[0]
        if name == "one":
            del weights["lm_head.weight"]
        else:
            weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
        save(f"{name}/model.safetensors", weights, {})
        path = Path(name, "config.json")
        tied = {"tie_word_embeddings": True}
        path.write_text(json.dumps(json.loads(path.read_text()) | tied))
    plan(ONE.replace("one}", "one}, {model: two}"))
    run_config("c.yml", "out")
    assert "lm_head.weight" not in load("out")[0]


def test_the_same_seed_gives_the_same_bytes_in_any_order_of_the_keys():
    plan(SHAPES["bio-merge"])
    first, second = run_config("c.yml", "x", seed=3), run_config("c.yml", "y", seed=3)
    other = run_config("c.yml", "z", seed=4)
    contents = [path.read_bytes() for (path,) in (first, second, other)]
    assert contents[0] == contents[1] != contents[2]
