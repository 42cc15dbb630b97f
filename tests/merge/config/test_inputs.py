"""Names of layers of common models, vocabularies and adapters in configurations."""

import json
from pathlib import Path

import pytest
import torch

from dale.merge import plan_config, run_config
from dale.merge.config.anatomy import Anatomy, is_early
from dale.weights import load, save

KINDS = {
    "llama": ("model.layers.{}.self_attn.q_proj.weight", "model.embed_tokens.weight"),
    "gpt2": ("transformer.h.{}.attn.c_attn.bias", "transformer.wte.weight"),
    "gpt2 bare": ("h.{}.attn.c_attn.bias", "wpe.weight"),
    "neox": ("gpt_neox.layers.{}.attention.dense.weight", "gpt_neox.embed_in.weight"),
    "bert": (
        "bert.encoder.layer.{}.output.dense.weight",
        "bert.embeddings.word_embeddings.weight",
    ),
    "vit": (
        "vit.encoder.layer.{}.output.dense.weight",
        "vit.embeddings.patch_embeddings.projection.weight",
    ),
    "mixtral": (
        "model.layers.{}.block_sparse_moe.experts.1.w1.weight",
        "model.embed_tokens.weight",
    ),
}


@pytest.mark.parametrize(("layer", "early"), KINDS.values(), ids=KINDS)
def test_layers_are_found_by_name(layer, early):
    names = [layer.format(i) for i in range(12)]
    anatomy = Anatomy((*names, early, "model.norm.weight"))
    (stack,) = anatomy.stacks
    assert anatomy.main == stack == layer[: layer.index("{}")]
    assert anatomy.stacks[stack] == 12
    assert [anatomy.place(name).index for name in names] == list(range(12))
    assert anatomy.place(early).stack == ""
    assert is_early(early)
    assert not is_early("model.norm.weight")


def test_encoder_and_decoder_are_two_lists():
    sides = ("encoder", "decoder")
    names = [f"{side}.block.{i}.w" for side in sides for i in range(3)]
    found = Anatomy((*names, "decoder.block.3.w", "head.0.w", "head.2.w")).stacks
    assert found == {"encoder.block.": 3, "decoder.block.": 4}


def network(name, words, value=1.0, config=None):
    size = len(words)
    weights = {
        "model.embed_tokens.weight": torch.arange(size).float()[:, None] + value,
        "model.layers.0.w": torch.full((2, 2), value),
        "model.layers.1.w": torch.full((2, 2), value),
        "lm_head.weight": torch.arange(size).float()[:, None] + value,
    }
    save(f"{name}/model.safetensors", weights, {})
    vocabulary = {word: i for i, word in enumerate(words)}
    text = json.dumps({"model": {"type": "WordLevel", "vocab": vocabulary}})
    Path(name, "tokenizer.json").write_text(text)
    own = {"num_hidden_layers": 2, "vocab_size": size, "tie_word_embeddings": False}
    Path(name, "config.json").write_text(json.dumps(own | (config or {})))


TEXT = "merge_method: linear\nmodels: [{model: one}, {model: two}]\n"
TEXT += "parameters: {weight: 1}\n"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("tokenizer_source: union", ["a", "b", "c"]),
        ("tokenizer: {source: one}", ["a", "b"]),
        ("tokenizer: {source: base}\nbase_model: two", ["a", "b", "c"]),
    ],
)
def test_one_vocabulary_for_two(setting, words):
    network("one", ["a", "b"])
    network("two", ["a", "b", "c"], 3.0)
    Path("c.yml").write_text(TEXT)
    assert any("vocabularies differ" in x for x in plan_config("c.yml").problems)
    Path("c.yml").write_text(TEXT + setting)
    assert plan_config("c.yml").problems == ()
    run_config("c.yml", "out")
    table = load("out")[0]["model.embed_tokens.weight"].flatten().tolist()
    assert table == [2.0, 3.0, 5.0][: len(words)]
    assert json.loads(Path("out/config.json").read_text())["vocab_size"] == len(words)
    model = json.loads(Path("out/tokenizer.json").read_text())["model"]
    assert sorted(model["vocab"]) == words


