"""Embeddings of models with different vocabularies, and the files of the result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dale.errors import InputError
from dale.merge.config.findings import Findings
from dale.merge.config.reference import Opened
from dale.merge.config.schema import MergeConfig, Reference, Tokenizer, TokenOf
from dale.merge.config.shelf import Shelf
from dale.merge.tokens import Rule, Taken, Vocabulary, chat_template
from dale.merge.tokens import aligned as realigned
from dale.weights import Weights


@dataclass(frozen=True)
class Words:
    """What became of tokenizers and embeddings.

    Attributes:
        weights: Of every model by its identity, as it is to be merged.
        vocabulary: The new vocabulary, where the configuration asks for one.
        template: Text of the chat template, where it asks for one.
    """

    weights: Mapping[int, Weights]
    vocabulary: Vocabulary | None = None
    template: str | None = None


def aligned(
    config: MergeConfig, shelf: Shelf, base: Opened | None, findings: Findings
) -> Words:
    """Give all models one vocabulary, where the configuration asks for it.

    Args:
        config: With ``tokenizer``, ``tokenizer_source`` and ``chat_template``.
        shelf: Every model.
        base: The base, if there is one.
        findings: For what cannot be done.

    Returns:
        Weights to be merged, and what the tokenizer becomes.
    """
    models = shelf.models
    weights: dict[int, Weights] = {id(model): model.weights for model in models}
    wanted = config.tokenizer
    if config.tokenizer_source is not None:
        wanted = Tokenizer(source=config.tokenizer_source)
    folders = [model.folder for model in models if model.folder is not None]
    vocabulary = template = None
    if wanted is not None and len(folders) < len(models):
        findings.problem("a tokenizer is wanted, but some models are single files")
    elif wanted is not None:
        with findings.catching("tokenizer: "):
            vocabulary = _vocabulary(wanted, shelf, models, base, folders)
            pairs = zip(models, vocabulary.weights_K, strict=True)
            weights |= {id(model): changed for model, changed in pairs}
            for note in vocabulary.notes:
                findings.note(note)
    if config.chat_template is not None:
        with findings.catching("chat_template: "):
            template = chat_template(config.chat_template, folders)
    return Words(weights, vocabulary, template)


def _vocabulary(
    wanted: Tokenizer,
    shelf: Shelf,
    models: Sequence[Opened],
    base: Opened | None,
    folders: Sequence[Path],
) -> Vocabulary:
    def position(reference: Any) -> int:
        model = shelf(Reference.model_validate(_whole(reference)))
        found = [k for k, one in enumerate(models) if one is model]
        if not found:
            raise InputError(f"{reference} is none of the models that are merged")
        return found[0]

    source: Any = str(wanted.source)
    if source not in {"base", "union"}:
        source = position(wanted.source)
    rules = {}
    for token, row in wanted.tokens.items():
        rules[token] = Rule(_taken(row.source, position), row.force)
    return realigned(
        folders,
        [model.weights for model in models],
        source=source,
        base=None if base is None else models.index(base),
        tokens=rules,
        pad_to_multiple_of=wanted.pad_to_multiple_of,
    )


def _taken(source: Any, position: Any) -> Any:
    if source is None:
        return None
    if not isinstance(source, TokenOf):
        return Taken(position(source))
    if source.kind == "zero":
        return "zero"
    alone = (source.token is None) == (source.token_id is None)
    if source.model is None or alone:
        raise InputError("model_token needs a model, and a token or a token_id")
    return Taken(position(source.model), source.token, source.token_id)


def _whole(reference: Any) -> Any:
    if not isinstance(reference, str):
        return reference.model_dump()
    model, _, lora = reference.partition("+")
    return {"model": model, "lora": lora or None}
