"""Tokenizers as the JSON they are stored in: which token has which row."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dale.errors import CorruptError, InputError

TOKENIZER, SETTINGS = "tokenizer.json", "tokenizer_config.json"
PIECES = "tokenizer.model"
FILES = (
    TOKENIZER,
    SETTINGS,
    "special_tokens_map.json",
    "added_tokens.json",
    PIECES,
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "chat_template.jinja",
    "chat_template.json",
)
"""Every file that a tokenizer may consist of."""
_SPECIAL = ("bos", "eos", "unk", "pad", "sep", "cls", "mask")
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@dataclass(frozen=True)
class Tokenizer:
    """One tokenizer.

    Attributes:
        path: Folder of its model.
        document: What ``tokenizer.json`` says, or would say.
        settings: What ``tokenizer_config.json`` says.
        ids: Row of every token, added ones included, in the order of the rows.
        added: Entries of the added tokens, by their text.
        stored: It came from a ``tokenizer.json``.
    """

    path: Path
    document: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    added: dict[str, dict[str, Any]] = field(default_factory=dict)
    stored: bool = True

    @property
    def kind(self) -> str:
        """What is trained of it: ``"BPE"``, ``"WordPiece"``, …."""
        return str(self.document["model"].get("type", "BPE"))

    @property
    def spelling(self) -> str:
        """How tokens spell what is not a letter: one of three ways, or none of them."""
        text = json.dumps(
            [self.document.get(part) for part in ("pre_tokenizer", "decoder")]
            + [self.document.get("normalizer")],
            ensure_ascii=False,
        )
        if '"ByteLevel"' in text:
            return "byte-level"
        return "metaspace" if "▁" in text else "plain"


def read_tokenizer(path: str | Path, rows: int | None = None) -> Tokenizer:
    """The tokenizer in a model's folder.

    Args:
        path: The folder, with a ``tokenizer.json``, or with ``vocab.json`` and
            ``merges.txt`` as GPT-2 has them.
        rows: Length of the model's table of embeddings; tokens beyond are left out.

    Raises:
        InputError: No tokenizer, or one of SentencePiece alone.
        CorruptError: A file is not what its name says.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> model = {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}
        >>> text = json.dumps({"model": model, "added_tokens": []})
        >>> _ = (folder / "tokenizer.json").write_text(text)
        >>> read_tokenizer(folder).ids
        {'a': 0, 'b': 1}
    """
    path = Path(path)
    if (path / TOKENIZER).is_file():
        return tokenizer_of(path, read_json(path / TOKENIZER), rows=rows)
    if (path / "vocab.json").is_file() and (path / "merges.txt").is_file():
        return tokenizer_of(path, _byte_level(path), rows=rows, stored=False)
    if (path / PIECES).is_file() or (path / "spiece.model").is_file():
        raise InputError(
            f"{path}: a tokenizer of SentencePiece alone cannot be compared with "
            f"another; save its fast form, which has a {TOKENIZER}"
        )
    raise InputError(f"{path}: no tokenizer; expected {TOKENIZER}")


def has_tokenizer(path: str | Path) -> bool:
    """Whether a folder holds files of a tokenizer."""
    return any((Path(path) / name).is_file() for name in FILES if name != SETTINGS)


def tokenizer_of(
    path: Path,
    document: dict[str, Any],
    *,
    rows: int | None = None,
    stored: bool = True,
) -> Tokenizer:
    """A tokenizer from what its ``tokenizer.json`` says.

    Raises:
        CorruptError: It says something else.
    """
    settings = read_json(path / SETTINGS) if (path / SETTINGS).is_file() else {}
    try:
        ids = dict(vocabulary(document["model"]))
        if not isinstance(document["model"].get("merges", []), list):
            said = "merges are no list"
            raise CorruptError(f"{path / TOKENIZER}: not a tokenizer: {said}")
        added = {row["content"]: dict(row) for row in document.get("added_tokens", ())}
        for text, row in settings.get("added_tokens_decoder", {}).items():
            # what the document lacks is added when the tokenizer is loaded
            if row["content"] not in added and row["content"] not in ids:
                added[row["content"]] = {"id": int(text)} | row
        ids |= {token: int(row["id"]) for token, row in added.items()}
        ranked = sorted(ids.items(), key=lambda pair: pair[1])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptError(f"{path / TOKENIZER}: not a tokenizer: {error!r}") from error
    if not ranked or ranked[0][1] < 0:
        fault = "rows below 0" if ranked else "no tokens"
        raise CorruptError(f"{path / TOKENIZER}: a tokenizer with {fault}")
    kept = {token: i for token, i in ranked if rows is None or i < rows}
    inside = {token: row for token, row in added.items() if token in kept}
    return Tokenizer(path, document, settings, kept, inside, stored)


def vocabulary(model: Mapping[str, Any]) -> Iterable[tuple[str, int]]:
    """Pairs of token and row of the trained part, in the order of the file."""
    table = model["vocab"]
    if isinstance(table, Mapping):
        return ((str(token), int(i)) for token, i in table.items())
    return ((str(token), i) for i, (token, _) in enumerate(table))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        CorruptError: It is none.
    """
    return as_object(path.read_bytes(), str(path))


def as_object(content: bytes, where: str) -> dict[str, Any]:
    """A JSON object from what a file holds.

    Raises:
        CorruptError: It is none.
    """
    try:
        found = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{where}: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise CorruptError(f"{where}: expected an object")
    return found


def entry(token: str, row: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """An added token as ``tokenizer.json`` lists it, but for its row."""
    flags = {"normalized": True} if row is None else row
    return {"content": token} | {flag: bool(flags.get(flag)) for flag in _FLAGS}


def _byte_level(path: Path) -> dict[str, Any]:
    """What ``tokenizer.json`` would say of a tokenizer in the two files of GPT-2."""
    ids = read_json(path / "vocab.json")
    try:
        lines = (path / "merges.txt").read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise CorruptError(f"{path / 'merges.txt'}: not text: {error}") from error
    pairs = [line.split(" ") for line in lines if line and not line.startswith("#vers")]
    odd = [pair for pair in pairs if len(pair) != 2]
    if odd:
        raise CorruptError(f"{path / 'merges.txt'}: not a pair of tokens: {odd[0]}")
    extra = path / "added_tokens.json"
    later = read_json(extra) if extra.is_file() else {}
    special = _special(path)
    rows = [(t, i, special.get(t)) for t, i in (ids | later).items()]
    bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i} | entry(token, {"special": token in special} | (row or {}))
            for token, i, row in sorted(rows, key=lambda found: found[1])
            if token in special or token in later
        ],
        "normalizer": None,
        "pre_tokenizer": bytes_ | {"use_regex": True},
        "post_processor": bytes_ | {"trim_offsets": False, "use_regex": True},
        "decoder": bytes_ | {"use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": ids,
            "merges": pairs,
        },
    }


def _special(path: Path) -> dict[str, dict[str, Any]]:
    """Special tokens by name, from the files that name them."""
    found: dict[str, dict[str, Any]] = {}
    for name in ("special_tokens_map.json", SETTINGS):
        words = read_json(path / name) if (path / name).is_file() else {}
        for kind in _SPECIAL:
            value = words.get(f"{kind}_token")
            row = {"content": value} if isinstance(value, str) else value
            if isinstance(row, dict) and "content" in row:
                found.setdefault(row["content"], row | {"special": True})
    return found
