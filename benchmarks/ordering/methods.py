"""Every way to merge the children, and what it may choose on held-out examples."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from dale.merge import (
    Scan,
    Statistics,
    adamerging,
    covariances,
    cpis,
    fisher,
    fisher_merge,
    grams,
    greedy_soup,
    import_layers,
    importance_merge,
    learned_soup,
    merge,
    regmean,
    scan,
)
from dale.weights import load_into
from ordering.problem import Family, Inputs, Pairs, Weights, joined, part

STATISTICS = 256
"""Training images of a task that Fisher diagonals, Grams and covariances look at."""
SCALES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0)
SHARES = (0.1, 0.25, 0.5, 0.75)
ROUNDS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Merged:
    """A merge and the number it was chosen by.

    Args:
        weights: The network.
        chosen: In words; empty if nothing was.
    """

    weights: Weights
    chosen: str = ""


class Bench:
    """A family with what the methods ask for, made once.

    Args:
        family: The parent and its children.
    """

    def __init__(self, family: Family) -> None:
        self.family, self.models = family, family.children
        self.base = family.parent

    @torch.no_grad()
    def accuracy(self, weights: Weights, pairs: Sequence[Pairs]) -> list[float]:
        """On each of several sets of examples."""
        load_into(self.family.net, weights)
        self.family.net.eval()
        net = self.family.net
        return [(net(*x).argmax(1) == y).float().mean().item() for x, y in pairs]

    def score(self, weights: Weights) -> float:
        """Mean accuracy on held-out examples of all tasks."""
        found = self.accuracy(weights, [task.held for task in self.family.tasks])
        return sum(found) / len(found)

    def scanned(
        self, make: Callable[[float], Weights], values: Sequence[float], name: str
    ) -> Merged:
        """The best of several values."""
        found: Scan = scan(make, values, self.score)
        return Merged(found.weights, f"{name} {found.value:g}")

    @cached_property
    def alone(self) -> list[float]:
        """Each child's score on all tasks."""
        return [self.score(model) for model in self.models]

    @cached_property
    def fishers(self) -> list[Statistics]:
        """Each child's, on its own task."""
        return [
            fisher(self.family.net, model, [(seen(task.train), None)])
            for model, task in zip(self.models, self.family.tasks, strict=True)
        ]

    @cached_property
    def grams(self) -> list[Statistics]:
        """Each child's, on its own task."""
        return self._measured(grams)

    @cached_property
    def covariances(self) -> list[Statistics]:
        """Each child's, on its own task."""
        return self._measured(covariances)

    def _measured(self, measure: Callable[..., Statistics]) -> list[Statistics]:
        return [
            measure(self.family.net, model, [seen(task.train)])
            for model, task in zip(self.models, self.family.tasks, strict=True)
        ]

    def labelled(self, epoch: int) -> Iterator[Pairs]:
        """Held-out examples of all tasks, 16 of each in a batch."""
        held = [task.held for task in self.family.tasks]
        for start in range(0, len(held[0][1]), 16):
            yield joined([part(pairs, slice(start, start + 16)) for pairs in held])

    def unlabelled(self, epoch: int) -> Iterator[Inputs]:
        """The same without their classes."""
        return (inputs for inputs, _ in self.labelled(epoch))

    @property
    def best(self) -> int:
        """The child that is best on all tasks."""
        return max(range(len(self.models)), key=lambda k: self.alone[k])


def seen(pairs: Pairs) -> Inputs:
    """What statistics look at."""
    return part(pairs, slice(0, STATISTICS))[0]


def _plain(method: str, **settings: Any) -> Callable[[Bench], Merged]:
    return lambda b: Merged(merge(b.models, method, **settings))


def _scaled(method: str, **settings: Any) -> Callable[[Bench], Merged]:
    def run(bench: Bench) -> Merged:
        def make(scale: float) -> Weights:
            own = settings | {"lambda_": scale}
            return merge(bench.models, method, base=bench.base, **own)

        return bench.scanned(make, SCALES, "λ")

    return run


def _greedy(bench: Bench) -> Merged:
    pool = [(str(k), model) for k, model in enumerate(bench.models)]
    soup = greedy_soup(pool, bench.score)
    return Merged(soup.weights, f"{len(soup.labels)} of {len(pool)}")


def _learned(bench: Bench) -> Merged:
    return Merged(learned_soup(bench.family.net, bench.models, bench.labelled).weights)


