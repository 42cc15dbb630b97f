"""Methods of the table applied to models in memory or in files, name by name.

Shape suffix: K, models.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from dale.errors import InputError, WeightsError, nearest
from dale.keys import key
from dale.merge.method import Method
from dale.merge.table import METHODS
from dale.weights import Weights, open_weights, weights_of
from dale.weights.algebra import floats, named, shared_names
from dale.weights.match import is_inexact

Model = nn.Module | Weights | str | Path
"""A network, named tensors, or a file or folder of them."""


def merge(
    models: Sequence[Model],
    method: str = "uniform",
    *,
    base: Model | None = None,
    seed: int = 0,
    **settings: Any,
) -> dict[str, Tensor]:
    """Merge models by a method of the table.

    Args:
        models: Networks, named tensors, or files and folders of them. Safetensors are
            read one name at a time where the method allows it.
        method: A name in `METHODS`.
        base: The common ancestor of the models, or the model that is moved, for
            methods that take one.
        seed: Of methods that draw at random. What is drawn depends on the seed, the
            method, the name of the tensor and the position of the model.
        settings: Keyword arguments of the method's function; ``lambda`` may be given
            as ``lambda_``, which Python can spell.

    Returns:
        New weights in the types of the first model. Counters are carried from it, ties
        kept. Tensors that all models share with the base are copied.

    Raises:
        InputError: Unknown method or setting, a missing or impossible one, a number of
            models that the method cannot take, a missing or needless base.
        WeightsError: Names, shapes or kinds differ, or a file cannot be read.

    Example:
        >>> import torch
        >>> merge([nn.Identity(), nn.Identity()])
        {}
        >>> pair = [{"w": torch.zeros(1)}, {"w": torch.ones(1)}]
        >>> merge(pair, "weighted", coefficients=(1, 3))
        {'w': tensor([0.7500])}
        >>> merge(pair, "task_arithmetic", base=pair[0], **{"lambda": 2.0})
        {'w': tensor([2.])}
        >>> merge(pair, "unifrom")
        Traceback (most recent call last):
            ...
        dale.errors.InputError: unknown method 'unifrom': did you mean 'uniform'?
    """
    plan = planned(models, method, base, seed, settings)
    if plan.row.scope == "model":
        return plan.row.function(plan.weights_K, **plan.settings)
    done = {names: tensor for names, tensor in plan.results()}
    found = {name: tensor for names, tensor in done.items() for name in names}
    return {name: found[name] for name in plan.weights_K[0]}


@dataclass(frozen=True)
class Plan:
    """A merge that was checked as far as names, shapes and settings go.

    Attributes:
        method: Name of the row.
        row: The row.
        weights_K: The models.
        base: The base, if one was given.
        seed: For what is drawn at random.
        settings: Of the row's function and its measure.
        groups: Names that share one tensor, in the order of the first model.
    """

    method: str
    row: Method
    weights_K: list[Weights]
    base: Weights | None
    seed: int
    settings: dict[str, Any]
    groups: list[tuple[str, ...]]

    def results(
        self, groups: Sequence[tuple[str, ...]] | None = None
    ) -> Iterator[tuple[tuple[str, ...], Tensor]]:
        """Merged tensors one after the other, each with the names that share it."""
        run = self._bound()
        for names in self.groups if groups is None else groups:
            kernel = partial(floats, partial(run, min(names)))
            yield names, named(names[0], kernel, self._tensors(names[0]))

    def _tensors(self, name: str) -> list[Tensor]:
        """Of every model, and of the base last."""
        everyone = [*self.weights_K, *([] if self.base is None else [self.base])]
        return [weights[name] for weights in everyone]

    def _bound(self) -> Callable[..., Tensor]:
        row, own, measured = self.row, self.settings, []
        if row.measure is not None:
            for_measure = {n: own[n] for n in parameters(row.measure) if n in own}
            measured = [row.measure(self._walk, **for_measure)]
        for_kernel = {n: own[n] for n in parameters(row.function) if n in own}

        def run(name: str, *tensors: Tensor) -> Tensor:
            return self._one(name, tensors, measured, for_kernel)

        return run

    def _one(
        self,
        name: str,
        tensors: tuple[Tensor, ...],
        measured: list[Any],
        settings: dict[str, Any],
    ) -> Tensor:
        count = len(self.weights_K)
        tensors_K, base = tensors[:count], tensors[count:]
        self._refuse_complex(tensors)
        # exact where nothing was trained, and no −∞ − (−∞) in masks
        if base and all(_same(tensor, base[0]) for tensor in tensors_K):
            return tensors_K[0]
        arguments: list[Any] = [*base]
        if not self.row.deterministic:
            arguments.append([self._generator(name, k) for k in range(count)])
        return self.row.function(tensors_K, *arguments, *measured, **settings)

    def _generator(self, name: str, k: int) -> Generator:
        return Generator().manual_seed(key(self.seed, self.method, name, k))

    def _walk(self) -> Iterator[tuple[Sequence[Tensor], Tensor]]:
        for names in self.groups:
            tensors = self._tensors(names[0])
            if is_inexact(tensors[0]):
                named(names[0], lambda *given: self._refuse_complex(given), tensors)
                yield tensors[:-1], tensors[-1]

    def _refuse_complex(self, tensors: Sequence[Tensor]) -> Tensor:
        if not self.row.complex and any(tensor.is_complex() for tensor in tensors):
            raise WeightsError(f"{self.method} cannot merge complex tensors")
        return tensors[0]


def planned(
    models: Sequence[Model],
    method: str,
    base: Model | None,
    seed: int,
    settings: dict[str, Any],
) -> Plan:
    """Check everything that can be checked without reading a tensor.

    Raises:
        InputError: Unknown method or setting, a missing or impossible one, a number of
            models that the method cannot take, a missing or needless base.
        WeightsError: Names or shapes differ, or a file cannot be read.
    """
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}: {nearest(method, METHODS)}")
    row = METHODS[method]
    settings = {"lambda_" if n == "lambda" else n: v for n, v in settings.items()}
    _check_settings(method, row, settings)
    _check_models(method, row, len(models), base is not None)
    if row.scope != "model":
        _rehearse(method, row, len(models), base is not None, settings)
    weights_K = [opened(model) for model in models]
    origin = None if base is None else opened(base)
    everyone = weights_K if origin is None else [*weights_K, origin]
    groups = [] if row.scope == "model" else shared_names(everyone)
    return Plan(method, row, weights_K, origin, seed, settings, groups)


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The settings of a row's function: what can only be given by name."""
    found = inspect.signature(function).parameters
    return {n: p for n, p in found.items() if p.kind == p.KEYWORD_ONLY}


