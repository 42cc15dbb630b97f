"""The vocabulary of a merged model: one model's, or that of all of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dale.errors import CorruptError, InputError
from dale.merge.tokens.reading import Tokenizer, entry
from dale.weights.match import listing


def stripped(tokenizer: Tokenizer) -> Tokenizer:
    """The same without the tokens that have no row in the model.

    Example:
        >>> from pathlib import Path
        >>> model = {"type": "BPE", "vocab": {"a": 0, "ab": 1}, "merges": [["a", "b"]]}
        >>> whole = Tokenizer(Path(), {"model": model}, ids={"a": 0})
        >>> stripped(whole).document["model"]["vocab"]
        {'a': 0}
    """
    document, ids = dict(tokenizer.document), tokenizer.ids
    model = document["model"] = dict(document["model"])
    if isinstance(model["vocab"], Mapping):
        model["vocab"] = {t: i for t, i in model["vocab"].items() if t in ids}
    else:
        # a list numbers its tokens, and the ones without a row are at its end
        model["vocab"] = [row for row in model["vocab"] if row[0] in ids]
    if "merges" in model:
        model["merges"] = [m for m in model["merges"] if _within(model, m, ids)]
    rows = document.get("added_tokens", ())
    document["added_tokens"] = [row for row in rows if row["content"] in ids]
    return replace(tokenizer, document=document)


def union(tokenizers: Sequence[Tokenizer]) -> Tokenizer:
    """One tokenizer with the tokens of all.

    The first keeps its rows. Trained tokens that it lacks follow, model by model in
    the order of their rows, then added tokens that it lacks. What a text is cut into
    is decided by the first's pairs to be joined, and after them by the others'.

    Args:
        tokenizers: Of one kind, that of the base first.

    Raises:
        InputError: Tokenizers of different kinds.
        CorruptError: What is to be joined is no pair.

    Example:
        >>> from pathlib import Path
        >>> one, two = ({"type": "WordLevel", "vocab": v} for v in ({"a": 0}, {"b": 0}))
        >>> tokenizers = [Tokenizer(Path(name), {"model": model}, ids=model["vocab"])
        ...               for name, model in (("one", one), ("two", two))]
        >>> union(tokenizers).ids
        {'a': 0, 'b': 1}

    References:
        mergekit makes every token that the base lacks an added one, which is found in a
        text before anything else is; the order of the rows is the same, but for that
        of trained tokens, which mergekit takes as a hash table gives them.
    """
    first, *others = tokenizers
    for other in others:
        if other.kind != first.kind:
            raise InputError(
                f"tokenizers of different kinds have no union: {first.path} is "
                f"{first.kind}, {other.path} is {other.kind}"
            )
    added = {t: row for each in reversed(tokenizers) for t, row in each.added.items()}
    trained = dict.fromkeys(t for each in others for t in each.ids if t not in added)
    result = stripped(first)
    if first.kind == "Unigram":
        # its list numbers the tokens, and rows after the list may be taken
        added |= {token: entry(token) for token in trained if token not in first.ids}
    else:
        result = _trained(result, [t for t in trained if t not in first.ids])
        if "merges" in first.document["model"]:
            _join(result, others)
    later = dict.fromkeys([*trained, *(t for each in tokenizers for t in each.added)])
    return with_tokens(result, {t: added[t] for t in later if t in added})


def with_tokens(
    tokenizer: Tokenizer, added: Mapping[str, Mapping[str, Any] | None]
) -> Tokenizer:
    """The same with tokens added at the end, in the order given, where it lacks them.

    Args:
        tokenizer: Stays as it is.
        added: Texts, and what is known of how they are found, if anything is.
    """
    fresh = [token for token in added if token not in tokenizer.ids]
    if not fresh:
        return tokenizer
    start = next_row(tokenizer)
    rows = {t: {"id": start + i} | entry(t, added[t]) for i, t in enumerate(fresh)}
    document = dict(tokenizer.document)
    document["added_tokens"] = [*document.get("added_tokens", ()), *rows.values()]
    return replace(
        tokenizer,
        document=document,
        ids=tokenizer.ids | {token: row["id"] for token, row in rows.items()},
        added=tokenizer.added | rows,
    )


def next_row(tokenizer: Tokenizer) -> int:
    """The row after the last one."""
    return 1 + max(tokenizer.ids.values(), default=-1)


def differences(tokenizers: Sequence[Tokenizer]) -> list[str]:
    """What should be known before tokens are compared by their text."""
    spellings = {t.path: t.spelling for t in tokenizers}
    if len(set(spellings.values())) < 2:
        return []
    ways = listing(f"{path}: {way}" for path, way in spellings.items())
    return [f"tokens are spelled in different ways and few will be shared: {ways}"]


def _trained(tokenizer: Tokenizer, tokens: Sequence[str]) -> Tokenizer:
    start = next_row(tokenizer)
    fresh = {token: start + i for i, token in enumerate(tokens)}
    document = dict(tokenizer.document)
    model = dict(document["model"])
    model["vocab"] = model["vocab"] | fresh
    document["model"] = model
    return replace(tokenizer, document=document, ids=tokenizer.ids | fresh)


def _join(tokenizer: Tokenizer, others: Iterable[Tokenizer]) -> None:
    """Append the pairs that other tokenizers join, in their order."""
    model, ids = tokenizer.document["model"], tokenizer.ids
    mine = model["merges"]
    known = {_pair(merge) for merge in mine}
    texts = all(isinstance(merge, str) for merge in mine)
    found: list[tuple[str, str]] = []
    for other in others:
        for merge in other.document["model"].get("merges", ()):
            pair = _pair(merge)
            if pair not in known and _within(model, merge, ids):
                known.add(pair)
                found.append(pair)
    if texts and any(" " in part for pair in found for part in pair):
        mine = [[*_pair(merge)] for merge in mine]
        texts = False
    model["merges"] = [
        *mine,
        *(" ".join(pair) if texts else [*pair] for pair in found),
    ]


def _within(model: Mapping[str, Any], merge: Any, ids: Mapping[str, int]) -> bool:
    """Whether both parts of a pair, and what they are joined to, are tokens."""
    first, second = _pair(merge)
    whole = first + second.removeprefix(model.get("continuing_subword_prefix") or "")
    return {first, second, whole} <= ids.keys()


def _pair(merge: Any) -> tuple[str, str]:
    parts = merge.split(" ") if isinstance(merge, str) else merge
    pair = isinstance(parts, list | tuple) and len(parts) == 2
    if not pair or not all(isinstance(part, str) for part in parts):
        raise CorruptError(f"a tokenizer joins what is no pair: {merge!r}")
    return parts[0], parts[1]
