"""Whether a model fits the data, and how big it is.

Shape suffixes: N examples, C classes.
"""

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from dale.errors import ModelError
from dale.factories import one_line


def check_output(model: nn.Module, shape: tuple[int, ...], classes: int) -> None:
    """Raise unless the model turns two inputs into two rows of finite logits.

    Two zero inputs are run in evaluation mode, without gradients. The mode of every
    part, the weights, the buffers and torch's generators are afterwards as before.

    Args:
        model: On any device, with parameters of any floating type.
        shape: One input's shape.
        classes: Number of classes C.

    Raises:
        ModelError: The model fails on such inputs, or what it returns is not a
            floating tensor of shape ``(2, C)`` without NaN and infinity.

    Example:
        >>> check_output(nn.Sequential(nn.Flatten(), nn.Linear(64, 7)), (1, 8, 8), 10)
        Traceback (most recent call last):
        dale.errors.ModelError: the model returned shape (2, 7); expected (2, 10), one
        logit per class for two inputs of shape (1, 8, 8)
    """
    lazy = [name for name, value in model.named_parameters() if is_lazy(value)]
    if lazy:
        raise ModelError(
            f"the model's parameters {', '.join(lazy)} have no shape yet; run it once "
            "on an example first"
        )
    given = f"two inputs of shape {tuple(shape)}"
    try:
        logits_NC = _zeros_through(model, shape)
    except Exception as cause:
        raise ModelError(f"the model fails on {given}: {one_line(cause)}") from cause
    if not isinstance(logits_NC, Tensor):
        kind = type(logits_NC).__name__
        raise ModelError(f"the model returned {kind}; expected a tensor of logits")
    if tuple(logits_NC.shape) != (2, classes):
        raise ModelError(
            f"the model returned shape {tuple(logits_NC.shape)}; expected "
            f"{(2, classes)}, one logit per class for {given}"
        )
    if not logits_NC.is_floating_point():
        raise ModelError(
            f"the model returned {logits_NC.dtype}; expected floating-point logits"
        )
    if not logits_NC.isfinite().all():
        raise ModelError(f"the model returned NaN or infinite logits for {given}")


def count_parameters(model: nn.Module, trainable: bool = False) -> int:
    """Number of values in the parameters; a shared parameter counts once.

    Args:
        model: Any module.
        trainable: Count only parameters that require a gradient.

    Returns:
        The number of values.

    Example:
        >>> count_parameters(nn.Linear(8, 3))
        27
    """
    return sum(
        parameter.numel()
        for parameter in model.parameters()
        if parameter.requires_grad or not trainable
    )


def _zeros_through(model: nn.Module, shape: tuple[int, ...]) -> object:
    first = next((p for p in model.parameters() if p.is_floating_point()), None)
    inputs = (
        torch.zeros(2, *shape)
        if first is None
        else torch.zeros(2, *shape, device=first.device, dtype=first.dtype)
    )
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    modes = [(part, part.training) for part in model.modules()]
    try:
        model.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=_devices(inputs)):
            return torch.func.functional_call(model, buffers, (inputs,))
    finally:
        for part, mode in modes:
            part.training = mode


def _devices(inputs: Tensor) -> list[torch.device]:
    return [inputs.device] if inputs.is_cuda else []
