"""A Llama-type model and its fine-tunes, made on the spot in the usual layout."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save_file
from torch import Tensor

HIDDEN, INNER, VOCABULARY, HEADS = 1024, 3840, 32_000, 16
NAMES = ("base", "one", "two", "three")
SHARD = 300_000_000
"""Parameters in one file."""
STEP = 1e-3
"""Standard deviation of what fine-tuning adds."""


def make(folder: Path, layers: int) -> None:
    """Write the base and three fine-tunes, each as shards with an index.

    Args:
        folder: One folder for each model is made in it; those there are kept.
        layers: Depth.
    """
    for position, name in enumerate(NAMES):
        place = folder / name
        if not (place / "config.json").exists():
            place.mkdir(parents=True, exist_ok=True)
            _write(place, layers, position)


@contextmanager
def at_hand(folder: Path | None, layers: int) -> Iterator[tuple[Path, Path]]:
    """A folder with the models, and one for what is made of them, which is removed.

    Args:
        folder: Where the models lie; made there if missing. With None, they are removed
            too.
        layers: Depth.
    """
    with TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        models = (folder or scratch / "models").resolve()
        make(models, layers)
        yield models, scratch


def addressed(text: str, models: Path) -> str:
    """YAML with the folders of the models in place of their names in capitals."""
    for name in NAMES:
        text = text.replace(name.upper(), str(models / name))
    return text


def shapes(layers: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors."""
    found: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (VOCABULARY, HIDDEN)
    }
    for layer in range(layers):
        place = f"model.layers.{layer}"
        for name in "qkvo":
            found[f"{place}.self_attn.{name}_proj.weight"] = (HIDDEN, HIDDEN)
        for name in ("gate", "up"):
            found[f"{place}.mlp.{name}_proj.weight"] = (INNER, HIDDEN)
        found[f"{place}.mlp.down_proj.weight"] = (HIDDEN, INNER)
        for name in ("input_layernorm", "post_attention_layernorm"):
            found[f"{place}.{name}.weight"] = (HIDDEN,)
    return found | {
        "model.norm.weight": (HIDDEN,),
        "lm_head.weight": (VOCABULARY, HIDDEN),
    }


def _write(folder: Path, layers: int, position: int) -> None:
    start = torch.Generator().manual_seed(0)
    step = torch.Generator().manual_seed(position)
    shards: list[dict[str, Tensor]] = [{}]
    for name, shape in shapes(layers).items():
        tensor = torch.randn(shape, generator=start) * 0.02 + (len(shape) == 1)
        if position:
            tensor += torch.randn(shape, generator=step) * STEP
        if sum(t.numel() for t in shards[-1].values()) + tensor.numel() > SHARD:
            shards.append({})
        shards[-1][name] = tensor.bfloat16()
    places = {}
    for i, shard in enumerate(shards, start=1):
        file = f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, folder / file, {"format": "pt"})
        places |= dict.fromkeys(shard, file)
    size = sum(2 * t.numel() for shard in shards for t in shard.values())
    index = {"metadata": {"total_size": size}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    (folder / "config.json").write_text(json.dumps(_configuration(layers), indent=2))


def _configuration(layers: int) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "initializer_range": 0.02,
        "intermediate_size": INNER,
        "max_position_embeddings": 2048,
        "num_attention_heads": HEADS,
        "num_hidden_layers": layers,
        "num_key_value_heads": HEADS,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "vocab_size": VOCABULARY,
    }
