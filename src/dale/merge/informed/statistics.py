"""What a merge needs to know of each model's data, kept as a file.

Statistics are named tensors with a note of the model and of the data that they were
measured on. Once saved, models can be merged where the data cannot go.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from dale.errors import InputError, StoreError, WeightsError
from dale.weights import Weights, digest, entry_of, linear, load, save
from dale.weights.algebra import floats, named, shared_names

_MARK = "statistics"
_FACTS = ("kind", "variant", "model", "data")


@dataclass(frozen=True, eq=False)
class Statistics(Mapping[str, Tensor]):
    """Named tensors measured on one model and its data.

    Attributes:
        tensors: By the name of the parameter that they are about.
        kind: What was measured: ``"fisher"``, ``"gram"`` or ``"covariance"``.
        variant: In which way.
        examples: On how many examples.
        model: Digest of the weights that were measured.
        data: Digest of the data, or the words that the caller gave for it.

    Example:
        >>> import torch
        >>> one = Statistics({"w": torch.ones(2)}, "fisher", "empirical", 9, "m", "d")
        >>> one.save("w.fisher.safetensors")
        >>> load_statistics("w.fisher.safetensors", kind="fisher")["w"]
        tensor([1., 1.])
        >>> load_statistics("w.fisher.safetensors", model="other")
        Traceback (most recent call last):
            ...
        dale.errors.StoreError: w.fisher.safetensors belongs to another model than ...
    """

    tensors: dict[str, Tensor]
    kind: str
    variant: str
    examples: int
    model: str
    data: str

    def __post_init__(self) -> None:
        """Refuse what no merge can use."""
        for name, tensor in self.tensors.items():
            if not tensor.isfinite().all():
                raise InputError(
                    f"{self.kind} of {name!r} has values that are not finite: "
                    "has the data, or the model?"
                )

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def save(self, path: str | Path) -> None:
        """Write them to a safetensors file: wholly, or not at all.

        Raises:
            DiskError: The disk refused.
        """
        facts = {name: getattr(self, name) for name in ("kind", "variant")}
        facts |= {"examples": str(self.examples), "model": self.model}
        save(path, self.tensors, {_MARK: "1", **facts, "data": self.data})


def load_statistics(
    path: str | Path,
    *,
    kind: str | None = None,
    model: str | None = None,
    data: str | None = None,
) -> Statistics:
    """Read statistics, and refuse those of something else.

    Args:
        path: A file that `Statistics.save` wrote.
        kind: What they must be, if given.
        model: Digest of the weights that they must belong to, if given.
        data: Digest of the data that they must belong to, if given.

    Returns:
        The statistics.

    Raises:
        StoreError: They are of another kind, model or data than asked for.
        WeightsError: Nothing readable at this path, or not a file of statistics.
        CorruptError: Truncated or altered.
    """
    tensors, header = load(path)
    if header.get(_MARK) != "1":
        raise WeightsError(f"{path} holds no statistics for merging")
    wanted = {"kind": kind, "model": model, "data": data}
    facts = {name: header.get(name, "") for name in _FACTS}
    for name, value in wanted.items():
        if value is not None and facts[name] != value:
            raise StoreError(
                f"{path} belongs to another {name} than asked for: it says "
                f"{facts[name][:16]!r}, expected {value[:16]!r}; measure again"
            )
    examples = header.get("examples", "")
    if not examples.isdecimal():
        raise WeightsError(f"{path} says {examples!r} as its number of examples")
    return Statistics(tensors, examples=int(examples), **facts)


Kernel = Callable[[Sequence[Tensor], Sequence[Tensor], Sequence[float]], Tensor]
"""Tensors, statistics and shares of K models to one tensor."""


def combined(
    kernel: Kernel,
    weights_K: Sequence[Weights],
    statistics_K: Sequence[Weights],
    coefficients_K: Sequence[float] | None,
    kind: str,
) -> dict[str, Tensor]:
    """Merge by a kernel where there are statistics, and by the mean elsewhere.

    Args:
        kernel: See `Kernel`.
        weights_K: Models with the same names and shapes, read name by name.
        statistics_K: One for each, under the same names.
        coefficients_K: Shares of the models, 0 or more; equal if None.
        kind: What the statistics must be.

    Returns:
        New weights in the types of the first model; counters carried, ties kept.

    Raises:
        InputError: Numbers do not fit, or shares are impossible.
        WeightsError: Names or shapes differ, or statistics are of another model.
    """
    shares_K = shares_of(weights_K, statistics_K, coefficients_K)
    check_statistics(weights_K, statistics_K, kind)
    result: dict[str, Tensor] = {}
    for names in shared_names(weights_K):
        known = next((name for name in names if name in statistics_K[0]), None)

        def run(*tensors_K: Tensor, known: str | None = known) -> Tensor:
            if known is None:
                return linear(tensors_K, shares_K, normalize=True)
            return kernel(tensors_K, [one[known] for one in statistics_K], shares_K)

        tensors_K = [weights[names[0]] for weights in weights_K]
        value = named(names[0], lambda *x, run=run: floats(run, *x), tensors_K)
        result |= dict.fromkeys(names, value)
    return {name: result[name] for name in weights_K[0]}


def shares_of(
    weights_K: Sequence[Weights],
    statistics_K: Sequence[Weights],
    coefficients_K: Sequence[float] | None,
) -> list[float]:
    """One share for each model, 0 or more; equal if none are given.

    Raises:
        InputError: Numbers do not fit, or shares are impossible.
    """
    count = len(weights_K)
    given = [1.0] * count if coefficients_K is None else [*map(float, coefficients_K)]
    if not count or not count == len(statistics_K) == len(given):
        raise InputError(
            "1 or more models need statistics and a coefficient each: "
            f"{count} models, {len(statistics_K)} statistics, {len(given)} coefficients"
        )
    if not all(0 <= value < float("inf") for value in given) or not sum(given):
        raise InputError(f"coefficients must be 0 or more and not all 0, got {given}")
    return given


def check_statistics(
    weights_K: Sequence[Weights], statistics_K: Sequence[Any], kind: str
) -> None:
    """Refuse statistics that are not of these models, in this order.

    Raises:
        WeightsError: They are of other names, of another kind, of shapes that do not
            fit, not finite, or of other models.
    """
    names = {*statistics_K[0]}
    for position, (weights, found) in enumerate(
        zip(weights_K, statistics_K, strict=True), start=1
    ):
        if {*found} != names or not names <= {*weights}:
            odd = sorted({*found} ^ names) or sorted(names - {*weights})
            raise WeightsError(
                f"statistics {position} do not fit the models: names {odd[:3]}"
            )
        known = isinstance(found, Statistics)
        if known and found.kind != kind:
            raise WeightsError(
                f"statistics {position} are of kind {found.kind!r}, expected {kind!r}"
            )
        for name in found:
            _check_one(name, kind, position, found[name], weights)
        if known and found.model != digest(weights):
            raise WeightsError(
                f"statistics {position} were measured on other weights than model "
                f"{position}; give them in the order of the models"
            )


def _check_one(
    name: str, kind: str, position: int, found: object, weights: Weights
) -> None:
    where = f"{name!r}: {kind} of model {position}"
    if not isinstance(found, Tensor):
        raise WeightsError(f"{where} is a {type(found).__name__}, expected a tensor")
    shape = tuple(found.shape)
    wanted = wanted_shape(kind, shape, entry_of(weights, name).shape)
    if wanted is not None:
        raise WeightsError(f"{where} has shape {shape}, expected {wanted}")
    if found.is_complex() or not bool(found.isfinite().all()):
        raise WeightsError(f"{where} has values that are not finite real numbers")


def wanted_shape(
    kind: str, shape: tuple[int, ...], weight: tuple[int, ...]
) -> str | None:
    """What shape statistics about a weight ought to have, if it is another one.

    Example:
        >>> wanted_shape("gram", (3, 3), (4, 3)), wanted_shape("fisher", (3,), (3,))
        ('(groups, 3, 3)', None)
    """
    units, width = weight[0] if weight else 1, math.prod(weight[1:])
    if kind == "gram":
        groups = shape[0] if shape else 0
        fits = groups > 0 and units % groups == 0 and shape[1:] == (width, width)
        return None if fits else f"(groups, {width}, {width})"
    wanted = (units, units) if kind == "covariance" else weight
    return None if shape == wanted else str(wanted)
