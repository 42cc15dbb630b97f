"""What values decide in a configuration: tied heads, and running statistics."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from dale.errors import ConfigError
from dale.merge import merge, plan_config, run_config
from dale.weights import LazyWeights, load, save

TABLE, HEAD = "model.embed_tokens.weight", "lm_head.weight"
TEXT = "merge_method: linear\nparameters: {weight: 1}\n"


def network(name, value, head=None, tied=None):
    """A model; `head` is how far its head is from the table, None for no head."""
    weights = {TABLE: torch.full((3, 2), value), "model.layers.0.w": torch.ones(2)}
    weights["model.layers.1.w"] = torch.ones(2)
    if head is not None:
        weights[HEAD] = weights[TABLE] + head
    save(f"{name}/model.safetensors", weights, {})
    said = {} if tied is None else {"tie_word_embeddings": tied}
    Path(name, "config.json").write_text(json.dumps({"num_hidden_layers": 2} | said))


def merged(*names, more=""):
    models = ", ".join(f"{{model: {name}}}" for name in names)
    Path("c.yml").write_text(f"{TEXT}models: [{models}]\n{more}")
    notes = []
    run_config("c.yml", "out", note=notes.append)
    config = json.loads(Path("out/config.json").read_text())
    return load("out")[0], config, notes


@pytest.mark.parametrize("tied", [None, True])
def test_a_stored_head_that_equals_the_table_is_not_stored_again(tied):
    network("a", 1.0, 0.0, tied)
    network("b", 3.0, 0.0)
    network("c", 5.0)
    weights, config, _ = merged("a", "b", "c")
    assert HEAD not in weights
    assert weights[TABLE].unique().tolist() == [3.0]
    # a reader that knows nothing of values must be told
    assert config["tie_word_embeddings"] is True


def test_a_head_that_differs_is_merged_though_nothing_says_so():
    network("a", 1.0, 0.0)
    network("b", 3.0, 1.0)
    weights, config, notes = merged("a", "b")
    assert weights[HEAD].unique().tolist() == [2.5]
    assert config["tie_word_embeddings"] is False
    assert any("set to false" in note for note in notes)


def test_a_head_of_its_own_that_is_called_tied_is_refused():
    network("a", 1.0, 1.0, tied=True)
    network("b", 3.0)
    with pytest.raises(ConfigError, match=r"a: tie_word_embeddings is true.*differs"):
        merged("a", "b")
    assert not Path("out").exists()


def test_heads_are_not_read_where_one_is_surely_its_own(monkeypatch):
    network("a", 1.0, 0.0)
    network("b", 3.0, 0.0, tied=False)
    monkeypatch.setattr("torch.equal", lambda *_: pytest.fail("values were compared"))
    Path("c.yml").write_text(f"{TEXT}models: [{{model: a}}, {{model: b}}]\n")
    assert plan_config("c.yml").problems == ()
    monkeypatch.undo()
    assert HEAD in merged("a", "b")[0]


def test_a_plan_says_what_it_has_not_read():
    network("a", 1.0, 0.0)
    Path("c.yml").write_text(f"{TEXT}models: [{{model: a}}]\n")
    notes = plan_config("c.yml").notes
    assert any("whether lm_head.weight is the table" in note for note in notes)


@pytest.fixture
def nets():
    torch.manual_seed(0)
    made = [nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)) for _ in range(3)]
    for k, net in enumerate(made):
        net(torch.randn(32, 3) * (k + 1))
        save(f"{k}.safetensors", net.state_dict(), {})
    return made


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("linear", {"weight": 1}),
        ("task_arithmetic", {"weight": 0.4, "lambda": 1.5}),
        ("ties", {"weight": 1, "density": 0.5}),
    ],
)
def test_running_statistics_are_mixed_as_in_memory(nets, method, settings):
    base = method != "linear"
    names = [f"{k}.safetensors" for k in range(3)][base:]
    models = ", ".join(f"{{model: {name}}}" for name in names)
    origin = "base_model: 0.safetensors\n" if base else ""
    text = f"merge_method: {method}\nparameters: {json.dumps(settings)}\n{origin}"
    Path("c.yml").write_text(f"{text}models: [{models}]\n")
    plan = plan_config("c.yml", "out")
    assert "running statistics" in {part.name for part in plan.parts}
    assert any("measure them again" in note for note in plan.notes)
    run_config("c.yml", "out")
    origin = "0.safetensors" if base else None
    expected = merge(names, method, base=origin, **settings)
    found = load("out")[0]
    assert {*found} == {*expected}
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    variances = torch.stack([load(n)[0]["1.running_var"] for n in names])
    assert not torch.equal(found["1.running_var"], variances.mean(0))
    assert LazyWeights("out").header["statistics"] == "from moments"


def test_statistics_of_one_model_need_no_new_measurement(nets):
    Path("c.yml").write_text(
        "merge_method: passthrough\nmodels: [{model: 0.safetensors}]\n"
    )
    assert plan_config("c.yml", "out").notes == ()
