"""Tiny models of the Llama type, and configurations that mergekit merged them by.

Read by `make_configs.py`, which runs beside mergekit without dale, and by the tests.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LAYERS, WIDTH, INNER, WORDS = 4, 4, 6, 7
MODELS = ("base", "one", "two", "three")
"""Of one architecture; all but the first are the first and a step of half its size."""
LONG = "long"
"""A model with two layers more, which is no child of the others."""


@dataclass(frozen=True)
class Case:
    """One configuration.

    Attributes:
        name: For files and test ids.
        text: YAML without types.
        draws: Whether something is drawn at random.
    """

    name: str
    text: str
    draws: bool = False


def three(
    method: str, own: str = "weight: {w}", rest: str = "", base: bool = True
) -> str:
    """A configuration with three models, and with a base if wanted."""
    weights = ("0.5", "0.3", "0.4")
    lines = [f"merge_method: {method}", "models:"]
    for name, weight in zip(MODELS[1:], weights, strict=True):
        lines.append(f"  - model: {name}")
        if own:
            lines.append("    parameters: {" + own.replace("{w}", weight) + "}")
    lines += ["base_model: base"] if base else []
    lines += [f"parameters: {{{rest}}}"] if rest else []
    return "\n".join(lines)


def two(method: str, own: str = "", rest: str = "", base: str | None = "one") -> str:
    """A configuration with two models, the base maybe one of them."""
    weights = ("0.3", "0.9")
    lines = [f"merge_method: {method}", "models:"]
    for name, weight in zip(("one", "two"), weights, strict=True):
        lines.append(f"  - model: {name}")
        if own:
            lines.append("    parameters: {" + own.replace("{w}", weight) + "}")
    lines += [f"base_model: {base}"] if base else []
    lines += [f"parameters: {{{rest}}}"] if rest else []
    return "\n".join(lines)


CASES = [
    Case("linear", three("linear", base=False)),
    Case("linear sum", three("linear", rest="normalize: false", base=False)),
    Case("linear gradient", two("linear", "weight: [0.2, {w}, 1]", base=None)),
    Case(
        "linear steps",
        two("linear", "weight: {w}", "normalize: [true, false]", base=None),
    ),
    Case("passthrough", "merge_method: passthrough\nmodels: [{model: one}]"),
    Case(
        "passthrough scaled",
        "merge_method: passthrough\nmodels:\n  - model: one\n    parameters:\n"
        "      scale: [{filter: o_proj, value: 0}, {filter: mlp, value: [1, 0.5]}, "
        "{value: 1}]",
    ),
    Case("slerp", two("slerp", rest="t: 0.3")),
    Case("slerp from the second", two("slerp", rest="t: 0.3", base="two")),
    Case(
        "slerp gradient",
        two(
            "slerp",
            rest="t: [{filter: self_attn, value: [0, 0.5, 0.3, 0.7, 1]}, "
            "{filter: mlp, value: [1, 0.5, 0.7, 0.3, 0]}, {value: 0.5}]",
        ),
    ),
    Case("nuslerp", two("nuslerp", "weight: {w}", base=None)),
    Case("nuslerp of vectors", two("nuslerp", "weight: {w}", base="base")),
    Case(
        "nuslerp by rows",
        two("nuslerp", "weight: {w}", "nuslerp_flatten: false", base=None),
    ),
    Case(
        "nuslerp by columns",
        two(
            "nuslerp",
            "weight: {w}",
            "nuslerp_flatten: false, nuslerp_row_wise: true",
            base=None,
        ),
    ),
    Case("multislerp", three("multislerp", base=False)),
    Case("multislerp of vectors", three("multislerp", rest="normalize_weights: false")),
    Case("karcher", three("karcher", "", "max_iter: 20, tol: 1e-6", base=False)),
    Case("task_arithmetic", three("task_arithmetic")),
    Case(
        "task_arithmetic scaled",
        three("task_arithmetic", rest="lambda: 0.7, normalize: true, int8_mask: true"),
    ),
    Case("ties", three("ties", "weight: {w}, density: 0.5")),
    Case(
        "ties gradient",
        three(
            "ties",
            "weight: [{filter: mlp, value: [0.5, {w}]}, {value: {w}}], "
            "density: [1, 0.7, 0.1]",
            "normalize: true, int8_mask: true",
        ),
    ),
    Case("ties sum", three("ties", "weight: {w}, density: 0.5", "normalize: false")),
    Case("dare_linear whole", three("dare_linear")),
    Case("dare_ties whole", three("dare_ties", rest="lambda: 0.9")),
    Case("breadcrumbs", three("breadcrumbs", "weight: {w}, density: 0.6, gamma: 0.1")),
    Case(
        "breadcrumbs_ties",
        three("breadcrumbs_ties", "weight: {w}, density: 0.6, gamma: [0.1, 0.3]"),
    ),
    Case("della whole", three("della")),
    Case("della_linear whole", three("della_linear")),
    Case("sce", three("sce", "", "select_topk: 0.4")),
    Case("ram", three("ram", "", "epsilon: 0.3")),
    Case("ramplus_tl", three("ramplus_tl", "", "epsilon: 0.3, r: 0.5, alpha: 0.4")),
    Case("model_stock", three("model_stock", "")),
    Case("model_stock by rows", three("model_stock", "", "filter_wise: true")),
    Case("nearswap", two("nearswap", rest="t: 0.2")),
    Case("arcee_fusion", two("arcee_fusion")),
    Case(
        "slices stacked",
        "merge_method: passthrough\nslices:\n"
        "  - sources: [{model: one, layer_range: [0, 3]}]\n"
        "  - sources: [{model: two, layer_range: [1, 4]}]",
    ),
    Case(
        "slices blended",
        """
