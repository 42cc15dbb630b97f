"""A network of one's own for a recipe: see my_model.yaml beside this file."""

from torch import Tensor, nn


class Gated(nn.Module):
    """A small network with a gate on its features; any module with logits will do."""

    def __init__(self, features: int, classes: int, width: int) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.values = nn.Linear(features, width)
        self.gates = nn.Linear(features, width)
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits, shape (N, C)."""
        inputs = self.flatten(inputs)
        hidden = self.values(inputs) * self.gates(inputs).sigmoid()
        return self.head(self.norm(hidden).relu())


def make(shape: tuple[int, ...], classes: int, width: int = 64) -> nn.Module:
    """The network, for inputs of the data's shape and the data's classes.

    dale passes ``shape`` and ``classes`` because the signature names them, and
    whatever the recipe has under ``args``.
    """
    features = 1
    for size in shape:
        features *= size
    return Gated(features, classes, width)
