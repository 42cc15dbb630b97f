"""Weights in and out of networks and files."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from dale.files import replacing
from dale.weights.algebra import copied
from dale.weights.container import Sealed, seal, write
from dale.weights.digest import digest
from dale.weights.layout import Layout, state_of
from dale.weights.lazy import LazyWeights
from dale.weights.match import Weights, check_match, check_ties, ties_of
from dale.weights.opening import open_weights


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """A snapshot of a network: detached clones of its state, buffers included.

    Args:
        module: Any network.

    Returns:
        One tensor for every name of ``module.state_dict()``; tied names share one.

    Raises:
        WeightsError: Part of the state is not a tensor or has no shape yet.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> before = weights_of(net)
        >>> _ = nn.init.zeros_(net.weight)
        >>> bool(before["weight"].any())
        True
    """
    return copied(state_of(module))


@torch.no_grad()
def load_into(module: nn.Module, weights: Weights) -> None:
    """Copy weights into a network; names and shapes must fit exactly.

    Values are cast to the network's types and devices. Nothing is copied when
    anything does not fit.

    Args:
        module: The network to be overwritten.
        weights: One tensor for every name of ``module.state_dict()``.

    Raises:
        WeightsError: Names or shapes differ, or names tied in the network differ.

    Example:
        >>> net = nn.Linear(1, 1, bias=False)
        >>> load_into(net, {"weight": torch.tensor([[3.0]])})
        >>> net.weight.item()
        3.0
    """
    state = state_of(module)
    name = type(module).__name__
    check_match(state, weights, f"weights for {name}")
    check_ties(state, weights, f"weights for {name}")
    for key, target in state.items():
        target.copy_(weights[key])


def save(
    path: str | Path,
    weights: Weights,
    header: Mapping[str, str],
    layout: Layout | None = None,
) -> str:
    """Write weights to a safetensors file: wholly, or not at all.

    Tensors may lie anywhere in memory, on any device. Names that share a tensor are
    stored once; the header remembers them. Equal content gives equal bytes.

    Args:
        path: File to create or replace.
        weights: Named dense tensors.
        header: Words to keep with them.
        layout: Layout to keep with them. Its ties hold, and its order of names.

    Returns:
        The content digest, also kept in the file.

    Raises:
        WeightsError: A tensor, a name or a header entry cannot be stored, or the
            layout does not fit.
        DiskError: The disk refused; the previous file is intact.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "net.safetensors"
        >>> name = save(path, {"w": torch.ones(2)}, {"step": "3"})
        >>> load(path)
        ({'w': tensor([1., 1.])}, {'step': '3'})
    """
    if layout is not None:
        check_match(layout, weights, "weights for the layout")
        check_ties(layout, weights, "weights for the layout")
    ties = ties_of(weights) if layout is None else layout.ties
    stored = {name: weights[name] for name in weights if name not in ties}
    sealed = Sealed(dict(header), ties, layout, digest(weights))
    metadata = seal(sealed)
    with replacing(path) as temporary, temporary.open("wb") as file:
        write(file, stored, metadata)
    return str(sealed.digest)


def load(
    path: str | Path, *, key: str | None = None, verify: bool = True
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read weights and their header.

    Args:
        path: A file or a folder of any kind that `open_weights` knows.
        key: For PyTorch files, which entry holds the weights.
        verify: Compare the content with the digest in the file, where there is one.

    Returns:
        Weights on the CPU, in memory of their own, and the header. Tied names share
        one tensor.

    Raises:
        WeightsError: Nothing readable at this path.
        CorruptError: Truncated, altered or not what the name says.
        SchemaError: A newer version of dale wrote the file.

    Example:
        >>> load("absent.safetensors")
        Traceback (most recent call last):
            ...
        dale.errors.WeightsError: absent.safetensors: no such file
    """
    opened = open_weights(path, key)
    try:
        weights = copied(opened)
        if verify and isinstance(opened, LazyWeights):
            opened.verify(weights)
        return weights, dict(opened.header)
    finally:
        opened.close()
