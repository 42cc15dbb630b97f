"""What is written beside merged weights is the donor's, and true of the result."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from dale.errors import CorruptError, InputError
from dale.merge.carried import carried, model_card, updated
from dale.merge.tokens import aligned


def folder(path: Path, tokens: str = "ab", **config: Any) -> Path:
    path.mkdir(exist_ok=True)
    ids = {token: i for i, token in enumerate(tokens)}
    document = {"model": {"type": "WordLevel", "vocab": ids}}
    plain = {"torch_dtype": "float32", "num_hidden_layers": 2, "vocab_size": len(ids)}
    files = {
        "config.json": plain | config,
        "generation_config.json": {"eos_token_id": 1, "temperature": 0.5},
        "tokenizer.json": document,
        "tokenizer_config.json": {"eos_token": "b", "added_tokens_decoder": {}},
        "preprocessor_config.json": {"size": 224},
    }
    for name, content in files.items():
        (path / name).write_text(json.dumps(content))
    return path


def test_the_donors_files_are_carried_and_the_rest_is_not(tmp_path: Path) -> None:
    one, two = folder(tmp_path / "one"), folder(tmp_path / "two")
    (two / "preprocessor_config.json").write_text('{"size": 336}')
    (two / "LICENSE.txt").write_text("terms")
    (two / "optimizer.pt").write_bytes(b"large")
    (two / "model.safetensors").write_bytes(b"weights")
    (two / "modeling.py").write_text("code")
    (two / "tokenizer.model").write_bytes(b"pieces")
    found = carried([one, two], 1)
    assert found.files.keys() == {
        "LICENSE.txt",
        "config.json",
        "generation_config.json",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
    }
    assert json.loads(found.files["preprocessor_config.json"]) == {"size": 336}
    assert found.files["tokenizer.json"] == (two / "tokenizer.json").read_bytes()
    assert found.notes == (f"code of {two} was not copied: modeling.py",)
    asked = carried([one, two], 1, code=True)
    assert asked.files["modeling.py"] == b"code"
    assert asked.notes == ()
    # the same donor on every run, and the first where none is named
    assert "LICENSE.txt" not in carried([one, two]).files


def test_pooling_of_sentence_embeddings(tmp_path: Path) -> None:
    path = folder(tmp_path / "one")
    rows = [{"path": ""}, {"path": "1_Pooling"}, {"path": "../outside"}]
    (path / "modules.json").write_text(json.dumps(rows))
    (path / "sentence_bert_config.json").write_text("{}")
    (path / "1_Pooling").mkdir()
    (path / "1_Pooling" / "config.json").write_text("{}")
    (path / "1_Pooling" / "pool.py").write_text("code")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("x")
    found = carried([path]).files
    assert {"modules.json", "sentence_bert_config.json", "1_Pooling/config.json"} <= (
        found.keys()
    )
    assert not [name for name in found if "outside" in name or name.endswith(".py")]


def test_configurations_tell_the_truth(tmp_path: Path) -> None:
    kinds = ["full", "sliding"]
    path = folder(tmp_path / "one", layer_types=kinds, tie_word_embeddings=True)
    found = carried([path], dtype=torch.bfloat16, layers=[0, 1, 1], tied=False)
    config = json.loads(found.files["config.json"])
    assert config["torch_dtype"] == "bfloat16"
    assert config["num_hidden_layers"] == 3
    assert config["layer_types"] == ["full", "sliding", "sliding"]
    assert config["tie_word_embeddings"] is False
    before = json.loads((path / "config.json").read_text())
    assert before["num_hidden_layers"] == 2
    same = json.loads(carried([path]).files["config.json"])
    assert same == before


@pytest.mark.parametrize(
    ("config", "settings", "expected"),
    [
        ({"dtype": "float32"}, {"dtype": torch.float16}, {"dtype": "float16"}),
        ({"n_layer": 4}, {"layers": [0]}, {"n_layer": 1}),
        ({"hidden": 4}, {"layers": [0], "size": 3}, {"hidden": 4}),
        (
            {"text_config": {"vocab_size": 4, "num_hidden_layers": 1}},
            {"size": 9, "layers": [0, 0]},
            {"text_config": {"vocab_size": 9, "num_hidden_layers": 2}},
        ),
        ({"vocab_size": 4}, {"tied": True}, {"vocab_size": 4}),
        (
            {"vocab_size": 4},
            {"tied": False},
            {"vocab_size": 4, "tie_word_embeddings": False},
        ),
    ],
)
def test_updates(
    config: dict[str, Any], settings: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert updated(config, **settings) == expected


def test_a_changed_vocabulary_is_written(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", "ab")
    two = folder(tmp_path / "two", "bca", eos_token_id=1)
    (one / "tokenizer.model").write_bytes(b"pieces")
    models = [{"wte.weight": torch.randn(n, 2)} for n in (2, 3)]
    found = aligned([one, two], models, pad_to_multiple_of=4, tokens={})
    files = carried([one, two], vocabulary=found, template="{{ x }}").files
    assert json.loads(files["config.json"])["vocab_size"] == 4
    document = json.loads(files["tokenizer.json"])
    assert document["model"]["vocab"] == {"a": 0, "b": 1, "c": 2}
    # it would say something else
    assert "tokenizer.model" not in files
    settings = json.loads(files["tokenizer_config.json"])
    assert (
        settings["chat_template"] == files["chat_template.jinja"].decode() == "{{ x }}"
    )
    assert settings["eos_token"] == "b"


def test_added_tokens_are_told_to_every_reader(tmp_path: Path) -> None:
    from dale.merge.tokens import Rule

    one = folder(tmp_path / "one", "ab")
    models = [{"wte.weight": torch.randn(2, 2)}]
    found = aligned([one], models, source="base", tokens={"<new>": Rule("zero")})
    files = carried([one], vocabulary=found).files
    (row,) = json.loads(files["tokenizer.json"])["added_tokens"]
    assert (row["id"], row["content"]) == (2, "<new>")
    decoder = json.loads(files["tokenizer_config.json"])["added_tokens_decoder"]
    assert decoder["2"]["content"] == "<new>"
    assert found.weights_K[0]["wte.weight"][2].tolist() == [0.0, 0.0]


def test_special_rows_follow_the_tokenizer(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", "ab", eos_token_id=1, bos_token_id=0)
    two = folder(tmp_path / "two", "bca", eos_token_id=0, bos_token_id=2)
    models = [{"wte.weight": torch.randn(n, 2)} for n in (2, 3)]
    found = aligned([one, two], models, source=1)
    files = carried([one, two], vocabulary=found).files
    config = json.loads(files["config.json"])
    assert (config["eos_token_id"], config["bos_token_id"]) == (0, 2)
    assert json.loads(files["generation_config.json"])["eos_token_id"] == 0


def test_models_that_are_files_carry_nothing(tmp_path: Path) -> None:
    assert carried([tmp_path / "a.safetensors"]).files == {}
    with pytest.raises(InputError, match="donor must be from 0 to 0, got 1"):
        carried([tmp_path], 1)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CorruptError, match=r"config.json: not JSON"):
        carried([tmp_path])


def test_the_card_holds_the_recipe() -> None:
    text = model_card("a: 1\nb: 2\n", ["x"], "ties", ["look here"]).decode()
    assert "```yaml\na: 1\nb: 2\n```" in text
    assert "* look here" in text
