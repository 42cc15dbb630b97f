"""A model's parameters in groups: by layer, and by what their names match."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from torch.nn import Parameter

from dale.errors import InputError
from dale.schedules import discriminative_rates

VECTORS = "vectors"
"""Matches what has fewer than two dimensions: biases, and the scales and shifts of
normalisation layers."""


def layers_of(
    model: nn.Module, patterns: Sequence[str] = ()
) -> dict[str, dict[str, Parameter]]:
    """The trainable parameters by layer, from the input to the head.

    A module that holds a parameter of two or more dimensions begins a layer, in the
    order in which modules were registered; what has fewer, such as a normalisation,
    belongs to the layer before it.

    Args:
        model: Any network.
        patterns: Layers of one's own in place of these, from the input to the head:
            names of modules, or wildcards for names of parameters. The first that
            matches a parameter has it.

    Returns:
        Name of the layer, or its pattern, to its parameters by name; a tensor that
        is used twice is in the first.

    Raises:
        InputError: Nothing can be trained, or patterns and parameters do not fit.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
        >>> {name: list(layer) for name, layer in layers_of(model).items()}
        {'0': ['0.weight', '0.bias', '1.weight', '1.bias'], '2': ['2.weight', '2.bias']}
        >>> list(layers_of(model, patterns=["0", "*"]))
        ['0', '*']
    """
    named = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if not named:
        raise InputError("the model has no parameter to train")
    if patterns:
        found: dict[str, dict[str, Parameter]] = {pattern: {} for pattern in patterns}
        for name, pattern in matches(named, patterns).items():
            if pattern is None:
                raise InputError(
                    f"layers: no pattern matches {name!r}; add '*' for what is left"
                )
            found[pattern][name] = named[name]
        return found
    found, layer = {}, ""
    for name, module in model.named_modules():
        own = {f"{name}.{n}" if name else n for n, _ in _own(module)} & set(named)
        mine = {n: named[n] for n in named if n in own}
        if mine and (not found or any(p.dim() > 1 for p in mine.values())):
            layer = name or "(root)"
        if mine:
            found.setdefault(layer, {}).update(mine)
    return found


def layer_groups(
    model: nn.Module, factor: float = 1.0, patterns: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Parameter groups for any optimiser of PyTorch, one for each layer.

    Each has the ``name`` of its layer and, as ``lr_scale``, the factor of its rate:
    `dale.Scheduled` multiplies the schedule by it, as dale's own training does.

    Args:
        model: Any network.
        factor: Of a layer's rate to that of the next one towards the head, see
            `dale.schedules.discriminative_rates`.
        patterns: Layers of one's own, see `layers_of`.

    Returns:
        The groups, from the input to the head.

    Raises:
        InputError: See `layers_of`; or the factor is not above 0.

    Example:
        >>> import torch, dale
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> optimizer = torch.optim.SGD(layer_groups(model, factor=0.5), lr=0.1)
        >>> _ = dale.CosineRestarts(optimizer, peak=0.1, steps=100, cycles=4)
        >>> [(group["name"], group["lr"]) for group in optimizer.param_groups]
        [('0', 0.05), ('2', 0.1)]
    """
    layers = layers_of(model, patterns)
    scales = discriminative_rates(len(layers), factor)
    return [
        {"params": list(layer.values()), "name": name, "lr_scale": scale}
        for (name, layer), scale in zip(layers.items(), scales, strict=True)
    ]


def parameter_groups(
    model: nn.Module,
    layers: Sequence[str] | None,
    fields: Iterable[Sequence[str]] = (),
) -> list[Any]:
    """Groups in which all parameters are of one layer and match the same patterns.

    Args:
        model: Any network.
        layers: Patterns of the layers, empty for the model's own; None for no layers.
        fields: Patterns, in order, for each setting that depends on names.

    Returns:
        What an optimiser takes: the parameters themselves where nothing tells them
        apart.

    Raises:
        InputError: Patterns and parameters do not fit.
    """
    named = dict(model.named_parameters())
    chosen = [matches(named, patterns) for patterns in fields]
    if layers is None and not chosen:
        return list(model.parameters())
    whole = {"": named} if layers is None else layers_of(model, layers)
    groups: dict[Any, dict[str, Any]] = {}
    for layer, parameters in whole.items():
        head = {} if layers is None else {"name": layer, "lr_scale": 1.0}
        for name, parameter in parameters.items():
            key = (layer, *(found[name] for found in chosen))
            group = groups.setdefault(key, {"params": [], **head})
            group["params"].append(parameter)
    return list(groups.values())


def matches(
    named: Mapping[str, Parameter], patterns: Sequence[str]
) -> dict[str, str | None]:
    """The first pattern that matches each parameter, if any.

    A pattern is a wildcard for the parameter's name, the name of a module that it is
    in, or `VECTORS`.

    Args:
        named: Parameters by name.
        patterns: In order.

    Returns:
        Name to pattern.

    Raises:
        InputError: A pattern is the first to match no parameter.
    """
    found = {
        name: next((p for p in patterns if _matches(name, parameter, p)), None)
        for name, parameter in named.items()
    }
    for pattern in patterns:
        if pattern not in found.values():
            raise InputError(
                f"the pattern {pattern!r} decides for no parameter; their names: "
                f"{', '.join(list(named)[:8])}{', …' if len(named) > 8 else ''}"
            )
    return found


def _matches(name: str, parameter: Parameter, pattern: str) -> bool:
    if pattern == VECTORS:
        return parameter.dim() < 2
    return fnmatchcase(name, pattern) or name.startswith(f"{pattern}.")


def _own(module: nn.Module) -> list[tuple[str, Parameter]]:
    return list(module.named_parameters(recurse=False))
