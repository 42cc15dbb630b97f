"""From the name of a model to its folder and its weights; nothing is downloaded."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dale.errors import CorruptError, DaleError, WeightsError
from dale.merge.config.anatomy import Anatomy
from dale.merge.config.schema import Place, Reference
from dale.merge.engine import opened
from dale.merge.tokens.rows import layout_in
from dale.weights import Weights, adapted
from dale.weights.lora import ADAPTER, adapter_base
from dale.weights.match import ties_of


@dataclass(frozen=True, eq=False)
class Opened:
    """A model that was found.

    Attributes:
        name: As the configuration has it.
        folder: Where its config and tokenizer lie; None for a single file.
        weights: Its tensors, which stay on the disk.
        config: What its ``config.json`` says, if there is one.
    """

    name: str
    folder: Path | None
    weights: Weights
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folders(self) -> list[Path]:
        """Those that it is read from: its own, and that of an adapter."""
        places = (self.folder, getattr(self.weights, "path", None))
        return [path for path in places if path is not None and path.is_dir()]

    @cached_property
    def anatomy(self) -> Anatomy:
        """Its layers."""
        return Anatomy(tuple(self.weights))

    @cached_property
    def ties(self) -> dict[str, str]:
        """Names that are stored under another one."""
        return ties_of(self.weights)


def open_model(reference: Reference, near: Path) -> Opened:
    """Find a model and read its headers.

    Args:
        reference: As the configuration has it.
        near: Folder of the configuration, in which relative paths may begin too.

    Returns:
        The model.

    Raises:
        WeightsError: There is none, or it is of a kind that cannot be read.
        CorruptError: A file is truncated, altered, or not what its index promises.
    """
    path = find(reference.model, near, whole=str(reference))
    if path is None:
        raise WeightsError(f"{reference}: {_missing(reference.model)}")
    whole = find(Place(path=str(reference)), near) == path
    folder = _described(path)
    config = {} if folder is None else read_json(folder / "config.json")
    if "quantization_config" in config:
        kind = config["quantization_config"]
        name = kind.get("quant_method", "") if isinstance(kind, Mapping) else ""
        raise WeightsError(
            f"{reference}: {name} weights are quantised; merge the model that they "
            "were made from".replace(":  ", ": ")
        )
    lora = None if whole else _adapter(reference, near)
    try:
        weights = opened(path) if lora is None else adapted(path, lora)
        layout_in(weights)  # types that are unknown are found here
        return Opened(str(reference), folder, weights, config)
    except DaleError as error:
        shown = str(error)
        at = "" if str(path) in shown else f"{reference}: "
        raise type(error)(f"{at}{shown}") from None


def _described(path: Path) -> Path | None:
    """The folder of config and tokenizer; that of the base, for an adapter alone."""
    if not path.is_dir():
        return None
    alone = (path / ADAPTER).is_file() and not (path / "config.json").is_file()
    return Path(adapter_base(path)) if alone else path


def _adapter(reference: Reference, near: Path) -> Path | None:
    if reference.lora is None:
        return None
    path = find(reference.lora, near)
    if path is None:
        raise WeightsError(f"{reference}: {reference.lora}: {_missing(reference.lora)}")
    return path


def find(place: Place, near: Path, whole: str = "") -> Path | None:
    """Where a model lies on this machine, if it does.

    Args:
        place: A path, or a name on the hub.
        near: A folder in which relative paths may begin, beside the working folder.
        whole: All of what was written; a path may hold ``@`` and ``+`` itself.

    Returns:
        A folder or a file; for names on the hub, that of the local cache.
    """
    for text in (whole, str(place), place.path):
        for start in (Path(), near):
            path = start / Path(text).expanduser()
            if text and os.path.exists(path):
                return path
    return _cached(place)


def _cached(place: Place) -> Path | None:
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    hub = Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()
    folder = hub / f"models--{place.path.replace('/', '--')}"
    revision = place.revision or "main"
    named = folder / "refs" / revision
    commit = named.read_text().strip() if os.path.isfile(named) else revision
    path = folder / "snapshots" / commit
    return path if os.path.isdir(path) else None


def _missing(place: Place) -> str:
    parts = place.path.split("/")
    hub = len(parts) == 2 and all(parts) and parts[0] not in {".", "..", "~"}
    if not hub:
        return "no such file or folder"
    return "no such folder, and not in the local cache of the hub; download it first"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file with a mapping; empty if there is no such file.

    Raises:
        CorruptError: It cannot be read or holds something else.
    """
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptError(f"{path}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise CorruptError(f"{path}: expected a mapping")
    return found