def _adamerging(by: Any) -> Callable[[Bench], Merged]:
    """With the paper's rate, batches and 500 updates."""

    def run(bench: Bench) -> Merged:
        net, base = bench.family.net, bench.base
        found = adamerging(net, bench.models, base, bench.unlabelled, by=by, epochs=20)
        return Merged(found.weights)

    return run


def _importance(bench: Bench) -> Merged:
    def make(rounds: float) -> Weights:
        settings = {"importance": bench.alone, "rounds": int(rounds)}
        return merge(bench.models, "importance", base=bench.base, **settings)

    return bench.scanned(make, ROUNDS, "rounds")


def _importance_fisher(bench: Bench) -> Merged:
    def make(rounds: float) -> Weights:
        return importance_merge(
            bench.models, bench.fishers, bench.base, rounds=int(rounds)
        )

    return bench.scanned(make, ROUNDS, "rounds")


def _contribution(bench: Bench) -> Merged:
    settings = {"scores": bench.alone, "temperature": 0.1}
    return Merged(merge(bench.models, "contribution", **settings))


def _import(bench: Bench) -> Merged:
    """The best child, and the layers of another that do it most good."""
    layers = [*dict.fromkeys(n.rpartition(".")[0] for n in bench.base)]
    others = [k for k in range(len(bench.models)) if k != bench.best]
    pairs = [(donor, cut) for donor in others for cut in range(len(layers))]

    def make(place: float) -> Weights:
        donor, cut = pairs[int(place)]
        return import_layers(
            bench.models, bench.grams, layers=layers[cut:], donor=donor, into=bench.best
        )

    found = scan(make, range(len(pairs)), bench.score)
    cut = pairs[int(found.value)][1]
    return Merged(found.weights, f"last {len(layers) - cut} layers")


def _cpis(bench: Bench) -> Merged:
    def make(share: float) -> Weights:
        models, known = bench.models, bench.covariances
        return cpis(models, known, into=bench.best, share=share).weights

    return bench.scanned(make, SHARES, "share")


METHODS: dict[str, Callable[[Bench], Merged]] = {
    "average": _plain("uniform"),
    "greedy soup": _greedy,
    "contribution": _contribution,
    "contribution, literal": _plain("contribution_literal"),
    "karcher": _plain("karcher"),
    "subspace": lambda b: b.scanned(
        lambda r: merge(b.models, "subspace", base=b.base, rank=int(r)),
        range(1, len(b.models) + 1),
        "rank",
    ),
    "importance": _importance,
    "importance by Fisher": _importance_fisher,
    "task arithmetic": _scaled("task_arithmetic"),
    "TIES": _scaled("ties_global"),
    "DARE": _scaled("dare_linear", density=0.5, rescale="inverse"),
    "DARE + TIES": _scaled("dare_ties", density=0.5, rescale="inverse"),
    "model stock": lambda b: Merged(merge(b.models, "model_stock", base=b.base)),
    "import": _import,
    "CPIS": _cpis,
    "Fisher": lambda b: Merged(fisher_merge(b.models, b.fishers)),
    "RegMean": lambda b: Merged(regmean(b.models, b.grams)),
    "AdaMerging, by task": _adamerging("model"),
    "AdaMerging, by layer": _adamerging("layer"),
    "learned soup": _learned,
}
"""By the name in the tables."""


def measured(family: Family) -> dict[str, dict[str, Any]]:
    """Test accuracy of every method and of the bounds, task by task."""
    bench = Bench(family)
    tests = [task.test for task in family.tasks]
    own = [
        bench.accuracy(model, [pair])[0]
        for model, pair in zip(bench.models, tests, strict=True)
    ]
    found: dict[str, dict[str, Any]] = {
        "parent": {"tasks": bench.accuracy(bench.base, tests), "chosen": ""},
        "best single child": {
            "tasks": bench.accuracy(bench.models[bench.best], tests),
            "chosen": "",
        },
    }
    for name, run in METHODS.items():
        merged = run(bench)
        tasks = bench.accuracy(merged.weights, tests)
        found[name] = {"tasks": tasks, "chosen": merged.chosen}
    found["each child on its own task"] = {"tasks": own, "chosen": ""}
    together = bench.accuracy(family.together, tests)
    found["trained on all tasks"] = {"tasks": together, "chosen": ""}
    return found
