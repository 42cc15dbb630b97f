"""One parent, five tasks, and the networks that are trained for them.

Shape suffix: N examples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy

from dale.data import idx
from dale.models import build
from dale.weights import load_into, weights_of

Inputs = tuple[Tensor, Tensor]
"""Images, and what is added to the logits: −∞ where a class is no choice."""
Pairs = tuple[Inputs, Tensor]
Pool = tuple[Tensor, Tensor]
Weights = dict[str, Tensor]

NETS = {
    "mlp": {"hidden": (256, 128)},
    "convnet": {"width": 16, "depth": 3, "norm": "none"},
}
CLASSES = ((0, 6), (2, 4), (5, 7), (1, 3), (8, 9))
_NOISE = torch.randn(14, 14, generator=torch.Generator().manual_seed(0))
DOMAINS: dict[str, Callable[[Tensor], Tensor]] = {
    "quarter turn": lambda x: x.rot90(1, (2, 3)),
    "half turn": lambda x: x.rot90(2, (2, 3)),
    "negative": lambda x: -x,
    "halves swapped": lambda x: x.roll(7, 3),
    "pattern": lambda x: (x + _NOISE).clamp(-1, 1),
}


class Choice(nn.Module):
    """A network that is told which classes are a choice.

    Args:
        net: From images to logits.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor, offsets_NC: Tensor) -> Tensor:
        """Logits ``[N, C]``."""
        return self.net(images) + offsets_NC


@dataclass(frozen=True)
class Sizes:
    """How much there is of everything.

    Args:
        parent: Images of the parent, by problem.
        task: Images of each task.
        held: Held-out images of each task, which choose every setting.
        test: Test images of each task.
        epochs: Of every training.
    """

    parent: tuple[int, int] = (6000, 600)
    task: int = 3000
    held: int = 400
    test: int = 1500
    epochs: int = 5


@dataclass(frozen=True)
class Task:
    """One task's examples."""

    name: str
    train: Pairs
    held: Pairs
    test: Pairs


@dataclass(frozen=True)
class Family:
    """A parent and its children.

    Args:
        net: The architecture.
        parent: Weights before the tasks.
        children: After each task.
        together: After all tasks at once.
        tasks: The tasks.
    """

    net: nn.Module
    parent: Weights
    children: list[Weights]
    together: Weights
    tasks: list[Task]


def family(data: str, problem: str, net: str, seed: int, sizes: Sizes) -> Family:
    """Train a parent, a child for each task, and one network for all of them.

    Args:
        data: Folder of the IDX files.
        problem: ``"domains"``: ten classes, images changed in one way for each task;
            ``"classes"``: images as they are, a choice of two classes for each task.
        net: A key of `NETS`.
        seed: Of the images, the weights and the order.
        sizes: How much there is of everything.
    """
    pools = _pools(data)
    draw = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(pools["train"][0]), generator=draw)
    images, labels = (tensor[order] for tensor in pools["train"])
    size = sizes.parent[problem == "classes"]
    first = _free(images[:size]), labels[:size]
    rest = images[size:], labels[size:]
    make = _domain if problem == "domains" else _choice
    tasks = [make(place, rest, pools["test"], sizes) for place in range(len(CLASSES))]
    torch.manual_seed(seed)
    model = Choice(build(net, (1, 14, 14), 10, **NETS[net]))
    parent = trained(model, weights_of(model), first, sizes.epochs, seed)
    children = [trained(model, parent, t.train, sizes.epochs, seed) for t in tasks]
    together = trained(
        model, parent, joined([t.train for t in tasks]), sizes.epochs, seed
    )
    return Family(model, parent, children, together, tasks)


def joined(several: Sequence[Pairs]) -> Pairs:
    """Examples of several tasks one after the other."""
    images, offsets = zip(*(inputs for inputs, _ in several), strict=True)
    labels = torch.cat([targets for _, targets in several])
    return (torch.cat(images), torch.cat(offsets)), labels


def part(pairs: Pairs, rows: Tensor | slice) -> Pairs:
    """Some of the examples."""
    (images, offsets), labels = pairs
    return (images[rows], offsets[rows]), labels[rows]


def _free(images: Tensor) -> Inputs:
    return images, torch.zeros(len(images), 10)


def _domain(place: int, rest: Pool, test: Pool, sizes: Sizes) -> Task:
    """Other images for every task, changed in its way."""
    name, change = [*DOMAINS.items()][place]
    size = sizes.task + sizes.held
    mine = slice(place * size, (place + 1) * size)
    own = _free(change(rest[0][mine])), rest[1][mine]
    tests = _free(change(test[0][: sizes.test])), test[1][: sizes.test]
    return _cut(name, own, tests, sizes)


def _choice(place: int, rest: Pool, test: Pool, sizes: Sizes) -> Task:
    """Images of two classes, one of which is the answer."""
    one, two = CLASSES[place]
    found = []
    for images, labels in (rest, test):
        mine = (labels == one) | (labels == two)
        offsets = torch.full((int(mine.sum()), 10), -1e4)
        offsets[:, [one, two]] = 0
        found.append(((images[mine], offsets), labels[mine]))
    return _cut(f"{one} or {two}", *found, sizes)


def _cut(name: str, own: Pairs, tests: Pairs, sizes: Sizes) -> Task:
    held = part(own, slice(sizes.task, sizes.task + sizes.held))
    train = part(own, slice(0, sizes.task))
    return Task(name, train, held, part(tests, slice(0, sizes.test)))


@cache
def _pools(data: str) -> dict[str, Pool]:
    """Images of 14 × 14 pixels in [−1, 1]."""
    found, pools = idx(data, val=100).splits, {}
    for name in ("train", "test"):
        split = found[name]
        parts = torch.arange(len(split)).split(5000)
        images = torch.cat([avg_pool2d(split.batch(rows), 2) for rows in parts])
        low, high = images.min(), images.max()
        pools[name] = 2 * (images - low) / (high - low) - 1, split.targets_N.clone()
    return pools


def trained(
    model: nn.Module, start: Weights, pairs: Pairs, epochs: int, seed: int
) -> Weights:
    """Weights after Adam with a rate that falls from 1e-3 to 0 on a line."""
    load_into(model, start)
    model.train()
    optimizer = torch.optim.Adam(model.parameters())
    draw = torch.Generator().manual_seed(seed)
    count = len(pairs[1])
    steps = epochs * -(-count // 64)
    step = 0
    for _ in range(epochs):
        for rows in torch.randperm(count, generator=draw).split(64):
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * (1 - step / steps)
            inputs, targets = part(pairs, rows)
            loss = cross_entropy(model(*inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    return weights_of(model)
