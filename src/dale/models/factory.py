"""A model of the user's own, named by the function that makes it."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from dale import factories
from dale.errors import ModelError


def build_factory(
    function: str,
    shape: tuple[int, ...],
    classes: int,
    args: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a model with a function of the user's; this runs the user's code.

    Args:
        function: ``module:function`` or ``path/to/file.py:function``.
        shape: One input's shape, passed as ``shape`` where the signature names it.
        classes: Number of classes C, passed as ``classes`` where the signature names
            it.
        args: The other keyword arguments. One called ``shape`` or ``classes`` wins.

    Returns:
        The module the function returned, as it returned it.

    Raises:
        ModelError: The function cannot be imported, does not take the arguments, fails,
            or returns something else than a module.

    Example:
        >>> build_factory("torch.nn:Linear", (8,), 3, {"in_features": 8,
        ...     "out_features": 3})
        Linear(in_features=8, out_features=3, bias=True)
    """
    offered = {"shape": shape, "classes": classes}
    model = factories.call(function, args or {}, offered, ModelError)
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"{function} returned {type(model).__name__}; expected a torch.nn.Module"
        )
    return model
