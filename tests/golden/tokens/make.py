"""Make the golden tables, with mergekit 0.1.5 in an environment of its own.

    python -m venv /tmp/mk
    /tmp/mk/bin/pip install torch==2.13.0
    /tmp/mk/bin/pip install mergekit==0.1.5
    PYTHONPATH=tests /tmp/mk/bin/python tests/golden/tokens/make.py

The tokenizers beside this file are trained here too, on a line of text each.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from golden.tokens.inputs import CASES, HERE, MODELS, PADDING, WIDTH, Case, tables

TEXTS = {
    "one": "the cat sat on the mat and the cat ate the rat",
    "two": "the thing is that this and that are the other things",
    "three": "on a mat the other cat sings of things and rats",
}
SPECIAL = {
    "one": ["<s>", "</s>"],
    "two": ["<s>", "</s>", "<sep>"],
    "three": ["</s>", "<s>", "<tool>"],
}


def train(name: str) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=40, special_tokens=SPECIAL[name])
    tokenizer.train_from_iterator([TEXTS[name]], trainer)
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    document = json.loads(tokenizer.to_str())
    # rows that a hash table gave; fixed, so that the file can be made again
    write(folder / "tokenizer.json", document)
    words = {"bos_token": "<s>", "eos_token": "</s>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **words}
    write(folder / "tokenizer_config.json", settings)


def write(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def build(name: str, out: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(HERE / name)
    rows = len(tokenizer) + PADDING[name]
    config = LlamaConfig(
        vocab_size=rows,
        hidden_size=WIDTH,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    found = {n: torch.from_numpy(t) for n, t in tables(name, rows).items()}
    model.load_state_dict(found, strict=False)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def configuration(case: Case, folder: Path) -> dict[str, Any]:
    def place(value: Any) -> Any:
        if isinstance(value, str):
            return str(folder / value) if value in MODELS else value
        if isinstance(value, dict):
            return {key: place(inner) for key, inner in value.items()}
        return value

    tokens = {
        token: rule | {"source": place(rule["source"])}
        for token, rule in case.tokens.items()
    }
    rows = [
        {"model": place(name), "parameters": {"weight": 1.0 + k}}
        for k, name in enumerate(case.models)
    ]
    config = {"merge_method": "linear", "models": rows, "dtype": "float32"}
    config["base_model"] = place(case.base)
    config["tokenizer"] = {"source": place(case.source)}
    if tokens:
        config["tokenizer"]["tokens"] = tokens
    if case.multiple:
        config["tokenizer"]["pad_to_multiple_of"] = case.multiple
    return config


def merged(case: Case, folder: Path, out: Path) -> dict[str, np.ndarray]:
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    config = MergeConfiguration.model_validate(configuration(case, folder))
    run_merge(config, str(out), MergeOptions())
    weights = load_file(out / "model.safetensors")
    tokenizer = AutoTokenizer.from_pretrained(out)
    ids = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    assert [i for _, i in ids] == list(range(len(ids)))
    found = {name: weights[name].numpy() for name in tables("one", 1)}
    size = json.loads((out / "config.json").read_text())["vocab_size"]
    return found | {"tokens": np.array([t for t, _ in ids]), "size": np.array(size)}


if __name__ == "__main__":
    found = {}
    for name in MODELS:
        train(name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in MODELS:
            build(name, folder / name)
        for case, settings in CASES.items():
            for key, value in merged(settings, folder, folder / f"out-{case}").items():
                found[f"{case}/{key}"] = value
    np.savez_compressed(HERE / "merged.npz", **found)
