"""The residual network for small images.

Shape suffixes: N examples, C classes.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from dale.errors import ModelError
from dale.models.layers import (
    Norm,
    at_least,
    channels_last,
    he_init,
    image_shape,
    norm_2d,
    one_of,
)


def resnet(
    shape: tuple[int, int, int],
    classes: int,
    depth: int = 20,
    width: int = 16,
    norm: Norm = "batch",
    shortcut: Literal["conv", "pad"] = "conv",
) -> nn.Module:
    """A residual network of ``6n + 2`` layers for small images.

    A 3×3 convolution, three stages of n blocks with widths w, 2w and 4w, the second
    and third stage halving the image, then the mean over all positions and a linear
    layer. A block computes ``ReLU(x' + norm(conv(ReLU(norm(conv(x))))))``, where
    ``x'`` is ``x`` itself or, where a stage begins, the shortcut.

    Args:
        shape: One image's ``(channels, height, width)``.
        classes: Number of classes C, at least 2.
        depth: Number of layers with weights: 8, 14, 20, 32, 44, 56, 110, …
        width: Channels w of the first stage.
        norm: Normalisation after each convolution: ``"batch"``, ``"group"`` or none.
        shortcut: What halves the image beside a block: ``"conv"``, a 1×1 convolution
            of stride 2 with normalisation (option B of the paper), or ``"pad"``, every
            second pixel with zeros as new channels (option A, no parameters).

    Returns:
        A module from ``(N, *shape)`` to logits ``(N, C)``.

    Raises:
        ModelError: A value is out of range, or `shape` is not an image's.

    Example:
        >>> from dale.models import count_parameters
        >>> count_parameters(resnet((3, 32, 32), 10, shortcut="pad"))
        269722

    Reference:
        He, Zhang, Ren and Sun 2016, Deep residual learning for image recognition,
        arXiv:1512.03385, section 4.2. Ours takes option B by default where the paper's
        CIFAR-10 networks take option A: with it no two stages share channels, so each
        stage can be permuted on its own when networks are aligned.
    """
    channels, _, _ = image_shape("resnet", shape)
    at_least("resnet", 2, classes=classes)
    at_least("resnet", 1, width=width)
    one_of("resnet", ("conv", "pad"), shortcut=shortcut)
    if isinstance(depth, bool) or depth < 8 or (depth - 2) % 6:
        raise ModelError(
            f"resnet: depth is {depth!r}; expected 6n + 2, such as 8, 14, 20, 32 or 56"
        )
    model = ResNet(channels, classes, (depth - 2) // 6, width, norm, shortcut)
    he_init(model)
    if norm == "batch":
        channels_last(model)
    return model


class ResNet(nn.Module):
    """Three stages of residual blocks; see `resnet`.

    Args:
        channels: Of the input.
        classes: Number of classes C.
        blocks: Blocks n in each stage.
        width: Channels of the first stage.
        norm: As for `resnet`.
        shortcut: As for `resnet`.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        blocks: int,
        width: int,
        norm: str,
        shortcut: str,
    ) -> None:
        super().__init__()
        self.conv = _conv(channels, width, 3, 1)
        self.norm = norm_2d("resnet", norm, width)
        self.relu = nn.ReLU()
        stages, inputs = [], width
        for outputs in (width, 2 * width, 4 * width):
            first = Block(inputs, outputs, norm, shortcut)
            rest = [Block(outputs, outputs, norm, shortcut) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(first, *rest))
            inputs = outputs
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(4 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, C)`` of images ``(N, channels, height, width)``."""
        hidden = self.relu(self.norm(self.conv(images)))
        hidden = self.pool(self.stages(hidden))
        return self.head(self.flatten(hidden))


class Block(nn.Module):
    """Two convolutions and the way around them; it halves the image if it widens.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out, equal to `inputs` or twice as many.
        norm: As for `resnet`.
        shortcut: As for `resnet`.
    """

    def __init__(self, inputs: int, outputs: int, norm: str, shortcut: str) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1 = _conv(inputs, outputs, 3, stride)
        self.norm1 = norm_2d("resnet", norm, outputs)
        self.conv2 = _conv(outputs, outputs, 3, 1)
        self.norm2 = norm_2d("resnet", norm, outputs)
        self.relu = nn.ReLU()
        self.shortcut = _shortcut(inputs, outputs, norm, shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(N, outputs, height, width)``."""
        hidden = self.relu(self.norm1(self.conv1(x)))
        return self.relu(self.shortcut(x) + self.norm2(self.conv2(hidden)))


class Pad(nn.Module):
    """Every second pixel, with channels of zeros behind those that are there.

    Args:
        extra: Channels to add.
    """

    def __init__(self, extra: int) -> None:
        super().__init__()
        self.extra = extra

    def forward(self, x: Tensor) -> Tensor:
        """Images of half the height and width."""
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.extra))


def _conv(inputs: int, outputs: int, size: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


def _shortcut(inputs: int, outputs: int, norm: str, kind: str) -> nn.Module:
    if inputs == outputs:
        return nn.Identity()
    if kind == "pad":
        return Pad(outputs - inputs)
    return nn.Sequential(_conv(inputs, outputs, 1, 2), norm_2d("resnet", norm, outputs))
