"""From a network and examples to logits.

Shapes: M members, N examples, C classes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dale.data import Split
from dale.errors import ModelError
from dale.factories import one_line
from dale.store import Member, PredictionCache, Predictions, Run
from dale.weights import Weights, load_into


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, without gradients; every submodule's mode is put back after.

    Yields:
        Nothing.
    """
    modes = {name: child.training for name, child in module.named_modules()}
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for name, child in module.named_modules():
            child.training = modes[name]


def infer(module: nn.Module, split: Split, *, batch: int = 512) -> Tensor:
    """Logits of a network on a split.

    Args:
        module: The network, on any device; it is left as it was.
        split: N examples, not augmented.
        batch: Examples at once.

    Returns:
        float32 ``[N, C]`` on the CPU, in the split's order.

    Raises:
        ModelError: The network fails, or its output is not one row of logits for
            each example.

    Example:
        >>> from dale.data import load
        >>> from dale.models import build
        >>> data = load("digits")
        >>> model = build("mlp", data.shape, data.classes)
        >>> infer(model, data.splits["val"]).shape[1]
        10
    """
    chosen = torch.arange(len(split)).split(batch)
    return _logits(module, (split.batch(rows) for rows in chosen))


def _logits(module: nn.Module, batches: Iterable[Tensor]) -> Tensor:
    tensors = [*module.parameters(), *module.buffers()]
    device = tensors[0].device if tensors else torch.device("cpu")
    found = []
    with evaluating(module):
        for inputs in batches:
            logits = _called(module, inputs.to(device))
            if not isinstance(logits, Tensor) or logits.shape[:-1] != inputs.shape[:1]:
                kind = type(logits).__name__
                shape = tuple(logits.shape) if isinstance(logits, Tensor) else kind
                raise ModelError(
                    f"the model returned {shape} for {len(inputs)} examples; expected "
                    f"({len(inputs)}, classes)"
                )
            found.append(logits.to("cpu", torch.float32))
    return torch.cat(found).clone()


def _called(module: nn.Module, inputs: Tensor) -> object:
    try:
        return module(inputs)
    except Exception as cause:
        raise ModelError(
            f"the model failed in evaluation mode on inputs of shape "
            f"{tuple(inputs.shape)}: {one_line(cause)}"
        ) from cause


def predict(
    run: Run,
    cache: PredictionCache,
    module: nn.Module,
    split_name: str,
    split: Split,
    members: list[Member],
    watch: Callable[[Member], None] = lambda member: None,
) -> Predictions:
    """Logits of members on a split: from the cache where it has them.

    Args:
        run: The run folder, held for writing.
        cache: Its predictions.
        module: The architecture; its weights are overwritten.
        split_name: Name of the split.
        split: The examples.
        members: Whose logits are wanted.
        watch: Called with each member that the network was run for.

    Returns:
        The predictions, in the members' order.
    """
    digest = split.digest()
    for member in members:
        if not cache.has(member, split_name, digest):
            load_into(module, run.population.weights(member))
            logits_NC = infer(module, split)
            cache.put(member, split_name, digest, logits_NC, split.targets_N)
            watch(member)
    return cache.get(members, split_name, digest)


def infer_members(
    module: nn.Module,
    weights_M: Sequence[Callable[[], Weights]],
    split: Split,
    *,
    held: int = 2**25,
) -> Tensor:
    """Logits of several members on a split whose inputs are dear to make.

    Each input is made once: the inputs are held in memory, a part of the split at a
    time, while the members take turns.

    Args:
        module: The architecture; its weights are overwritten.
        weights_M: Give the weights of each member.
        split: N examples.
        held: Values of inputs that may be in memory at a time.

    Returns:
        float32 ``[M, N, C]`` on the CPU.

    Raises:
        ModelError: As `infer`.
    """
    parts = []
    size = split.batch(torch.arange(1)).numel()
    for chosen in torch.arange(len(split)).split(max(1, held // size)):
        inputs, logits = split.batch(chosen), []
        for weights in weights_M:
            load_into(module, weights())
            logits.append(_logits(module, inputs.split(512)))
        parts.append(torch.stack(logits))
    return torch.cat(parts, dim=1)
