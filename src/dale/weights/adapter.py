"""What a folder of PEFT's LoRA adapters says: which tensors, how scaled, for whom."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from dale.errors import CorruptError, WeightsError
from dale.weights.lazy import LazyWeights
from dale.weights.mapped import MappedWeights
from dale.weights.match import listing

ADAPTER = "adapter_config.json"
_FILES = ("adapter_model.safetensors", "adapter_model.bin")
_PREFIX = "base_model.model."
_PART = re.compile(
    r"^(?P<module>.+?)\.(?P<part>lora_A|lora_B|lora_embedding_A|lora_embedding_B"
    r"|lora_magnitude_vector)(?:\.(?!weight$|bias$)\w+)?(?P<leaf>\.weight|\.bias)?$"
)
_COPY = re.compile(r"\.modules_to_save\.\w+(?=\.)|\.modules_to_save(?=\.)|\.base_layer")
_REFUSED = (
    "layer_replication",
    "target_parameters",
    "trainable_token_indices",
    "megatron_config",
    "alora_invocation_tokens",
    "use_qalora",
    "use_bdlora",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
)
"""Settings of PEFT under which an adapter is more than ``base + scale · B A``."""
_MOVING = ("pissa", "corda", "olora", "loftq", "lora_ga")
"""Ways to begin that take something out of the base, which then is not the base."""


@dataclass
class Target:
    """The adapter of one layer, by names of tensors in its file.

    Attributes:
        down: The matrix A, ``[r, in]``.
        up: The matrix B, ``[out, r]``.
        embedding: A is ``[r, entries]`` of a table, B is ``[width, r]``.
        bias: What is added to the layer's bias, ``[out]``, scaled.
        magnitude: Lengths of the rows of the result, of DoRA.
        scale: ``alpha / r``, or ``alpha / √r`` if stabilised by rank.
    """

    down: str = ""
    up: str = ""
    embedding: bool = False
    bias: str | None = None
    magnitude: str | None = None
    scale: float = 0.0


@dataclass
class Adapter:
    """An adapter, opened.

    Attributes:
        path: Its folder.
        config: What ``adapter_config.json`` says.
        tensors: Those of its file, lazily.
        targets: By the name of the layer.
        replaced: Names of whole tensors that stand in for those of the base, and
            their names in the file.
    """

    path: Path
    config: dict[str, Any]
    tensors: Mapping[str, Tensor]
    targets: dict[str, Target] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)

    @property
    def added(self) -> set[str]:
        """Layers whose tensors the base may lack, such as a head tied in it."""
        return {*(self.config.get("modules_to_save") or ())}


def read_adapter(path: str | Path) -> Adapter:
    """Open an adapter that PEFT saved.

    Raises:
        WeightsError: Not a LoRA adapter, or one that cannot be merged.
        CorruptError: A truncated file, or one that lacks part of a layer's adapter.
    """
    path = Path(path)
    config = read_config(path)
    check_config(path, config)
    adapter = Adapter(path, config, _tensors(path))
    for name in adapter.tensors:
        _sort(adapter, name)
    for module, target in adapter.targets.items():
        if not target.down or not target.up:
            raise CorruptError(f"{path}: {module!r} lacks one of its two matrices")
        target.scale = _scale(adapter, module, target)
    return adapter


def read_config(path: Path) -> dict[str, Any]:
    """What ``adapter_config.json`` says.

    Raises:
        WeightsError: There is none.
        CorruptError: It is not a JSON object.
    """
    file = path / ADAPTER
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise WeightsError(f"{path}: not an adapter; no {ADAPTER} in it") from None
    except ValueError as error:
        raise CorruptError(f"{file}: not JSON: {error}") from error
    if not isinstance(config, dict):
        raise CorruptError(f"{file}: expected an object")
    return config


def check_config(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse what is more than ``base + scale · B A``, by name.

    Raises:
        WeightsError: It is.
    """
    kind = str(config.get("peft_type", "LORA"))
    if kind.upper() != "LORA":
        raise WeightsError(f"{path}: {kind} adapters cannot be merged, only LORA")
    switches = [name for name in _REFUSED if config.get(name)]
    if switches:
        raise WeightsError(f"{path}: adapters with {listing(switches)} are not known")
    start = str(config.get("init_lora_weights", "")).lower()
    if start.startswith(_MOVING):
        raise WeightsError(
            f"{path}: begun by {start}, which changed the base; convert it to plain "
            "LoRA with PEFT first"
        )


def _tensors(path: Path) -> Mapping[str, Tensor]:
    for name in _FILES:
        if (path / name).is_file():
            file = path / name
            safe = file.suffix == ".safetensors"
            return LazyWeights(file) if safe else MappedWeights.read([file])
    raise WeightsError(f"{path}: expected {' or '.join(_FILES)}")


def _sort(adapter: Adapter, name: str) -> None:
    short = _COPY.sub("", name.removeprefix(_PREFIX))
    match = _PART.match(short)
    if "original_module" in name:
        return
    if match is None:
        if ".lora_" in short or "trainable_tokens" in short:
            raise WeightsError(f"{adapter.path}: {name!r} is a tensor of unknown use")
        adapter.replaced.setdefault(short, name)
        return
    part, leaf = match["part"], match["leaf"]
    target = adapter.targets.setdefault(match["module"], Target())
    target.embedding |= "embedding" in part
    if part == "lora_magnitude_vector":
        target.magnitude = name
    elif part.endswith("A"):
        target.down = name
    elif leaf == ".bias":
        target.bias = name
    else:
        target.up = name


def _scale(adapter: Adapter, module: str, target: Target) -> float:
    config = adapter.config
    rank = adapter.tensors[target.down].shape[0]
    stated = _of_pattern(config.get("rank_pattern"), module, config.get("r", rank))
    if rank != stated:
        raise WeightsError(
            f"{adapter.path}: {module!r} has rank {rank}, its configuration says "
            f"{stated}"
        )
    alpha = _of_pattern(config.get("alpha_pattern"), module, config.get("lora_alpha"))
    if not isinstance(alpha, int | float):
        raise WeightsError(f"{adapter.path}: lora_alpha must be a number, is {alpha!r}")
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _of_pattern(pattern: Mapping[str, Any] | None, module: str, default: Any) -> Any:
    """The first entry that is the end of a layer's name, as a regular expression."""
    for key, value in (pattern or {}).items():
        if re.match(rf"(.*\.)?({key})$", module):
            return value
    return default
