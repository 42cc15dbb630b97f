"""Methods of the table applied to models in memory or in files, name by name.

Shape suffix: K, models.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dale.errors import InputError, nearest
from dale.merge.job import Job, Source, run_jobs
from dale.merge.method import Method, parameters
from dale.merge.moments import with_moments
from dale.merge.steps import each
from dale.merge.table import METHODS
from dale.weights import Weights, open_weights, weights_of
from dale.weights.algebra import shared_names

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
        kept. Tensors that all models share with the base are copied. Running means and
        variances are those of a mixture, see `dale.merge.moments`; `refreshed` measures
        better ones on data.

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
    plan = planned(models, method, base, settings)
    if plan.row.scope == "model":
        return plan.row.function(plan.weights_K, **plan.settings)
    done = run_jobs(plan.jobs, seed)
    found = {name: tensor for job, tensor in done for name in job.names}
    return {name: found[name] for name in plan.weights_K[0]}


@dataclass(frozen=True)
class Plan:
    """A merge that was checked as far as names, shapes and settings go.

    Attributes:
        row: The row of the method.
        weights_K: The models.
        settings: Of the row's function and its measure.
        jobs: One for each tensor, in the order of the first model; none for methods
            that see whole models.
    """

    row: Method
    weights_K: list[Weights]
    settings: dict[str, Any]
    jobs: list[Job]


def planned(
    models: Sequence[Model],
    method: str,
    base: Model | None,
    settings: Mapping[str, Any],
) -> Plan:
    """Check everything that can be checked without reading a tensor.

    Raises:
        InputError: Unknown method or setting, a missing or impossible one, a number of
            models that the method cannot take, a missing or needless base.
        WeightsError: Names or shapes differ, or a file cannot be read.
    """
    settings = check(method, settings, len(models), base is not None)
    row = METHODS[method]
    weights_K = [opened(model) for model in models]
    origin = None if base is None else opened(base)
    jobs = []
    if row.scope != "model":
        everyone = weights_K if origin is None else [*weights_K, origin]
        for names in shared_names(everyone):
            jobs.append(_job(names, weights_K, origin, method, settings))
    return Plan(row, weights_K, settings, with_moments(jobs))


def check(
    method: str, settings: Mapping[str, Any], models: int, base: bool
) -> dict[str, Any]:
    """Check a method and its settings for one tensor, before anything is read.

    Args:
        method: A name in `METHODS`.
        settings: Keyword arguments of its function and its measure; ``lambda`` may be
            given by that name.
        models: How many there are beside the base.
        base: Whether there is one.

    Returns:
        The settings by the names that the function knows.

    Raises:
        InputError: Unknown method or setting, a missing or impossible one, a number of
            models that the method cannot take, a missing or needless base.

    Example:
        >>> check("ties", {"density": 0.5, "lambda": 2}, models=2, base=True)
        {'density': 0.5, 'lambda_': 2}
        >>> check("ties", {"density": 5}, models=2, base=True)
        Traceback (most recent call last):
            ...
        dale.errors.InputError: density must be in [0, 1], got [5.0, 5.0]
    """
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}: {nearest(method, METHODS)}")
    row = METHODS[method]
    settings = {"lambda_" if n == "lambda" else n: v for n, v in settings.items()}
    _check_settings(method, row, settings)
    _check_models(method, row, models, base)
    if row.scope != "model":
        _rehearse(method, models, base, settings)
    return settings


def _job(
    names: tuple[str, ...],
    weights_K: Sequence[Weights],
    base: Weights | None,
    method: str,
    settings: Mapping[str, Any],
) -> Job:
    lead, *ties = names
    sources_K = tuple(Source(weights, lead) for weights in weights_K)
    origin = None if base is None else Source(base, lead)
    of = sources_K[0].entry
    shape, dtype, cast = of.shape, of.dtype, None
    return Job(
        lead, sources_K, origin, method, settings, shape, dtype, cast, tuple(ties)
    )


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
        if isinstance(settings[name], float):
            each(name.rstrip("_"), settings[name], 1)
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in settings:
            raise InputError(f"{method} needs the setting {name!r}")


def _check_models(method: str, row: Method, count: int, base: bool) -> None:
    fewest, most = row.models
    if count < fewest or (most is not None and count > most):
        span = f"{fewest} or more" if most is None else f"exactly {fewest}"
        beside = "" if row.base == "none" else " beside the base"
        noun = "model" if span == "exactly 1" else "models"
        raise InputError(f"{method} needs {span} {noun}{beside}, got {count}")
    if row.needs_base and not base:
        raise InputError(f"{method} needs a base")
    if row.base == "none" and base:
        raise InputError(f"{method} takes no base")


def _rehearse(method: str, count: int, base: bool, settings: Mapping[str, Any]) -> None:
    """Merge models of one element, so that impossible settings show before any work."""
    tiny: list[Weights] = [{"": torch.tensor([1.0 + k])} for k in range(count)]
    origin = {"": torch.tensor([0.5])} if base else None
    for _, tensor in run_jobs([_job(("",), tiny, origin, method, settings)]):
        if not tensor.isfinite().all():
            raise InputError(
                f"{method} makes {tensor.item()} of numbers about 1 with these settings"
            )
