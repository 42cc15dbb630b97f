"""What is written of a tokenizer beside merged weights."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dale.merge.tokens.align import Vocabulary
from dale.merge.tokens.chat import TEMPLATE
from dale.merge.tokens.reading import (
    FILES,
    SETTINGS,
    TOKENIZER,
    Tokenizer,
    as_object,
    read_json,
    read_tokenizer,
)

_KEPT = (SETTINGS, "special_tokens_map.json", TEMPLATE, "chat_template.json")
_IDS = ("bos", "eos", "pad", "unk", "sep", "cls", "mask", "decoder_start")


def tokenizer_files(
    folders_K: Sequence[str | Path],
    donor: int,
    vocabulary: Vocabulary | None = None,
    template: str | None = None,
) -> dict[str, bytes]:
    """Files of the tokenizer of a merged model.

    The donor's are copied as they are. Where its vocabulary was changed, it is written
    as ``tokenizer.json``, and files that would contradict it are left out.

    Args:
        folders_K: The models.
        donor: Whose tokenizer it is, where no vocabulary is given.
        vocabulary: From `dale.merge.tokens.aligned`.
        template: Text of the chat template, if another is wanted.

    Returns:
        Content by name.

    Raises:
        CorruptError: A file is not what its name says.
    """
    if vocabulary is not None:
        donor = vocabulary.donor
    folder = Path(folders_K[donor])
    tokenizer = None if vocabulary is None else vocabulary.tokenizer
    if tokenizer is not None and _differs(tokenizer, folder):
        files = _changed(tokenizer, folder)
    else:
        files = {n: (folder / n).read_bytes() for n in FILES if (folder / n).is_file()}
    if template is not None:
        _put(files, template)
    return files


def token_ids(
    folders_K: Sequence[str | Path], donor: int, vocabulary: Vocabulary | None
) -> dict[str, Any]:
    """Entries such as ``eos_token_id`` where the tokenizer is not that of the donor.

    Args:
        folders_K: The models.
        donor: Whose ``config.json`` is carried.
        vocabulary: The vocabulary of the result, if it was made.

    Returns:
        The entries that the tokenizer's own model has; none if it is the donor.
    """
    if vocabulary is None or vocabulary.donor == donor:
        return {}
    path = Path(folders_K[vocabulary.donor]) / "config.json"
    config = read_json(path) if path.is_file() else {}
    names = [f"{kind}_token_id" for kind in _IDS]
    return {name: config[name] for name in names if name in config}


def _differs(tokenizer: Tokenizer, folder: Path) -> bool:
    before = read_tokenizer(folder)
    return tokenizer.document != before.document or tokenizer.ids != before.ids


def _changed(tokenizer: Tokenizer, folder: Path) -> dict[str, bytes]:
    found = {n: (folder / n).read_bytes() for n in _KEPT if (folder / n).is_file()}
    settings = dict(tokenizer.settings)
    if "added_tokens_decoder" in settings:
        rows = sorted(tokenizer.added.values(), key=lambda row: row["id"])
        settings["added_tokens_decoder"] = {
            str(row["id"]): {key: value for key, value in row.items() if key != "id"}
            for row in rows
        }
    if SETTINGS in found:
        found[SETTINGS] = _text(settings)
    return {TOKENIZER: _text(tokenizer.document)} | found


def _put(files: dict[str, bytes], template: str) -> None:
    """Set the chat template where each version of transformers looks for it."""
    settings = as_object(files.get(SETTINGS, b"{}"), SETTINGS)
    files[SETTINGS] = _text(settings | {"chat_template": template})
    files.pop("chat_template.json", None)
    files[TEMPLATE] = template.encode()


def _text(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
