"""Files that are carried beside merged weights: configuration, processors, a card."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dale.errors import InputError
from dale.merge.tokens.align import Vocabulary
from dale.merge.tokens.files import token_ids, tokenizer_files
from dale.merge.tokens.reading import read_json

CONFIG, GENERATION, CARD = "config.json", "generation_config.json", "README.md"
PROCESSORS = (
    "preprocessor_config.json",
    "processor_config.json",
    "image_processor_config.json",
    "video_preprocessor_config.json",
    "feature_extractor_config.json",
)
POOLING = (
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
)
_LICENCES = ("LICENSE", "LICENCE", "NOTICE", "COPYING", "USE_POLICY")
_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
_DTYPES = ("torch_dtype", "dtype")


@dataclass(frozen=True)
class Carried:
    """What is written beside the weights.

    Attributes:
        files: Content by path, relative to the folder.
        notes: What was left out, or should be looked at, one line each.
    """

    files: dict[str, bytes]
    notes: tuple[str, ...]


def carried(
    folders_K: Sequence[str | Path],
    donor: int = 0,
    *,
    vocabulary: Vocabulary | None = None,
    dtype: torch.dtype | None = None,
    layers: Sequence[int] | None = None,
    tied: bool | None = None,
    template: str | None = None,
    code: bool = False,
) -> Carried:
    """Collect the files that a merged model needs beside its weights.

    They come from one model, the donor: ``config.json``, ``generation_config.json``,
    the tokenizer, processors of images and sound, the pooling of sentence embeddings,
    licences. Files of Python are left out unless asked for, as a program from each
    folder would be run by whoever loads the result.

    Args:
        folders_K: The models, in order.
        donor: Whose files they are: the base, or else the first model.
        vocabulary: From `dale.merge.tokens.aligned`, if it was changed.
        dtype: Type of the tensors, for ``config.json``.
        layers: For every layer of the result, the donor's layer that is like it; None
            if they are the donor's.
        tied: Whether the head is the table of embeddings, from `same_heads`.
        template: Text of the chat template, if another is wanted.
        code: Copy ``*.py`` too.

    Returns:
        Content by path; nothing for models that are single files.

    Raises:
        InputError: `donor` is no position of a model.
        CorruptError: A file is not what its name says.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "config.json").write_text('{"torch_dtype": "float32"}')
        >>> json.loads(carried([folder], dtype=torch.bfloat16).files["config.json"])
        {'torch_dtype': 'bfloat16'}
    """
    if not 0 <= donor < len(folders_K):
        raise InputError(f"donor must be from 0 to {len(folders_K) - 1}, got {donor}")
    folder = Path(folders_K[donor])
    notes = list(vocabulary.notes) if vocabulary else []
    if not folder.is_dir():
        return Carried({}, tuple(notes))
    files = tokenizer_files(folders_K, donor, vocabulary, template)
    changes = token_ids(folders_K, donor, vocabulary)
    if (folder / CONFIG).is_file():
        config = read_json(folder / CONFIG)
        size = None if vocabulary is None else vocabulary.size
        config = updated(config | _present(changes, config), dtype, layers, size, tied)
        files[CONFIG] = _text(config)
    if (folder / GENERATION).is_file():
        kept = read_json(folder / GENERATION)
        files[GENERATION] = _text(kept | _present(changes, kept))
    for name in (*PROCESSORS, *_pooling(folder)):
        if (folder / name).is_file():
            files[name] = (folder / name).read_bytes()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name.upper().startswith(_LICENCES):
            files[path.name] = path.read_bytes()
    return Carried(files, (*notes, *_code(folder, files, code)))


def _present(changes: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if name in config}


def updated(
    config: Mapping[str, Any],
    dtype: torch.dtype | None = None,
    layers: Sequence[int] | None = None,
    size: int | None = None,
    tied: bool | None = None,
) -> dict[str, Any]:
    """A ``config.json`` that tells the truth about the result.

    Args:
        config: The donor's; parts for text within models of several kinds too.
        dtype: Type of the tensors.
        layers: As for `carried`.
        size: Rows of the vocabulary.
        tied: Whether the head is the table of embeddings.

    Example:
        >>> updated({"n_layer": 2, "vocab_size": 5}, None, [0, 1, 1], 8)
        {'n_layer': 3, 'vocab_size': 8}
    """
    result = dict(config)
    for key in _DTYPES:
        if dtype is not None and key in result:
            result[key] = str(dtype).removeprefix("torch.")
    if layers is not None:
        result |= {key: len(layers) for key in _LAYERS if key in result}
        for key in [k for k in result if k.endswith("layer_types")]:
            kinds = result[key]
            if isinstance(kinds, list) and max(layers, default=0) < len(kinds):
                result[key] = [kinds[layer] for layer in layers]
    if size is not None and "vocab_size" in result:
        result["vocab_size"] = size
    if tied is not None and result.get("tie_word_embeddings", tied) != tied:
        result["tie_word_embeddings"] = tied
    if tied is False and "tie_word_embeddings" not in result and "vocab_size" in result:
        result["tie_word_embeddings"] = False
    for key in ("text_config", "language_config", "llm_config"):
        if isinstance(result.get(key), dict):
            result[key] = updated(result[key], dtype, layers, size, tied)
    return result


def _pooling(folder: Path) -> list[str]:
    """Files of sentence-transformers, those of the modules it lists included."""
    names = [name for name in POOLING if (folder / name).is_file()]
    if "modules.json" not in names:
        return names
    try:
        rows = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        paths = [str(row["path"]) for row in rows if row["path"]]
    except (ValueError, KeyError, TypeError):
        return names
    inside = [path for path in paths if Path(path).name == path]
    return names + [
        f"{path}/{file.name}"
        for path in inside
        if (folder / path).is_dir()
        for file in sorted((folder / path).iterdir())
        if file.is_file() and file.suffix != ".py"
    ]


def _code(folder: Path, files: dict[str, bytes], wanted: bool) -> list[str]:
    found = sorted(path for path in folder.glob("*.py") if path.is_file())
    if wanted:
        files |= {path.name: path.read_bytes() for path in found}
        return []
    names = ", ".join(path.name for path in found)
    return [f"code of {folder} was not copied: {names}"] if found else []


def model_card(
    recipe: str, models: Sequence[str], method: str, notes: Sequence[str] = ()
) -> bytes:
    """A short ``README.md``: what was merged, how, and the recipe to do it again.

    Args:
        recipe: The configuration, as text.
        models: Names of the models, the base's included.
        method: Name of the method.
        notes: What a reader should know, one line each.

    Example:
        >>> print(model_card("merge_method: linear", ["a", "b"], "linear").decode())
        # Merged model
        <BLANKLINE>
        Made by dale by `linear` of:
        <BLANKLINE>
        * `a`
        * `b`
        <BLANKLINE>
        ```yaml
        merge_method: linear
        ```
        <BLANKLINE>
        The licences of these models hold for the result.
        <BLANKLINE>
    """
    lines = ["# Merged model", "", f"Made by dale by `{method}` of:", ""]
    lines += [f"* `{name}`" for name in models]
    lines += ["", "```yaml", *recipe.rstrip().splitlines(), "```", ""]
    if notes:
        lines += ["Notes:", "", *(f"* {note}" for note in notes), ""]
    lines += ["The licences of these models hold for the result.", ""]
    return "\n".join(lines).encode()


def _text(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
