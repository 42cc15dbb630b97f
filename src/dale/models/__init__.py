"""Small networks for demonstrations and tests, and models of the user's own.

Every network is a plain ``torch.nn.Module`` that maps N inputs of ``shape`` to
logits of shape ``(N, C)``. Its weights are drawn from torch's global generator, so
``torch.manual_seed(seed)`` before `build` makes it the same each time.

Shape suffixes: N examples, C classes.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from dale.errors import ModelError, nearest
from dale.models.bottleneck import bottleneck
from dale.models.check import check_output, count_parameters
from dale.models.convnet import convnet
from dale.models.factory import build_factory
from dale.models.mlp import mlp
from dale.models.resnet import resnet

__all__ = [
    "MODELS",
    "Architecture",
    "bottleneck",
    "build",
    "build_factory",
    "check_output",
    "convnet",
    "count_parameters",
    "mlp",
    "resnet",
]


@dataclass(frozen=True)
class Architecture:
    """One row of `MODELS`.

    Args:
        function: Takes ``shape``, ``classes`` and settings; returns the network.
        summary: What it is, in one line.
        inputs: ``"image"`` for shape ``(channels, height, width)`` alone, ``"any"``
            for feature vectors ``(features,)`` as well.
        reference: Where it was published.
    """

    function: Callable[..., nn.Module]
    summary: str
    inputs: Literal["image", "any"]
    reference: str


MODELS = {
    "mlp": Architecture(
        mlp,
        "multilayer perceptron; images are flattened",
        "any",
        "Rumelhart, Hinton and Williams 1986, Nature 323:533",
    ),
    "convnet": Architecture(
        convnet,
        "small plain convolutional network, made for training on a CPU",
        "image",
        "Simonyan and Zisserman 2015, arXiv:1409.1556; Lin et al. 2014, "
        "arXiv:1312.4400 (global average pooling)",
    ),
    "resnet": Architecture(
        resnet,
        "residual network of 6n + 2 layers for small images",
        "image",
        "He et al. 2016, arXiv:1512.03385, section 4.2",
    ),
    "bottleneck": Architecture(
        bottleneck,
        "deep residual network of bottleneck blocks: ResNet-50, -101, -152",
        "image",
        "He et al. 2016, arXiv:1512.03385, section 4.1",
    ),
}
"""Name of a network to what builds it."""


def build(
    name: str, shape: tuple[int, ...], classes: int, **settings: Any
) -> nn.Module:
    """Build a network of `MODELS` by name.

    Args:
        name: A key of `MODELS`.
        shape: One input's shape: ``(channels, height, width)`` or ``(features,)``.
        classes: Number of classes C, at least 2.
        settings: Keyword arguments of the row's function.

    Returns:
        The network, in training mode, on the CPU, in float32. Its weights depend on
        torch's global generator alone: seed it first.

    Raises:
        ModelError: The name or a setting is unknown, a value is out of range, or there
            is not enough memory.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> model = build("mlp", (1, 8, 8), 10, hidden=(32,))
        >>> model(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])
        >>> build("convnett", (1, 8, 8), 10)
        Traceback (most recent call last):
        dale.errors.ModelError: unknown model 'convnett'; did you mean 'convnet'?
    """
    if name not in MODELS:
        raise ModelError(f"unknown model {name!r}; {nearest(name, MODELS)}")
    function = MODELS[name].function
    known = set(inspect.signature(function).parameters) - {"shape", "classes"}
    for setting in settings:
        if setting not in known:
            hint = nearest(setting, known)
            raise ModelError(f"{name} has no setting {setting!r}; {hint}")
    try:
        return function(shape=shape, classes=classes, **settings)
    except (RuntimeError, MemoryError) as error:  # as PyTorch says it, in many words
        raise ModelError(f"{name} {settings} does not fit into memory") from error