@pytest.mark.parametrize("kind", ["padded head", "integers"])
def test_a_table_that_cannot_be_aligned_is_a_problem_and_not_left_out(kind):
    for name, words in (("one", "ab"), ("two", "abc")):
        network(name, [*words])
        weights = {key: value.clone() for key, value in load(name)[0].items()}
        if kind == "padded head":
            weights["lm_head.weight"] = torch.zeros(8 + len(words), 1)
        else:
            table = weights["model.embed_tokens.weight"].long()
            weights["model.embed_tokens.weight"] = table
        save(f"{name}/model.safetensors", weights, {})
    Path("c.yml").write_text(f"{TEXT}tokenizer_source: union")
    (problem,) = plan_config("c.yml").problems
    assert problem.startswith("two: shape (")


@pytest.mark.parametrize("source", ["three", "nowhere"])
def test_a_tokenizer_of_no_model_that_is_merged_is_one_problem(source):
    network("one", ["a", "b"])
    network("two", ["a", "b", "c"], 3.0)
    network("three", ["a"])
    Path("c.yml").write_text(f"{TEXT}tokenizer_source: {source}")
    problems = plan_config("c.yml").problems
    line = f"tokenizer: {source} is none of the models that are merged"
    assert [x for x in problems if "no such file" not in x] == [line]


def test_a_filter_that_holds_for_nothing_is_noted():
    network("one", ["a", "b"])
    network("two", ["a", "b"], 3.0)
    cases = (
        "{weight: [{filter: layrs, value: 0}, {filter: head, value: 2}, {value: 1}]}"
    )
    Path("c.yml").write_text(TEXT.replace("{weight: 1}", cases))
    plan = plan_config("c.yml")
    assert plan.problems == ()
    assert plan.notes == ("weight: no tensor has 'layrs' in its name",)


def test_an_adapter_is_put_on_its_model():
    network("one", ["a", "b"])
    start = "base_model.model.model.layers.0"
    # the name of a layer whose tensor is called weight
    weights = load("one")[0] | {"model.layers.0.q.weight": torch.zeros(2, 2)}
    weights["model.layers.1.q.weight"] = torch.zeros(2, 2)
    save("one/model.safetensors", weights, {})
    low = {"lora_A": torch.ones(1, 2), "lora_B": torch.ones(2, 1)}
    tensors = {f"{start}.q.{name}.weight": tensor for name, tensor in low.items()}
    save("lora/adapter_model.safetensors", tensors, {})
    settings = {"peft_type": "LORA", "r": 1, "lora_alpha": 2, "target_modules": ["q"]}
    Path("lora/adapter_config.json").write_text(json.dumps(settings))
    Path("c.yml").write_text("merge_method: passthrough\nmodels: [{model: one+lora}]")
    assert plan_config("c.yml").problems == ()
    run_config("c.yml", "out")
    assert load("out")[0]["model.layers.0.q.weight"].tolist() == [[2.0, 2.0]] * 2
    Path("c.yml").write_text("merge_method: passthrough\nmodels: [{model: one+gone}]")
    assert "one+gone: gone: no such file" in plan_config("c.yml").problems[0]


def test_a_name_on_the_hub_is_found_in_the_local_cache(monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", "hub")
    folder = "hub/models--some--net"
    network(f"{folder}/snapshots/abc", ["a"])
    Path(folder, "refs").mkdir()
    Path(folder, "refs/main").write_text("abc")
    Path("c.yml").write_text("merge_method: passthrough\nmodels: [{model: some/net}]")
    assert plan_config("c.yml").problems == ()


def test_modules_are_merged_each_on_its_own():
    names = [f"{side}.block.{i}.w" for side in ("encoder", "decoder") for i in (0, 1)]
    for name, value in (("one", 1.0), ("two", 3.0)):
        tensors = {n: torch.full((2,), value) for n in names}
        save(f"{name}/model.safetensors", tensors, {})
    sides = ""
    for side, weights in (("encoder", (1, 0)), ("decoder", (0, 1))):
        pairs = zip(("one", "two"), weights, strict=True)
        inputs = ", ".join(
            f"{{model: {m}, parameters: {{weight: {w}}}}}" for m, w in pairs
        )
        sides += f"  {side}: {{models: [{inputs}]}}\n"
    Path("c.yml").write_text(f"merge_method: linear\nmodules:\n{sides}")
    assert plan_config("c.yml").problems == ()
    run_config("c.yml", "out")
    merged = load("out")[0]
    assert [merged[name][0].item() for name in names] == [1.0, 1.0, 3.0, 3.0]
