"""The deep residual networks of bottleneck blocks: ResNet-50 and its like.

Shape suffixes: N examples, C classes.
"""

from typing import Literal

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

_BLOCKS = {
    14: (1, 1, 1, 1),
    26: (2, 2, 2, 2),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
"""Layers with weights to the blocks of the four stages."""
_EXPANSION = 4


def bottleneck(
    shape: tuple[int, int, int],
    classes: int,
    depth: int = 50,
    width: int = 64,
    norm: Norm = "batch",
    stem: Literal["small", "large"] = "small",
) -> nn.Module:
    """A deep residual network of bottleneck blocks; ResNet-50 by default.

    A stem, four stages with inner widths w, 2w, 4w and 8w, the second to fourth
    halving the image, then the mean over all positions and a linear layer. A block
    computes ``ReLU(x' + n(c₁(ReLU(n(c₃(ReLU(n(c₁(x)))))))))`` with normalisations n:
    a 1×1 convolution to the inner width, a 3×3 one, and a 1×1 one to four times the
    inner width. ``x'`` is ``x``, or where a stage begins its 1×1 convolution.

    Args:
        shape: One image's ``(channels, height, width)``.
        classes: Number of classes C, at least 2.
        depth: Number of layers with weights: 14, 26, 50, 101 or 152.
        width: Inner width w of the first stage.
        norm: Normalisation after each convolution: ``"batch"``, ``"group"`` or none.
        stem: ``"large"``, the paper's 7×7 convolution of stride 2 and 3×3 max-pooling
            of stride 2, for images of 224 pixels; or ``"small"``, a 3×3 convolution of
            stride 1, for images of about 32.

    Returns:
        A module from ``(N, *shape)`` to logits ``(N, C)``.

    Raises:
        ModelError: A value is out of range, or `shape` is not an image's.

    Example:
        >>> from dale.models import count_parameters
        >>> count_parameters(bottleneck((3, 224, 224), 1000, stem="large"))
        25557032

    Reference:
        He, Zhang, Ren and Sun 2016, Deep residual learning for image recognition,
        arXiv:1512.03385, section 4.1. The stride is in the 3×3 convolution, as in
        today's implementations, where the paper has it in the first 1×1 one.
    """
    channels, _, _ = image_shape("bottleneck", shape)
    at_least("bottleneck", 2, classes=classes)
    at_least("bottleneck", 1, width=width)
    one_of("bottleneck", ("small", "large"), stem=stem)
    if isinstance(depth, bool) or depth not in _BLOCKS:
        known = ", ".join(map(str, _BLOCKS))
        raise ModelError(f"bottleneck: depth is {depth!r}; expected one of {known}")
    model = BottleneckResNet(channels, classes, _BLOCKS[depth], width, norm, stem)
    he_init(model)
    if norm == "batch":
        channels_last(model)
    return model


class BottleneckResNet(nn.Module):
    """A stem and four stages of bottleneck blocks; see `bottleneck`.

    Args:
        channels: Of the input.
        classes: Number of classes C.
        blocks: Blocks of each stage.
        width: Inner width of the first stage.
        norm: As for `bottleneck`.
        stem: As for `bottleneck`.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        blocks: tuple[int, ...],
        width: int,
        norm: str,
        stem: str,
    ) -> None:
        super().__init__()
        large = stem == "large"
        self.stem = nn.Sequential(
            _conv(channels, width, 7, 2) if large else _conv(channels, width, 3, 1),
            norm_2d("bottleneck", norm, width),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1) if large else nn.Identity(),
        )
        stages, inputs = [], width
        for index, count in enumerate(blocks):
            inner = width * 2**index
            outputs, stage = _EXPANSION * inner, []
            for place in range(count):
                stride = 2 if index and not place else 1
                stage.append(Bottleneck(inputs, inner, stride, norm))
                inputs = outputs
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(inputs, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, C)`` of images ``(N, channels, height, width)``."""
        return self.head(self.flatten(self.pool(self.stages(self.stem(images)))))


class Bottleneck(nn.Module):
    """Three convolutions, narrow in the middle, and the way around them.

    Args:
        inputs: Channels that come in.
        inner: Channels of the 3×3 convolution; four times as many go out.
        stride: Of the 3×3 convolution.
        norm: As for `bottleneck`.
    """

    def __init__(self, inputs: int, inner: int, stride: int, norm: str) -> None:
        super().__init__()
        outputs = _EXPANSION * inner
        self.conv1 = _conv(inputs, inner, 1, 1)
        self.norm1 = norm_2d("bottleneck", norm, inner)
        self.conv2 = _conv(inner, inner, 3, stride)
        self.norm2 = norm_2d("bottleneck", norm, inner)
        self.conv3 = _conv(inner, outputs, 1, 1)
        self.norm3 = norm_2d("bottleneck", norm, outputs)
        self.relu = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride > 1:
            self.shortcut = nn.Sequential(
                _conv(inputs, outputs, 1, stride), norm_2d("bottleneck", norm, outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Images with four times the inner width of channels."""
        hidden = self.relu(self.norm1(self.conv1(x)))
        hidden = self.relu(self.norm2(self.conv2(hidden)))
        return self.relu(self.shortcut(x) + self.norm3(self.conv3(hidden)))


def _conv(inputs: int, outputs: int, size: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
