"""What the result takes over from one model: its config, made to fit the result.

The donor is the base model, or the first model that the configuration names.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from dale.merge.config.anatomy import depths
from dale.merge.config.findings import Findings
from dale.merge.config.reference import Opened
from dale.merge.config.slots import Lengths
from dale.merge.heads import TIE, stated
from dale.merge.job import Job

_TYPES = ("dtype", "torch_dtype")
_WHERE = {
    "encoder": ("encoder_layers", "num_layers", "num_hidden_layers"),
    "decoder": ("decoder_layers", "num_decoder_layers", "num_hidden_layers"),
}
"""Where a module's number of layers stands in a config."""


def edited(
    given: Mapping[str, Any],
    lengths: Sequence[Lengths],
    jobs: Iterable[Job],
    tied: bool | None,
    findings: Findings,
) -> dict[str, Any]:
    """The donor's ``config.json``, made to fit the result.

    Args:
        given: As the donor has it.
        lengths: Lists of layers that slices put together.
        jobs: Of the result, for its type.
        tied: Whether the head of the result is its table of embeddings; None if that is
            as the donor says.
        findings: For a number of layers that cannot be set.

    Returns:
        The config.
    """
    config: dict[str, Any] = json.loads(json.dumps(given))
    for length in lengths:
        _deepened(config, length, findings)
    kinds = {job.dtype for job in jobs if job.dtype.is_floating_point}
    if len(kinds) == 1:
        _typed(config, kinds.pop())
    if tied is not None and stated(config) is not tied:
        why = "all models" if tied else "not all models"
        word = str(tied).lower()
        findings.note(f"tie_word_embeddings is set to {word}, as {why} tie them")
        _tied(config, tied)
    return config


def check_depths(model: Opened, findings: Findings) -> None:
    """Hold the layers that a model has against what its config says."""
    known = depths(model.config)
    main = model.anatomy.main
    if main is None or not known:
        return
    found = model.anatomy.stacks[main]
    if found not in known.values():
        said = ", ".join(f"{'.'.join(keys)} {n}" for keys, n in known.items())
        findings.problem(
            f"{model.name}: the config says {said}, but there are {found} layers "
            f"{main}N"
        )


def _deepened(config: dict[str, Any], length: Lengths, findings: Findings) -> None:
    """Set the number of layers, and reorder lists with an entry for every layer."""
    known = {k: n for k, n in depths(config).items() if n == length.before}
    wanted = _WHERE.get(length.section or "")
    if wanted is not None:
        known = {keys: n for keys, n in known.items() if keys[-1] in wanted}
    if not known:
        findings.problem(
            f"no number of layers in the config of the donor stands for {length.stack}N"
        )
        return
    *above, last = min(known, key=lambda keys: (len(keys), keys))
    inner = config
    for key in above:
        inner = inner[key]
    inner[last] = len(length.origin)
    for key, value in inner.items():
        if isinstance(value, list) and len(value) == length.before and "layer" in key:
            inner[key] = [value[i] for i in length.origin if i < len(value)]


def _tied(config: dict[str, Any], value: bool) -> None:
    """Say whether the head is the table, wherever the config says it."""
    config[TIE] = value
    for key, inner in config.items():
        if isinstance(inner, dict) and key.endswith("config") and TIE in inner:
            inner[TIE] = value


def _typed(config: dict[str, Any], dtype: torch.dtype) -> None:
    """Say which type the result has, wherever the config says one."""
    for key, value in config.items():
        if key in _TYPES and isinstance(value, str):
            config[key] = str(dtype).removeprefix("torch.")
        elif isinstance(value, Mapping) and key.endswith("config"):
            _typed(config[key], dtype)


def as_bytes(document: Mapping[str, Any]) -> bytes:
    """A document as JSON, as it is written."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
