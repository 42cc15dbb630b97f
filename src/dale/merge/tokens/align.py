"""One vocabulary for several models: which tokens, and where their rows come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from dale.errors import InputError, WeightsError, nearest
from dale.merge.tokens.reading import (
    PIECES,
    TOKENIZER,
    Tokenizer,
    has_tokenizer,
    read_tokenizer,
)
from dale.merge.tokens.rows import (
    MEAN,
    ZERO,
    ReindexedWeights,
    Rows,
    layout_in,
    vocabulary_names,
)
from dale.merge.tokens.rules import Rule, Taken
from dale.merge.tokens.union import differences, stripped, union, with_tokens
from dale.weights import Weights


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a merged model, and its tables made from those of the models.

    Attributes:
        weights_K: The models, aligned: all have the same rows. Nothing is copied until
            a tensor is asked for.
        size: Rows, padding included.
        tokenizer: The tokenizer of the result; None if all have the same files, which
            can be copied.
        donor: Position of the model that the tokenizer's files come from.
        notes: What a reader of the result should know, one line each.
    """

    weights_K: list[Weights]
    size: int
    tokenizer: Tokenizer | None
    donor: int
    notes: tuple[str, ...]


def aligned(
    folders_K: Sequence[str | Path],
    weights_K: Sequence[Weights],
    *,
    source: Literal["base", "union"] | int = "union",
    base: int | None = None,
    tokens: Mapping[str, Rule] | None = None,
    pad_to_multiple_of: int | None = None,
) -> Vocabulary:
    """Give several models one vocabulary.

    A row of a token that a model lacks is the base's; if the base lacks it too, the
    only owner's, or the mean of the owners'; zeros if nobody has it. Rows are matched
    by the text of the tokens and moved by precomputed indices.

    Args:
        folders_K: Where the tokenizers are.
        weights_K: The models, in memory or in files; files are not read.
        source: Tokens of the result: those of the base (of the first model if there is
            none), of all models, or of one, by its position.
        base: Position of the base.
        tokens: What is wanted of single tokens; tokens nobody has are added.
        pad_to_multiple_of: Rows are added up to a multiple of this.

    Returns:
        The models with their new tables, and what is to be written beside them.

    Raises:
        InputError: A model without a tokenizer or without embeddings, tokenizers that
            cannot be compared, or a rule for a token that its source lacks.
        WeightsError: Rows of different widths.
        CorruptError: A tokenizer's file is damaged.

    Example:
        >>> import json, tempfile
        >>> folders = [Path(tempfile.mkdtemp()) for _ in range(2)]
        >>> for folder, ids in zip(folders, ({"a": 0, "b": 1}, {"b": 0, "c": 1})):
        ...     text = json.dumps({"model": {"type": "WordLevel", "vocab": ids}})
        ...     _ = (folder / "tokenizer.json").write_text(text)
        >>> models = [{"wte.weight": torch.tensor([[1.0], [2.0]])} for _ in range(2)]
        >>> found = aligned(folders, models)
        >>> [model["wte.weight"].flatten().tolist() for model in found.weights_K]
        [[1.0, 2.0, 2.0], [1.0, 1.0, 2.0]]
        >>> found.tokenizer.ids
        {'a': 0, 'b': 1, 'c': 2}
    """
    paths = [Path(folder) for folder in folders_K]
    places = {"base": base, "source": source if isinstance(source, int) else None}
    for token, rule in (tokens or {}).items():
        if isinstance(rule.source, Taken):
            places[f"the model of token {token!r}"] = rule.source.model
    _check_places(len(paths), len(weights_K), places)
    names_K = [vocabulary_names(weights) for weights in weights_K]
    for path, names in zip(paths, names_K, strict=True):
        if not names:
            raise InputError(f"{path}: no table of embeddings to be aligned")
    _check_widths(paths, weights_K, names_K)
    pairs = zip(weights_K, names_K, strict=True)
    lengths_K = [layout_in(weights)[names[0]].shape[0] for weights, names in pairs]
    if pad_to_multiple_of is not None and pad_to_multiple_of < 1:
        raise InputError(f"pad_to_multiple_of must be 1 or more: {pad_to_multiple_of}")
    first = 0 if base is None else base
    donor = source if isinstance(source, int) else first
    if not tokens and not pad_to_multiple_of and _opaque(paths, lengths_K):
        return Vocabulary([*weights_K], lengths_K[0], None, donor, ())
    tokenizers_K, notes = _read(paths, lengths_K, first)
    result = _chosen(source, tokenizers_K, first)
    result = with_tokens(result, dict.fromkeys(tokens or {}))
    notes += differences(tokenizers_K)
    _check_rows(tokens or {}, lengths_K, paths)
    rows = _rows(result, tokenizers_K, base, tokens or {}, pad_to_multiple_of)
    models: list[Weights] = [
        weights
        if rows.unchanged(k, lengths_K[k])
        else ReindexedWeights(weights_K, k, rows, names_K[k])
        for k, weights in enumerate(weights_K)
    ]
    return Vocabulary(models, rows.size, result, donor, tuple(notes))