merge_method: slerp
base_model: long
slices:
  - sources:
      - {model: long, layer_range: [0, 3]}
      - {model: one, layer_range: [1, 4]}
    parameters: {t: [{filter: layers.1., value: 0.9}, {value: [0.2, 0.6]}]}
  - sources:
      - {model: one, layer_range: [3, 4]}
      - {model: two, layer_range: [0, 1]}
    base_model: two
parameters:
  t: [0.1, 0.4]
""",
    ),
    Case(
        "slices with own weights",
        """
merge_method: task_arithmetic
base_model: base
slices:
  - sources:
      - model: one
        layer_range: [1, 3]
        parameters:
          weight: [{filter: layers.2, value: 0.9}, {filter: q_proj, value: 0.1}]
      - model: base
        layer_range: [1, 3]
    parameters: {weight: 0.25}
  - sources:
      - {model: two, layer_range: [0, 2], parameters: {weight: [0.3, 0.8]}}
      - {model: base, layer_range: [0, 2]}
""",
    ),
    Case(
        "precedence",
        """
merge_method: task_arithmetic
base_model: base
models:
  - model: one
    parameters: {weight: [{filter: self_attn, value: [0.2, 0.6]}]}
  - model: two
  - model: base
parameters:
  weight: [{filter: mlp, value: 0.7}, {filter: "*", value: 0.3}]
  lambda: [0.5, 1.0]
""",
    ),
    Case(
        "a module",
        "merge_method: linear\nmodules:\n  default:\n    parameters: {weight: 2}\n"
        "    models: [{model: one}, {model: two}]\nparameters: {normalize: false}",
    ),
    Case("dare_linear", three("dare_linear", "weight: {w}, density: 0.4"), draws=True),
    Case(
        "dare_ties",
        three("dare_ties", "weight: {w}, density: [0.3, 0.8]", "normalize: true"),
        draws=True,
    ),
    Case(
        "della", three("della", "weight: {w}, density: 0.5, epsilon: 0.3"), draws=True
    ),
]
"""Every method of mergekit, and every way to write a value."""

TYPES = {
    "wide": "dtype: float32\nout_dtype: bfloat16\n",
    "alone": "",
    "half": "dtype: float16\nout_dtype: float32\n",
}
"""Cast to float32 first, which is how dale computes; as mergekit does by itself; and
cast to something narrower first."""
HALVED = {"linear", "slerp gradient", "passthrough scaled"}
"""What is also done from float16: all that mergekit computes in float32."""
DRAWS = 600


def arrays(seed: int, layers: int = LAYERS) -> dict[str, Any]:
    """Tensors of one model, drawn."""
    generator = np.random.default_rng(seed)
    shapes = {"model.embed_tokens.weight": (WORDS, WIDTH)}
    for i in range(layers):
        start = f"model.layers.{i}."
        for part in ("q", "k", "v", "o"):
            shapes[f"{start}self_attn.{part}_proj.weight"] = (WIDTH, WIDTH)
        for part, shape in (("gate", 1), ("up", 1), ("down", -1)):
            shapes[f"{start}mlp.{part}_proj.weight"] = (INNER, WIDTH)[::shape]
        for part in ("input", "post_attention"):
            shapes[f"{start}{part}_layernorm.weight"] = (WIDTH,)
    shapes |= {"model.norm.weight": (WIDTH,), "lm_head.weight": (WORDS, WIDTH)}
    drawn = {n: generator.standard_normal(shape) for n, shape in shapes.items()}
    return {n: array.astype(np.float32) for n, array in drawn.items()}


def children() -> dict[str, dict[str, Any]]:
    """All models by name, in float32."""
    start = arrays(0)
    found = {"base": start, LONG: arrays(9, LAYERS + 2)}
    for k, name in enumerate(MODELS[1:], start=1):
        step = arrays(k)
        found[name] = {n: start[n] + np.float32(0.5) * step[n] for n in start}
    return found


def write(folder: Path, save: Any, dtype: str = "bfloat16") -> None:
    """Write all models, each with its ``config.json``.

    Args:
        folder: In which they get a folder each.
        save: ``save(arrays, path)`` writes one as safetensors in that type.
        dtype: For ``config.json``.
    """
    for name, model in children().items():
        place = folder / name
        place.mkdir(parents=True)
        save(model, place / "model.safetensors")
        layers = LAYERS + 2 * (name == LONG)
        config = {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": WIDTH,
            "intermediate_size": INNER,
            "num_attention_heads": 2,
            "num_hidden_layers": layers,
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-06,
            "tie_word_embeddings": False,
            "torch_dtype": dtype,
            "vocab_size": WORDS,
        }
        (place / "config.json").write_text(json.dumps(config))
