"""Settings of every network, right and wrong, and a file of the user's own."""

SETTINGS = {
    "mlp": [
        {},
        {"hidden": ()},
        {"hidden": (9, 8, 7), "norm": "batch", "dropout": 0.2},
        {"hidden": (6,), "norm": "layer"},
    ],
    "convnet": [
        {},
        {"width": 3, "depth": 1},
        {"width": 5, "depth": 6, "norm": "group"},
        {"width": 8, "norm": "none", "dropout": 0.5},
    ],
    "resnet": [
        {"depth": 8, "width": 4},
        {"depth": 14, "width": 6, "shortcut": "pad"},
        {"depth": 8, "width": 5, "norm": "group"},
        {"depth": 8, "width": 4, "norm": "none", "shortcut": "pad"},
    ],
    "bottleneck": [
        {"depth": 14, "width": 3},
        {"depth": 14, "width": 2, "stem": "large"},
        {"depth": 26, "width": 2, "norm": "group"},
        {"depth": 14, "width": 2, "norm": "none"},
    ],
}
"""Network to settings that must work."""

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 9, 5), (3, 1, 1)]
"""Shapes of images that every network takes."""

WRONG = [
    ("mlp", {"hidden": (4, 0)}, r"mlp: hidden\[1\] is 0; expected a whole number"),
    ("mlp", {"dropout": 1.0}, r"mlp: dropout is 1.0; expected a value in \[0, 1\)"),
    ("mlp", {"norm": "group"}, "mlp: norm is 'group'; expected one of none, batch"),
    ("mlp", {"hiden": (3,)}, r"mlp has no setting 'hiden'; did you mean 'hidden'\?"),
    ("mlp", {"norm": "bach", "hidden": ()}, "mlp: norm is 'bach'"),
    ("convnet", {"width": 1}, "convnet: width is 1; expected .* at least 2"),
    ("convnet", {"width": 2.5}, "convnet: width is 2.5; expected a whole number"),
    ("convnet", {"depth": 0}, "convnet: depth is 0; expected .* at least 1"),
    ("convnet", {"depth": True}, "convnet: depth is True"),
    ("convnet", {"norm": "layer"}, "norm is 'layer'; expected one of batch, group"),
    ("convnet", {"dropout": -0.1}, "convnet: dropout is -0.1"),
    ("resnet", {"depth": 18}, r"resnet: depth is 18; expected 6n \+ 2, such as 8"),
    ("resnet", {"depth": 2}, "resnet: depth is 2"),
    ("resnet", {"width": 0}, "resnet: width is 0; expected .* at least 1"),
    ("resnet", {"shortcut": "A"}, "shortcut is 'A'; expected one of conv, pad"),
    ("bottleneck", {"depth": 20}, "bottleneck: depth is 20; expected one of 14, 26"),
    ("bottleneck", {"stem": "big"}, "stem is 'big'; expected one of small, large"),
    ("resnet", {"norm": "x"}, "resnet: norm is 'x'"),
]
"""Network, settings that must be refused, and the message."""

FILE = """
import torch
from torch import nn

def fits(shape, classes, width=4):
    features = torch.Size(shape).numel()
    return nn.Sequential(nn.Flatten(), nn.Linear(features, width),
                         nn.Linear(width, classes))

def fixed(width):
    return nn.Linear(width, 3)

def anything(**settings):
    layer = nn.Linear(2, 2)
    layer.settings = settings
    return layer

def text():
    return "no module"

def fails(shape):
    raise KeyError(f"shape {shape}")
"""
