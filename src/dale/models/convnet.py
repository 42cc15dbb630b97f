"""The plain convolutional network, small and fast on a CPU.

Shape suffixes: N examples, C classes.
"""

from torch import nn

from dale.models.layers import (
    Norm,
    at_least,
    channels_last,
    he_init,
    image_shape,
    norm_2d,
    share,
)

# widths of the first four blocks, in quarters of `width`; later ones keep the last
_QUARTERS = (3, 6, 8, 12)
_POOLED = 3


def convnet(
    shape: tuple[int, int, int],
    classes: int,
    width: int = 32,
    depth: int = 4,
    norm: Norm = "batch",
    dropout: float = 0.0,
) -> nn.Sequential:
    """A plain convolutional network, made for training on a CPU.

    Block i is ``ReLU(norm(pool(conv(x))))`` with a 3×3 convolution; the first three
    halve the image by max-pooling as long as it has two pixels to a side. The mean
    over all positions goes to a linear layer. With width w the blocks have 3w/4, 3w/2,
    2w and 3w channels, and 3w from there on: 24, 48, 64 and 96 by default.

    Two choices buy speed. Pooling comes before the normalisation, which then works on
    a quarter of the values. With batch normalisation the weights lie in channels-last
    order, which makes the activations so too; their names, shapes and values are those
    of any convolution.

    Args:
        shape: One image's ``(channels, height, width)``, from 1×1 pixels up; made
            for 8×8 to 64×64.
        classes: Number of classes C, at least 2.
        width: Scale w of the number of channels, at least 2.
        depth: Number of blocks, at least 1.
        norm: Normalisation in each block: ``"batch"``, ``"group"`` or none.
        dropout: Probability in ``[0, 1)`` of dropping an input of the last layer.

    Returns:
        A module from ``(N, *shape)`` to logits ``(N, C)``.

    Raises:
        ModelError: A value is out of range, or `shape` is not an image's.

    Example:
        >>> from dale.models import count_parameters
        >>> count_parameters(convnet((1, 28, 28), 10))
        94962

    Reference:
        Plain 3×3 networks: Simonyan and Zisserman 2015, arXiv:1409.1556. The mean over
        positions before the last layer: Lin, Chen and Yan 2014, arXiv:1312.4400. First
        weights: He et al. 2015, arXiv:1502.01852. Neither paper has this network.
    """
    channels, *sides = image_shape("convnet", shape)
    at_least("convnet", 2, classes=classes, width=width)
    at_least("convnet", 1, depth=depth)
    share("convnet", dropout=dropout)
    layers: list[nn.Module] = []
    for index in range(depth):
        quarters = _QUARTERS[min(index, len(_QUARTERS) - 1)]
        outputs = max(1, quarters * width // 4)
        pooled = index < _POOLED and min(sides) >> index >= 2
        layers += _block(channels, outputs, norm, pooled)
        channels = outputs
    head = nn.Linear(channels, classes)
    drop = [nn.Dropout(dropout)] if dropout else []
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), *drop, head)
    he_init(model)
    if norm == "batch":
        channels_last(model)
    return model


def _block(inputs: int, outputs: int, norm: str, pooled: bool) -> list[nn.Module]:
    plain = norm == "none"
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=plain)
    pool = [nn.MaxPool2d(2)] if pooled else []
    scale = [] if plain else [norm_2d("convnet", norm, outputs)]
    return [conv, *pool, *scale, nn.ReLU()]
