"""What is true of a way to merge."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from dale.merge.blocks import pieces_of


@dataclass(frozen=True)
class Method:
    """One way to merge.

    Attributes:
        function: For scopes ``"tensor"`` and ``"global"`` a pure kernel,
            ``function(tensors_K[, base][, generators_K][, measured], **settings)``,
            that sees one tensor of every model; for scope ``"model"``
            ``function(weights_K, **settings)``.
        summary: One line.
        reference: Where it was published.
        scope: What must be seen at once: one tensor of every model; one tensor and
            what `measure` found in all of them; or whole models.
        idempotent: K equal models give that model, with default settings.
        symmetric: The order of the models does not matter, with default settings.
        base: Whether the kernel takes the tensor of a common ancestor, or of the model
            that is moved.
        models: The fewest and the most models beside the base; None is no limit.
        deterministic: Nothing is drawn at random. A method that draws is reproducible
            by its seed, but equal masks are not to be had in another order of models.
        complex: Complex tensors can be merged.
        spreads: An element of a model or the base that is not finite, and has a part in
            the result, makes an element of the result that is not.
        streams: Works on one name at a time over files.
        needs_data: Inputs or statistics of inputs are needed.
        needs_score: A score function is needed.
        mergekit: Name of the method in mergekit's configurations, if it has it.
        measure: For scope ``"global"``, ``measure(walk, **settings)``; a walk gives
            the tensors of the models and of the base, name by name.
    """

    function: Callable[..., Any]
    summary: str
    reference: str
    scope: Literal["tensor", "global", "model"] = "tensor"
    idempotent: bool = False
    symmetric: bool = False
    base: Literal["none", "optional", "required"] = "none"
    models: tuple[int, int | None] = (1, None)
    deterministic: bool = True
    complex: bool = False
    spreads: bool = False
    streams: bool = True
    needs_data: bool = False
    needs_score: bool = False
    mergekit: str | None = None
    measure: Callable[..., Any] | None = None

    @property
    def chunks(self) -> bool:
        """Whether a tensor is made piece by piece, with one piece of each in memory."""
        return pieces_of(self.function) is not None

    @property
    def needs_base(self) -> bool:
        """Whether it cannot work without a base."""
        return self.base == "required"


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The settings of a row's function: what can only be given by name."""
    found = inspect.signature(function).parameters
    return {n: p for n, p in found.items() if p.kind == p.KEYWORD_ONLY}
