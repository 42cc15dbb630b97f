"""What the networks share: checks of settings, normalisation, first weights."""

from math import gcd
from typing import Literal

import torch
from torch import nn

from dale.errors import ModelError

Norm = Literal["batch", "group", "none"]


def image_shape(name: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """`shape` as channels, height and width.

    Raises:
        ModelError: It has not three axes, or an axis is empty.

    Example:
        >>> image_shape("convnet", (64,))
        Traceback (most recent call last):
        dale.errors.ModelError: convnet needs images of shape (channels, height, width);
        the data has shape (64,)
    """
    if len(shape) != 3 or min(shape) < 1:
        raise ModelError(
            f"{name} needs images of shape (channels, height, width); the data has "
            f"shape {tuple(shape)}"
        )
    channels, height, width = shape
    return channels, height, width


def at_least(name: str, least: int, **values: int) -> None:
    """Refuse what is no whole number, or one below `least`.

    Raises:
        ModelError: It names the setting and its value.

    Example:
        >>> at_least("mlp", 1, width=0)
        Traceback (most recent call last):
        dale.errors.ModelError: mlp: width is 0; expected a whole number of at least 1
    """
    for key, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ModelError(
                f"{name}: {key} is {value!r}; expected a whole number of at least "
                f"{least}"
            )


def share(name: str, **values: float) -> None:
    """Refuse a value outside ``[0, 1)``.

    Raises:
        ModelError: It names the setting and its value.

    Example:
        >>> share("mlp", dropout=1.0)
        Traceback (most recent call last):
        dale.errors.ModelError: mlp: dropout is 1.0; expected a value in [0, 1)
    """
    for key, value in values.items():
        if not 0 <= value < 1:
            raise ModelError(f"{name}: {key} is {value!r}; expected a value in [0, 1)")


def one_of(name: str, known: tuple[str, ...], **values: str) -> None:
    """Refuse a choice that does not exist.

    Raises:
        ModelError: It names the setting, its value and the choices.

    Example:
        >>> one_of("mlp", ("batch", "none"), norm="bach")
        Traceback (most recent call last):
        dale.errors.ModelError: mlp: norm is 'bach'; expected one of batch, none
    """
    for key, value in values.items():
        if value not in known:
            raise ModelError(
                f"{name}: {key} is {value!r}; expected one of {', '.join(known)}"
            )


def norm_2d(name: str, norm: str, channels: int) -> nn.Module:
    """Normalisation over the channels of images.

    Group normalisation (Wu and He 2018, arXiv:1803.08494) takes 8 groups where that
    divides the channels, else their greatest common divisor.

    Example:
        >>> norm_2d("convnet", "group", 12).num_groups
        4
    """
    one_of(name, ("batch", "group", "none"), norm=norm)
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "group":
        return nn.GroupNorm(gcd(8, channels), channels)
    return nn.Identity()


def he_init(module: nn.Module) -> None:
    """Draw the weights of convolutions as He et al. 2015 (arXiv:1502.01852) do.

    Normal with variance ``2 / (outputs of the kernel)``, which keeps the size of
    gradients through ReLU; biases are 0.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> layer = nn.Conv2d(1, 64, 3)
        >>> he_init(layer)
        >>> bool(abs(layer.weight.std() - (2 / (64 * 9)) ** 0.5) < 0.005)
        True
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def channels_last(module: nn.Module) -> None:
    """Lay the weights of convolutions out with the channels innermost.

    Their outputs are then laid out so too, which makes training on a CPU about half as
    fast again. Names, shapes and values stay; loading weights keeps the layout. Only
    networks with batch normalisation get it, as ``torch.vmap`` cannot yet take group
    normalisation and pooling of images laid out so.

    Example:
        >>> layer = nn.Conv2d(2, 4, 3)
        >>> channels_last(layer)
        >>> layer.weight.shape, layer.weight.stride()
        (torch.Size([4, 2, 3, 3]), (18, 1, 6, 2))
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            weight = layer.weight.data
            layer.weight.data = weight.contiguous(memory_format=torch.channels_last)
