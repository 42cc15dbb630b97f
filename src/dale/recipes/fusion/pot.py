"""What goes into a fusion, and what comes out of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from dale.errors import DaleError, InputError, nearest
from dale.keys import key
from dale.merge import Scan, Statistics, covariances, fisher, grams, load_statistics
from dale.merge import scan as scanned
from dale.recipes.workbench import Workbench, scores
from dale.store import Member
from dale.train import statistics_batches
from dale.weights import Weights, has_statistics, load_into, reestimate
from dale.weights.match import listing

SCORES: dict[str, Callable[[dict[str, float]], float]] = {
    "accuracy": lambda found: 1.0 - found["error"],
    "nll": lambda found: -found["nll"],
}
"""What methods with a score climb on; higher is better."""


@dataclass(frozen=True)
class Fused:
    """A fusion and how it came about.

    Attributes:
        weights: The network, with statistics of its own if `fresh`.
        parents: Labels of the members that are in it.
        details: Coefficients, decisions and scores, as JSON values.
        fresh: Normalisation statistics were re-estimated already.
    """

    weights: Weights
    parents: tuple[str, ...]
    details: Mapping[str, Any] = field(default_factory=dict)
    fresh: bool = False


class Pot:
    """Members of a run that are to be fused, and what the methods may ask for.

    Args:
        bench: The run.
        members: In order, without the base.
        base: The member that methods with a base start from, if one was named.
        score: A name in `SCORES`.
        scan: A setting and the values to choose it from, if one was named.
        careful: Refuse members with weights that are not a number. Methods that climb
            on a score leave such members out by themselves.
    """

    def __init__(
        self,
        bench: Workbench,
        members: Sequence[Member],
        base: Member | None,
        score: str,
        scan: tuple[str, Sequence[float]] | None = None,
        careful: bool = True,
    ) -> None:
        self.bench, self.members, self.base_member = bench, members, base
        self.score, self.scan, self.careful = score, scan, careful

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the members, in order."""
        return tuple(member.label for member in self.members)

    def sources(self) -> list[tuple[str, Callable[[], Weights]]]:
        """Each member's label, and a function that reads it."""
        return [(m.label, lambda m=m: self._read(m)) for m in self.members]

    @cached_property
    def weights_K(self) -> list[Weights]:
        """All members, in memory."""
        return [self._read(member) for member in self.members]

    @cached_property
    def base(self) -> Weights | None:
        """The base, if one was named."""
        return None if self.base_member is None else self._read(self.base_member)

    def origin(self) -> Weights:
        """The base of a method that cannot do without."""
        assert self.base is not None
        return self.base

    def place(self, label: str | None, default: int) -> int:
        """The position of a member by its label.

        Raises:
            InputError: It is not among the members that are fused.
        """
        if label is None:
            return default
        if label not in self.labels:
            hint = nearest(label, self.labels)
            raise InputError(f"no member {label!r} among those to fuse; {hint}")
        return self.labels.index(label)

    def refresh(self, taken: Weights) -> Weights:
        """Normalisation statistics from the training examples."""
        bench = self.bench
        if not has_statistics(bench.model):
            return taken
        walk = statistics_batches(
            bench.data, bench.recipe, bench.recipe.seed, bench.model
        )
        return reestimate(bench.model, [taken], walk)[0]

    def measures(self, taken: Weights) -> dict[str, float]:
        """Error, likelihood and more on the validation examples."""
        load_into(self.bench.model, taken)
        return scores(self.bench.model, self.bench.split("val"))

    def climb(self, taken: Weights) -> float:
        """The score on the validation examples; higher is better."""
        return SCORES[self.score](self.measures(taken))

    @cached_property
    def alone(self) -> list[float]:
        """Each member's score on the validation examples."""
        return [self.climb(self._read(member)) for member in self.members]

    def chosen(self, make: Callable[..., Weights], settings: dict[str, Any]) -> Fused:
        """Call a method, for every value of the setting to be chosen if there is one.

        Args:
            make: From settings to weights.
            settings: What is not chosen.
        """
        if self.scan is None:
            return Fused(make(**settings), self.labels)
        name, values = self.scan
        found = scanned(
            lambda value: make(**settings | {name: value}),
            values,
            self.climb,
            refresh=self.refresh,
        )
        return Fused(found.weights, self.labels, scan_details(self, name, found), True)

    def statistics(self, kind: str, examples: int) -> list[Statistics]:
        """What each member's training examples say, kept in the run as files.

        Args:
            kind: ``"fisher"``, ``"gram"`` or ``"covariance"``.
            examples: How many training examples are looked at.

        Raises:
            InputError: Fewer than 1 example.
        """
        if examples < 1:
            raise InputError(f"examples must be 1 or more, got {examples}")
        return [self._statistics(kind, examples, member) for member in self.members]

    def _statistics(self, kind: str, examples: int, member: Member) -> Statistics:
        bench = self.bench
        name = f"{member.id}-{kind}-{examples}.safetensors"
        path = bench.run.folder / "statistics" / name
        data = f"{examples} training examples of the run {bench.run.recipe_digest}"
        try:
            return load_statistics(path, kind=kind, model=member.digest, data=data)
        except DaleError:
            pass  # absent, stale or damaged: measured again
        taken, inputs = self._read(member), self._examples(examples)
        if kind == "fisher":
            pairs = ((batch, None) for batch in inputs)
            found = fisher(bench.model, taken, pairs, data=data)
        else:
            measure = {"gram": grams, "covariance": covariances}[kind]
            found = measure(bench.model, taken, inputs, data=data)
        found.save(path)
        return found

    def _examples(self, count: int) -> Iterator[Tensor]:
        """Inputs of some training examples, always the same."""
        bench = self.bench
        generator = torch.Generator().manual_seed(key(bench.recipe.seed, "merging"))
        split = bench.data.splits["train"]
        rows = torch.randperm(len(split), generator=generator)[:count]
        place = next(bench.model.parameters()).device
        for part in rows.split(bench.recipe.batch):
            yield split.batch(part).to(place)

    def held_out(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Validation examples in batches, in an order of the epoch's own."""
        bench = self.bench
        seed = key(bench.recipe.seed, "held out", epoch)
        generator = torch.Generator().manual_seed(seed)
        split = bench.split("val")
        place = next(bench.model.parameters()).device
        order = torch.randperm(len(split), generator=generator)
        for part in order.split(bench.recipe.batch):
            yield split.batch(part).to(place), split.targets_N[part].to(place)

    def unlabelled(self, epoch: int) -> Iterator[Tensor]:
        """The same without the classes."""
        return (inputs for inputs, _ in self.held_out(epoch))

    def _read(self, member: Member) -> Weights:
        found = self.bench.run.population.weights(member)
        broken = [n for n, x in found.items() if self.careful and bool(x.isnan().any())]
        if broken:
            raise InputError(
                f"member {member.label!r} has weights that are not a number: "
                f"{listing(broken)}; leave it out"
            )
        return found


def scan_details(pot: Pot, name: str, found: Scan) -> dict[str, Any]:
    """What a choice by score leaves behind."""
    return {
        "score": pot.score,
        "setting": name,
        "value": found.value,
        "tried": [list(pair) for pair in found.scores],
    }
