"""The multilayer perceptron."""

from itertools import pairwise
from math import prod
from typing import Literal

from torch import nn

from dale.errors import ModelError
from dale.models.layers import at_least, one_of, share


def mlp(
    shape: tuple[int, ...],
    classes: int,
    hidden: tuple[int, ...] = (256, 128),
    norm: Literal["none", "batch", "layer"] = "none",
    dropout: float = 0.0,
) -> nn.Sequential:
    """A multilayer perceptron: linear layers with ReLU between them.

    ``h_0 = flatten(x)``, ``h_i = dropout(ReLU(norm(W_i h_{i-1} + b_i)))``, and the
    logits are ``W h_n + b``. Weights before a ReLU are normal with variance
    ``2 / inputs`` and biases 0; the last layer starts as torch starts it.

    Args:
        shape: One input's shape, of any number of axes; it is flattened.
        classes: Number of classes C, at least 2.
        hidden: Width of each hidden layer, each at least 1; ``()`` is a linear
            classifier.
        norm: ``"batch"``, ``"layer"`` or no normalisation of hidden layers.
        dropout: Probability in ``[0, 1)`` of dropping a hidden unit.

    Returns:
        A module from ``(N, *shape)`` to logits ``(N, C)``.

    Raises:
        ModelError: A value is out of range.

    Example:
        >>> from dale.models import count_parameters
        >>> count_parameters(mlp((64,), 10, hidden=(32,)))
        2410

    Reference:
        Rumelhart, Hinton and Williams 1986, Learning representations by
        back-propagating errors, Nature 323:533. Weights start as in He et al. 2015,
        arXiv:1502.01852.
    """
    at_least("mlp", 2, classes=classes)
    at_least("mlp", 1, **{f"hidden[{i}]": width for i, width in enumerate(hidden)})
    share("mlp", dropout=dropout)
    one_of("mlp", ("none", "batch", "layer"), norm=norm)
    if not shape or min(shape) < 1:
        raise ModelError(f"mlp needs inputs that hold numbers; shape is {shape}")
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise((prod(shape), *hidden)):
        layers += _block(inputs, outputs, norm, dropout)
    layers.append(nn.Linear(hidden[-1] if hidden else prod(shape), classes))
    return nn.Sequential(*layers)


def _block(inputs: int, outputs: int, norm: str, dropout: float) -> list[nn.Module]:
    linear = nn.Linear(inputs, outputs)
    nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
    nn.init.zeros_(linear.bias)
    block: list[nn.Module] = [linear, *_norm(norm, outputs), nn.ReLU()]
    return [*block, nn.Dropout(dropout)] if dropout else block


def _norm(norm: str, width: int) -> list[nn.Module]:
    if norm == "batch":
        return [nn.BatchNorm1d(width)]
    return [nn.LayerNorm(width)] if norm == "layer" else []
