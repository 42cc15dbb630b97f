"""Weights out of PyTorch's own files, without unpickling code."""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dale.errors import CorruptError, WeightsError
from dale.weights.match import listing

SUFFIXES = {".pt", ".pth", ".bin", ".ckpt"}
_WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "net",
    "network",
    "weights",
    "params",
)
_AVERAGED = (
    "ema",
    "model_ema",
    "ema_model",
    "state_dict_ema",
    "ema_state_dict",
    "params_ema",
    "swa",
)
_INNER = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_OUTER = "module."
_COUNT = "n_averaged"
_REFUSED = ("Unsupported", "unsupported GLOBAL", "not an allowed global", "TorchScript")
"""What PyTorch says of objects that would run code."""
_ZIP = b"PK\x03\x04"


def read_checkpoint(
    path: str | Path, key: str | None = None, *, mapped: bool = False
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Named tensors of a file that ``torch.save`` wrote.

    A dictionary around them is opened when one of the usual keys (``state_dict``,
    ``model``, …) holds it, or, where there is none of these, one of those of moving
    averages (``ema``, …). Names lose what wrappers added: ``module.`` when every name
    has it, and ``_orig_mod.`` and its like anywhere.

    Args:
        path: The file. It is read with ``weights_only=True``.
        key: Which entry holds the weights, dots for nested ones, when several could.
        mapped: Leave the tensors in the file until they are used. Files of the format
            before PyTorch 1.6 are read all the same.

    Returns:
        Weights on the CPU, and a header with ``n_averaged`` if the file counts the
        models averaged into it.

    Raises:
        WeightsError: No such file, objects other than tensors, or several candidates.
        CorruptError: The file is truncated or not from ``torch.save``.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "net.pt"
        >>> torch.save({"model": {"module.w": torch.ones(2)}, "epoch": 3}, path)
        >>> read_checkpoint(path)
        ({'w': tensor([1., 1.])}, {})
    """
    path = Path(path)
    found = chosen(read_pickled(path, mapped), key, path, Tensor)
    header = {}
    if _COUNT in found and all(n.startswith(_OUTER) for n in found if n != _COUNT):
        header[_COUNT] = str(int(found.pop(_COUNT)))
    return {n: t.detach() for n, t in plain(found, path).items()}, header


def read_pickled(path: Path, mapped: bool = False) -> object:
    """What ``torch.save`` was given, if it was made of tensors and plain values.

    Raises:
        WeightsError: No such file, or objects that would run code.
        CorruptError: The file is truncated or not from ``torch.save``.
        MemoryError: The file is larger than the memory.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise CorruptError(f"{path}: the file is empty")
    try:
        zipped = mapped and _begins(path, _ZIP)
        # PyTorch warns of what the errors below say in one line.
        with warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes make the reader fail in any way at all
        refusal = _refusal(path, error)
        raise refusal from error


def _refusal(path: Path, error: Exception) -> WeightsError | CorruptError:
    """What was wrong with a file, by what PyTorch said of it."""
    reason = _first(error)
    if any(words in str(error) for words in _REFUSED):
        return WeightsError(
            f"{path}: holds more than tensors, which dale never unpickles; save "
            f"model.state_dict() alone ({reason})"
        )
    if isinstance(error, KeyError):  # the number of an instruction that no pickle has
        return CorruptError(f"{path}: not a PyTorch file")
    whole = "" if isinstance(error, pickle.UnpicklingError) else "whole "
    return CorruptError(f"{path}: not a {whole}PyTorch file: {reason}")


def chosen(
    content: object, key: str | None, path: Path, leaf: type[Any]
) -> dict[str, Any]:
    """The dictionary of weights in what a file holds.

    Args:
        content: Dictionaries in dictionaries.
        key: Which entry holds the weights, dots for nested ones; None to tell by the
            usual keys.
        path: The file, for messages.
        leaf: Type of what stands for a tensor.

    Raises:
        WeightsError: No such entry, several that could be meant, or one that holds
            something else as well.
    """
    found = _unwrap(content, path, leaf) if key is None else _inside(content, key, path)
    odd = [str(name) for name, value in found.items() if not isinstance(value, leaf)]
    if odd:
        raise WeightsError(f"{path}: entries that are not tensors: {listing(odd)}")
    return found


def _first(error: Exception) -> str:
    """The first sentence: what follows is advice on unpickling."""
    return str(error).split("\n", 1)[0].split(". ", 1)[0]


def _begins(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(mark)) == mark


def _inside(content: object, key: str, path: Path) -> dict[str, Any]:
    for part in key.split("."):
        if not isinstance(content, Mapping) or part not in content:
            known = listing(map(str, content)) if isinstance(content, Mapping) else ""
            raise WeightsError(f"{path}: no entry {part!r} of {key!r}; found {known}")
        content = content[part]
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: {key!r} is a {type(content).__name__}")
    return dict(content)


def _unwrap(content: object, path: Path, leaf: type[Any]) -> dict[str, Any]:
    while isinstance(content, Mapping):
        if all(isinstance(value, leaf) for value in content.values()):
            return dict(content)
        held = [k for k, value in content.items() if isinstance(value, Mapping)]
        inner = [k for k in _WRAPPERS if k in held] or [
            k for k in _AVERAGED if k in held
        ]
        if len(inner) != 1:
            raise WeightsError(
                f"{path}: cannot tell which entry holds the weights, name it with key; "
                f"found {listing(map(str, held or content))}"
            )
        content = content[inner[0]]
    kind = type(content).__name__
    raise WeightsError(f"{path}: expected named tensors, found {kind}")


def plain(weights: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The same under names without what wrappers of networks put before them.

    Raises:
        WeightsError: Two names are equal without it.
    """
    names = {name: str(name) for name in weights}
    for part in _INNER:
        names = {name: short.replace(part, "") for name, short in names.items()}
    while names and all(short.startswith(_OUTER) for short in names.values()):
        names = {name: short.removeprefix(_OUTER) for name, short in names.items()}
    if len(set(names.values())) != len(names):
        raise WeightsError(f"{path}: two names are equal once prefixes are removed")
    return {names[name]: value for name, value in weights.items()}
