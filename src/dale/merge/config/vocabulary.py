"""Embeddings of models with different vocabularies, and the tokenizer of the result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dale.merge.config.findings import Findings
from dale.merge.config.pieces import Shelf
from dale.merge.config.reference import Opened
from dale.merge.config.schema import MergeConfig
from dale.weights import Weights


@dataclass(frozen=True)
class Words:
    """What became of tokenizers and embeddings.

    Attributes:
        weights: Of every model by its identity, as it is to be merged.
        files: Of the tokenizer, to be written.
        config: Entries of ``config.json`` that follow from it.
        keep: Whether the tokenizer of the donor is copied as it is.
    """

    weights: Mapping[int, Weights]
    files: Mapping[str, bytes | Path] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    keep: bool = True


def aligned(
    config: MergeConfig,
    shelf: Shelf,
    base: Opened | None,
    donor: Opened,
    findings: Findings,
) -> Words:
    """Give all models one vocabulary, where the configuration asks for it.

    Args:
        config: With ``tokenizer``, ``tokenizer_source`` and ``chat_template``.
        shelf: Every model.
        base: The base, if there is one.
        donor: Gives config and tokenizer where nothing else is asked for.
        findings: For what cannot be done.

    Returns:
        Weights to be merged, and files to be written.
    """
    plain = {id(model): model.weights for model in shelf.models}
    for name in ("tokenizer", "tokenizer_source", "chat_template"):
        if getattr(config, name) is not None:
            findings.problem(f"{name} cannot be used yet")
    return Words(plain)
