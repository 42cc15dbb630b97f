"""Networks and tensors that weights are tried on."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Tied(nn.Module):
    """An embedding whose matrix is also the last layer's."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, indices: Tensor) -> Tensor:
        return self.head(self.embed(indices))


class SharedNorm(nn.Module):
    """One BatchNorm layer used twice and registered under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.BatchNorm1d(3)
        self.lift = nn.Linear(3, 3)
        self.second = self.first

    def forward(self, inputs: Tensor) -> Tensor:
        return self.second(self.lift(self.first(inputs)))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(4 * 4, 6),
        nn.BatchNorm1d(6),
    )


def masked() -> nn.Module:
    """A network with a mask of minus infinity, an index table and half precision."""
    net = nn.Linear(3, 2)
    net.register_buffer("mask", torch.full((2, 2), -torch.inf).triu(1))
    net.register_buffer("table", torch.arange(4))
    net.register_buffer("flag", torch.tensor(True))
    net.register_parameter("narrow", nn.Parameter(torch.randn(3).bfloat16()))
    return net


MODULES: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(3, 2),
    "convolutional": convolutional,
    "tied": Tied,
    "shared_norm": SharedNorm,
    "channels_last": lambda: nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last),
    "masked": masked,
    "double": lambda: nn.Linear(2, 2).double(),
    "complex": lambda: nn.Linear(2, 2, dtype=torch.complex64),
    "stateless": nn.ReLU,
}

DTYPES = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.complex64,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.uint16,
    torch.uint32,
    torch.uint64,
    torch.bool,
)


def built(name: str, seed: int = 0) -> nn.Module:
    """One of the networks, always the same for a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODULES[name]()


def bits(weights: dict[str, Tensor]) -> dict[str, tuple[object, ...]]:
    """Everything about weights that can be compared exactly, bit patterns included."""
    rows = {}
    for name, tensor in weights.items():
        flat = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
        rows[name] = (tensor.dtype, tuple(tensor.shape), bytes(flat.tolist()))
    return rows
