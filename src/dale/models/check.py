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

    Rows that are >= 0 and sum to 1 within 1e-4 are taken for probabilities where two
    inputs that differ from each other and from zero give such rows as well. That four
    rows of logits do so by chance is next to impossible.

    Args:
        model: On any device, with float32 parameters.
        shape: One input's shape.
        classes: Number of classes C.

    Raises:
        ModelError: A parameter is not float32; the model fails on such inputs; or what
            it returns is not a float32 tensor of shape ``(2, C)`` without NaN and
            infinity, or holds probabilities.

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
    for name, value in model.named_parameters():
        if value.is_floating_point() and value.dtype != torch.float32:
            raise ModelError(
                f"the model's parameter {name} has type {value.dtype}; expected "
                "torch.float32, the type of the inputs (convert with .float())"
            )
    zeros = torch.zeros(2, *shape)
    if not _probabilities(_logits(model, zeros, classes)):
        return
    # the second input is the first reversed, doubled and turned around
    wave = torch.arange(1, zeros[0].numel() + 1).sin().reshape(tuple(shape))
    others = torch.stack([wave, -2 * wave.flatten().flip(0).reshape(wave.shape)])
    if _probabilities(_logits(model, others, classes)):
        raise ModelError(
            "the model returns probabilities; expected logits (leave out the last "
            "softmax)"
        )


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


def _logits(model: nn.Module, inputs: Tensor, classes: int) -> Tensor:
    """What the model makes of two inputs, checked."""
    given = f"two inputs of shape {tuple(inputs.shape[1:])}"
    try:
        logits_NC = _through(model, inputs)
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
    if logits_NC.dtype != torch.float32:
        raise ModelError(
            f"the model returned {logits_NC.dtype}; expected logits of torch.float32"
        )
    if not logits_NC.isfinite().all():
        raise ModelError(f"the model returned NaN or infinite logits for {given}")
    return logits_NC


def _probabilities(rows_NC: Tensor) -> bool:
    sums_N = rows_NC.double().sum(dim=1)
    return bool((rows_NC >= 0).all() and ((sums_N - 1).abs() <= 1e-4).all())


def _through(model: nn.Module, inputs: Tensor) -> object:
    first = next((p for p in model.parameters() if p.is_floating_point()), None)
    inputs = inputs if first is None else inputs.to(first.device)
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