def _check_places(count: int, models: int, places: Mapping[str, int | None]) -> None:
    if not count or models != count:
        raise InputError(
            f"a folder for each of 1 or more models is needed: {models} models, "
            f"{count} folders"
        )
    for name, place in places.items():
        if place is not None and not 0 <= place < count:
            raise InputError(f"{name} must be from 0 to {count - 1}, got {place}")


def _check_widths(
    paths: Sequence[Path], weights_K: Sequence[Weights], names_K: Sequence[list[str]]
) -> None:
    for name in dict.fromkeys(name for names in names_K for name in names):
        widths = {
            path: layout_in(weights)[name].shape[1:]
            for path, weights in zip(paths, weights_K, strict=True)
            if name in weights
        }
        if len(set(widths.values())) > 1:
            found = ", ".join(f"{path}: {shape}" for path, shape in widths.items())
            raise WeightsError(f"rows of {name!r} differ in shape: {found}")


def _opaque(paths: Sequence[Path], lengths_K: Sequence[int]) -> bool:
    """Whether no tokenizer can be looked into and all are the same, byte for byte."""
    if any((path / TOKENIZER).is_file() for path in paths) or len(set(lengths_K)) > 1:
        return False
    found = [path / PIECES for path in paths]
    if not all(file.is_file() for file in found):
        return False
    return len({file.read_bytes() for file in found}) == 1


def _read(
    paths: Sequence[Path], lengths_K: Sequence[int], first: int
) -> tuple[list[Tokenizer], list[str]]:
    origin = read_tokenizer(paths[first], lengths_K[first])
    tokenizers, notes = [], []
    for k, path in enumerate(paths):
        if k == first or (not has_tokenizer(path) and lengths_K[k] == lengths_K[first]):
            tokenizers.append(origin)
            if k != first:
                notes.append(f"{path}: no tokenizer; taken to be that of {origin.path}")
            continue
        tokenizers.append(read_tokenizer(path, lengths_K[k]))
    return tokenizers, notes


def _chosen(
    source: Literal["base", "union"] | int, tokenizers_K: list[Tokenizer], first: int
) -> Tokenizer:
    if isinstance(source, int):
        return stripped(tokenizers_K[source])
    if source == "base":
        return stripped(tokenizers_K[first])
    if source != "union":
        raise InputError(
            f"unknown source of tokens {source!r}: {nearest(source, ('base', 'union'))}"
        )
    rest = [each for k, each in enumerate(tokenizers_K) if k != first]
    return union([tokenizers_K[first], *rest])


def _rows(
    result: Tokenizer,
    tokenizers_K: Sequence[Tokenizer],
    base: int | None,
    rules: Mapping[str, Rule],
    multiple: int | None,
) -> Rows:
    length = 1 + max(result.ids.values(), default=-1)
    size = -(-length // (multiple or 1)) * (multiple or 1)
    places = torch.tensor([*result.ids.values()], dtype=torch.int64)
    own_KV = torch.full((len(tokenizers_K), size), -1)
    for k, tokenizer in enumerate(tokenizers_K):
        found = [tokenizer.ids.get(token, -1) for token in result.ids]
        own_KV[k, places] = torch.tensor(found, dtype=torch.int64)
    tokens_V = torch.zeros(size, dtype=torch.bool)
    tokens_V[places] = True
    owners_V = (own_KV >= 0).sum(0)
    lender_V = torch.full((size,), MEAN)
    lender_V[owners_V == 0] = ZERO
    only = owners_V == 1
    lender_V[only] = (own_KV >= 0).long().argmax(0)[only]
    if base is not None:
        lender_V[own_KV[base] >= 0] = base
    lent_V = own_KV.gather(0, lender_V.clamp(min=0)[None])[0]
    forced_V = torch.zeros(size, dtype=torch.bool)
    for token, rule in rules.items():
        at = result.ids[token]
        forced_V[at] = rule.force
        if isinstance(rule.source, Taken):
            lender_V[at] = rule.source.model
            lent_V[at] = _row(token, rule.source, tokenizers_K)
        elif rule.source is not None:
            lender_V[at] = ZERO
    return Rows(size, tokens_V, own_KV, lender_V, lent_V, forced_V)


def _row(token: str, taken: Taken, tokenizers_K: Sequence[Tokenizer]) -> int:
    tokenizer = tokenizers_K[taken.model]
    wanted = token if taken.token is None else taken.token
    if taken.token_id is None:
        if wanted not in tokenizer.ids:
            raise InputError(
                f"tokens: {token!r}: {tokenizer.path} has no token {wanted!r}"
            )
        return tokenizer.ids[wanted]
    return taken.token_id


def _check_rows(
    rules: Mapping[str, Rule], lengths_K: Sequence[int], paths: Sequence[Path]
) -> None:
    for token, rule in rules.items():
        if isinstance(rule.source, Taken) and rule.source.token_id is not None:
            k, row = rule.source.model, rule.source.token_id
            if not 0 <= row < lengths_K[k]:
                raise InputError(
                    f"tokens: {token!r}: {paths[k]} has rows 0 to {lengths_K[k] - 1}, "
                    f"not {row}"
                )