def settings_of(row: Method) -> dict[str, inspect.Parameter]:
    """All settings of a row, those of its measure included."""
    return parameters(row.function) | (parameters(row.measure) if row.measure else {})


def opened(model: Model) -> Weights:
    """Weights of a network, or of a file or folder, which stay there if they can."""
    if isinstance(model, nn.Module):
        return weights_of(model)
    if not isinstance(model, str | Path):
        return model
    return open_weights(model)


def _check_settings(method: str, row: Method, settings: dict[str, Any]) -> None:
    known = settings_of(row)
    for name in settings:
        if name not in known:
            raise InputError(
                f"{method} has no setting {name!r}: {nearest(name, known)}"
            )
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in settings:
            raise InputError(f"{method} needs the setting {name!r}")


def _check_models(method: str, row: Method, count: int, base: bool) -> None:
    fewest, most = row.models
    if count < fewest or (most is not None and count > most):
        span = f"{fewest} or more" if most is None else f"exactly {fewest}"
        beside = "" if row.base == "none" else " beside the base"
        raise InputError(f"{method} needs {span} models{beside}, got {count}")
    if row.needs_base and not base:
        raise InputError(f"{method} needs a base")
    if row.base == "none" and base:
        raise InputError(f"{method} takes no base")


def _rehearse(
    method: str, row: Method, count: int, base: bool, settings: dict[str, Any]
) -> None:
    """Merge models of one element, so that impossible settings show before any work."""
    tiny: list[Weights] = [{"": torch.tensor([1.0 + k])} for k in range(count)]
    origin = {"": torch.tensor([0.5])} if base else None
    for _ in Plan(method, row, tiny, origin, 0, settings, [("",)]).results():
        pass


def _same(first: Tensor, second: Tensor) -> bool:
    return first.dtype == second.dtype and torch.equal(first, second)
