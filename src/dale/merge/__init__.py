"""Several checkpoints in, one checkpoint out.

`METHODS` holds one row for each way to merge: the function, whose keyword arguments are
its settings, and what is true of it. Shape suffix: K, models.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from dale.errors import InputError, nearest
from dale.merge.average import average, over_names, uniform, weighted
from dale.merge.soup import Decision, Soup, greedy, greedy_soup, uniform_soup
from dale.weights import LazyWeights, Weights, load, weights_of


@dataclass(frozen=True)
class Method:
    """One way to merge.

    Attributes:
        function: ``function(tensors_K, **settings)`` for scope ``"tensor"``, a pure
            kernel; ``function(weights_K, **settings)`` for scope ``"model"``.
        summary: One line.
        scope: What the function must see at once: one tensor of every model, or all.
        idempotent: K equal models give that model.
        symmetric: The order of the models does not matter, with default settings.
        needs_base: One model is the common ancestor of the others.
        needs_data: Inputs or statistics of inputs are needed.
        needs_score: A score function is needed.
        streams: Works on one name at a time over files.
        reference: Where it was published.
    """

    function: Callable[..., Any]
    summary: str
    scope: Literal["tensor", "model"]
    idempotent: bool
    symmetric: bool
    needs_base: bool
    needs_data: bool
    needs_score: bool
    streams: bool
    reference: str


METHODS: dict[str, Method] = {
    "uniform": Method(
        function=uniform,
        summary="mean of all models, or of the last few",
        scope="tensor",
        idempotent=True,
        symmetric=True,
        needs_base=False,
        needs_data=False,
        needs_score=False,
        streams=True,
        reference="Wortsman et al. (2022), arXiv 2203.05482",
    ),
    "weighted": Method(
        function=weighted,
        summary="weighted mean, or weighted sum",
        scope="tensor",
        idempotent=True,
        symmetric=False,
        needs_base=False,
        needs_data=False,
        needs_score=False,
        streams=True,
        reference="Izmailov et al. (2018), arXiv 1803.05407",
    ),
    "greedy_soup": Method(
        function=greedy,
        summary="mean of the models that do not lower a score",
        scope="model",
        idempotent=True,
        symmetric=False,
        needs_base=False,
        needs_data=False,
        needs_score=True,
        streams=False,
        reference="Wortsman et al. (2022), arXiv 2203.05482",
    ),
}


def merge(
    models: Sequence[nn.Module | Weights | str | Path],
    method: str = "uniform",
    **settings: Any,
) -> dict[str, Tensor]:
    """Merge models by a method of the table.

    Args:
        models: Networks, named tensors, or files and folders of them. Safetensors are
            read one name at a time where the method allows it.
        method: A name in `METHODS`.
        settings: Keyword arguments of the method's function.

    Returns:
        New weights in the types of the first model.

    Raises:
        InputError: Unknown method or setting, a missing or impossible one, no models.
        WeightsError: Names, shapes or kinds differ, or a file cannot be read.

    Example:
        >>> import torch
        >>> merge([nn.Identity(), nn.Identity()])
        {}
        >>> pair = [{"w": torch.zeros(1)}, {"w": torch.ones(1)}]
        >>> merge(pair, "weighted", coefficients=(1, 3))
        {'w': tensor([0.7500])}
        >>> merge(pair, "unifrom")
        Traceback (most recent call last):
            ...
        dale.errors.InputError: unknown method 'unifrom': did you mean 'uniform'?
    """
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}: {nearest(method, METHODS)}")
    row = METHODS[method]
    _check_settings(method, row.function, settings)
    weights_K = [_weights(model) for model in models]
    if row.scope == "tensor":
        return over_names(row.function, weights_K, **settings)
    return row.function(weights_K, **settings)


def _check_settings(
    method: str, function: Callable[..., Any], settings: dict[str, Any]
) -> None:
    _, *parameters = inspect.signature(function).parameters.values()
    known = {parameter.name: parameter for parameter in parameters}
    for name in settings:
        if name not in known:
            raise InputError(
                f"{method} has no setting {name!r}: {nearest(name, known)}"
            )
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in settings:
            raise InputError(f"{method} needs the setting {name!r}")


def _weights(model: nn.Module | Weights | str | Path) -> Weights:
    if isinstance(model, nn.Module):
        return weights_of(model)
    if not isinstance(model, str | Path):
        return model
    path = Path(model)
    lazy = path.is_dir() or path.name.endswith((".safetensors", ".index.json"))
    return LazyWeights(path) if lazy else load(path)[0]


__all__ = [
    "METHODS",
    "Decision",
    "Method",
    "Soup",
    "average",
    "greedy",
    "greedy_soup",
    "merge",
    "over_names",
    "uniform",
    "uniform_soup",
    "weighted",
]
