"""Normalisation statistics of a merged network, measured on data, and so labelled."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from dale.errors import InputError
from dale.merge.moments import WORD
from dale.weights import LazyWeights, Weights, has_statistics, load, reestimate, save
from dale.weights.statistics import Batch


def refreshed(
    network: nn.Module, weights: Weights, batches: Iterable[Batch]
) -> tuple[dict[str, Tensor], str]:
    """Weights with statistics of their own, and where those are from.

    Args:
        network: The architecture, left exactly as it is.
        weights: For it, such as what `dale.merge.merge` returns.
        batches: Inputs, without labels; see `dale.weights.reestimate`.

    Returns:
        New weights, and the words ``"re-estimated on N examples"``.

    Raises:
        InputError: No layer keeps statistics, no batch, or batches that are too small.
        WeightsError: Names or shapes do not fit the network.

    Example:
        >>> import torch
        >>> net = nn.BatchNorm1d(1)
        >>> refreshed(net, net.state_dict(), [torch.full((8, 1), 3.0)])[1]
        're-estimated on 8 examples'
    """
    if not has_statistics(network):
        raise InputError("no layer of the network keeps running statistics")
    seen = _Counted(batches)
    (new,) = reestimate(network, [weights], seen)
    return new, f"re-estimated on {seen.examples} examples"


def refresh(
    path: str | Path, network: nn.Module, batches: Iterable[Batch]
) -> dict[str, str]:
    """Re-estimate the statistics of a merged file or folder, in place.

    Files that hold statistics are replaced, each wholly or not at all; their headers
    say ``statistics: re-estimated on N examples``. The rest stays as it is.

    Args:
        path: A safetensors file, or a folder of them, such as `dale.merge.stream`
            writes.
        network: The architecture, left exactly as it is.
        batches: Inputs, without labels.

    Returns:
        The word that the headers got.

    Raises:
        InputError: No layer keeps statistics, no batch, or not safetensors.
        WeightsError: Names or shapes do not fit the network.
        DiskError: The disk refused a write.

    Example:
        >>> import torch
        >>> from dale.merge import stream
        >>> net = nn.BatchNorm1d(1)
        >>> (path,) = stream([net, net], "bn.safetensors")
        >>> LazyWeights(path).header
        {'statistics': 'from moments'}
        >>> refresh(path, net, [torch.full((8, 1), 3.0)])
        {'statistics': 're-estimated on 8 examples'}
        >>> LazyWeights(path)["running_mean"]
        tensor([3.])
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    if not files or any(file.suffix != ".safetensors" for file in files):
        raise InputError(f"{path}: expected safetensors")
    new, words = refreshed(network, load(path)[0], batches)
    for file in files:
        with LazyWeights(file) as old:
            names, header, layout = [*old], old.header, old.layout
            own = {name: new[name] for name in names}
            statistic = bool(layout.names("statistic"))
        if statistic:
            save(file, own, header | {WORD: words}, layout)
    return {WORD: words}


class _Counted(Iterable[Batch]):
    """Batches, counted as they go by."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches = batches
        self.examples = 0

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._batches:
            self.examples += _length(batch)
            yield batch


def _length(batch: Batch) -> int:
    """Examples in a batch: the length of its first tensor."""
    if isinstance(batch, Tensor):
        return len(batch)
    values: Sequence[object] = (
        [*batch.values()] if isinstance(batch, Mapping) else [*batch]
    )
    return next((len(value) for value in values if isinstance(value, Tensor)), 0)
