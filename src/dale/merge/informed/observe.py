"""Running a network on given weights, without leaving a trace in it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.hooks import RemovableHandle

from dale.errors import InputError, ModelError
from dale.weights import Weights, digest_arrays
from dale.weights.layout import state_of
from dale.weights.match import check_match, check_ties, ties_of
from dale.weights.statistics import Batch


@contextmanager
def quiet(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for every part, put back at the end.

    Yields:
        Nothing.
    """
    modes = {part: part.training for part in module.modules()}
    try:
        # the attribute, not eval(): networks overload that with effects
        for part in modes:
            part.training = False
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def stand_ins(module: nn.Module, weights: Weights) -> dict[str, Tensor]:
    """The weights on the network's device and in its types, tied names once.

    Raises:
        WeightsError: Names or shapes do not fit the network.
    """
    state = state_of(module)
    name = f"weights for {type(module).__name__}"
    check_match(state, weights, name)
    check_ties(state, weights, name)
    tied = ties_of(state)
    leaders = [name for name in state if name not in tied]
    with torch.no_grad():
        return {n: torch.empty_like(state[n]).copy_(weights[n]) for n in leaders}


def called(module: nn.Module, values: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """The network's output with these tensors in place of its own."""
    if isinstance(batch, Tensor):
        return functional_call(module, dict(values), (batch,))
    if isinstance(batch, Mapping):
        return functional_call(module, dict(values), (), dict(batch))
    return functional_call(module, dict(values), tuple(batch))


def logits_of(output: object, count: int) -> Tensor:
    """The output, if it is one row of logits for each example.

    Raises:
        ModelError: It is something else.
    """
    if isinstance(output, Tensor) and output.ndim == 2 and len(output) == count:
        return output
    found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    raise ModelError(f"expected logits ({count}, classes), the model gave {found}")


def mapped(batch: Batch, function: object) -> Batch:
    """The batch with a function applied to each of its tensors."""
    if isinstance(batch, Tensor):
        return function(batch)  # type: ignore[operator]
    if isinstance(batch, Mapping):
        return {name: mapped(part, function) for name, part in batch.items()}  # type: ignore[arg-type]
    return tuple(mapped(part, function) for part in batch)  # type: ignore[arg-type]


def tensors_of(batch: Batch) -> list[Tensor]:
    """The tensors of a batch, in order.

    Raises:
        InputError: There is something else in it, or nothing.
    """
    if isinstance(batch, Tensor):
        return [batch]
    parts: Sequence[object] = [
        *(batch.values() if isinstance(batch, Mapping) else batch)
    ]
    if not parts or not all(isinstance(part, Tensor) for part in parts):
        raise InputError("a batch must hold tensors only, one or more")
    return [part for part in parts if isinstance(part, Tensor)]


def layers_of(
    module: nn.Module, kinds: tuple[type[nn.Module], ...]
) -> list[tuple[str, nn.Module]]:
    """Layers of some kinds, and the first name of the weight of each."""
    names = {id(p): name for name, p in module.named_parameters()}
    found = [part for part in module.modules() if isinstance(part, kinds)]
    pairs = [(names.get(id(getattr(part, "weight", None))), part) for part in found]
    return [(name, part) for name, part in pairs if name is not None]


def walked(
    module: nn.Module,
    weights: Weights,
    batches: Iterable[Batch],
    hooks: Callable[[], list[RemovableHandle]],
) -> "Seen":
    """Run a network on given weights, in evaluation mode, with hooks in place.

    Raises:
        InputError: A batch that is none.
        WeightsError: The weights do not fit the network.
    """
    values, seen = stand_ins(module, weights), Seen()
    placed = hooks()
    try:
        with quiet(module), torch.no_grad():
            for batch in batches:
                seen.add(*tensors_of(batch))
                called(module, values, batch)
    finally:
        for hook in placed:
            hook.remove()
    return seen


class Seen:
    """How many examples were walked over, and a digest of them."""

    def __init__(self) -> None:
        self.examples = 0
        self._hash = sha256()

    def add(self, *tensors: Tensor) -> None:
        """Count one batch; its first axis is that of the examples."""
        self.examples += len(tensors[0])
        self._hash.update(digest_arrays(*tensors).encode())

    def digest(self) -> str:
        """Of all batches in order."""
        return self._hash.hexdigest()
