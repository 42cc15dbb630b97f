"""Weights out of PyTorch's own files, without unpickling code."""

import pickle
from collections.abc import Mapping
from pathlib import Path

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
_INNER = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_OUTER = "module."
_COUNT = "n_averaged"


def read_checkpoint(
    path: str | Path, key: str | None = None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Named tensors of a file that ``torch.save`` wrote.

    A dictionary around them is opened when one of the usual keys (``state_dict``,
    ``model``, …) holds it. Names lose what wrappers added: ``module.`` when every name
    has it, and ``_orig_mod.`` and its like anywhere.

    Args:
        path: The file. It is read with ``weights_only=True``.
        key: Which entry holds the weights, dots for nested ones, when several could.

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
    content = _read(path)
    found = _inside(content, key, path) if key is not None else _unwrap(content, path)
    odd = [name for name, value in found.items() if not isinstance(value, Tensor)]
    if odd:
        raise WeightsError(f"{path}: entries that are not tensors: {listing(odd)}")
    header = {}
    if _COUNT in found and all(n.startswith(_OUTER) for n in found if n != _COUNT):
        header[_COUNT] = str(int(found.pop(_COUNT)))
    return _renamed({str(n): t.detach() for n, t in found.items()}, path), header


def _read(path: Path) -> object:
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise CorruptError(f"{path}: the file is empty")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).split("\n", 1)[0]
        refused = "Unsupported" in str(error) or "not an allowed global" in str(error)
        if refused:
            raise WeightsError(
                f"{path}: holds more than tensors, which dale never unpickles; save "
                f"model.state_dict() alone ({reason})"
            ) from error
        raise CorruptError(f"{path}: not a PyTorch file: {reason}") from error
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes make the reader fail in any way at all
        reason = str(error).split("\n", 1)[0]
        raise CorruptError(f"{path}: not a whole PyTorch file: {reason}") from error


def _inside(content: object, key: str, path: Path) -> dict[str, Tensor]:
    for part in key.split("."):
        if not isinstance(content, Mapping) or part not in content:
            known = listing(map(str, content)) if isinstance(content, Mapping) else ""
            raise WeightsError(f"{path}: no entry {part!r} of {key!r}; found {known}")
        content = content[part]
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: {key!r} is a {type(content).__name__}")
    return dict(content)


def _unwrap(content: object, path: Path) -> dict[str, Tensor]:
    while isinstance(content, Mapping):
        if all(isinstance(value, Tensor) for value in content.values()):
            return dict(content)
        inner = [k for k in _WRAPPERS if isinstance(content.get(k), Mapping)]
        if len(inner) != 1:
            held = [str(k) for k, v in content.items() if isinstance(v, Mapping)]
            raise WeightsError(
                f"{path}: cannot tell which entry holds the weights, name it with key; "
                f"found {listing(held or map(str, content))}"
            )
        content = content[inner[0]]
    kind = type(content).__name__
    raise WeightsError(f"{path}: expected named tensors, found {kind}")


def _renamed(weights: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    names = {name: name for name in weights}
    for part in _INNER:
        names = {name: short.replace(part, "") for name, short in names.items()}
    while names and all(short.startswith(_OUTER) for short in names.values()):
        names = {name: short.removeprefix(_OUTER) for name, short in names.items()}
    if len(set(names.values())) != len(names):
        raise WeightsError(f"{path}: two names are equal once prefixes are removed")
    return {names[name]: tensor for name, tensor in weights.items()}
