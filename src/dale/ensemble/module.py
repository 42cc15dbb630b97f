"""Several networks that answer as one.

Shapes: M members, N examples, C classes, K sets of weights.
"""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from dale.ensemble.average import MemberWeights, normalised
from dale.errors import InputError, ModelError, nearest
from dale.weights import Weights, load_into

Combine = Callable[[Tensor, MemberWeights], Tensor]
LogProbMap = Callable[[Tensor], Tensor]


class Ensemble(nn.Module):
    """A module whose output is the members' combined log-probabilities.

    ``forward(x) = log_softmax(combine(f_1(x), ..., f_M(x); w) / T)``

    It behaves as any module: ``train``, ``eval``, ``to``, ``parameters`` and
    ``state_dict`` reach every member, and gradients flow to all of them. Weights and a
    numeric temperature are buffers, so they are saved and moved along; a temperature
    that is a plain function is not part of the ``state_dict``. The given modules are
    used, not copied.

    Args:
        modules: One or more modules; each maps the same inputs to logits (N, C).
        combine: Name of a row of `COMBINERS`, or a function of the same form.
        weights: Non-negative, M numbers with a positive sum; equal when left out.
        temperature: A number > 0 that divides the combined log-probabilities, or any
            function from log-probabilities to logits, such as the ``apply`` of a
            fitted calibrator.

    Raises:
        InputError: No module, or an unknown combiner, impossible weights or
            temperature.

    Example:
        >>> first, second = nn.Linear(3, 2), nn.Linear(3, 2)
        >>> ensemble = Ensemble([first, second], weights=[1, 0])
        >>> x = torch.randn(4, 3)
        >>> torch.allclose(ensemble(x), first(x).log_softmax(dim=1))
        True
    """

    weights_M: Tensor | None
    temperature: Tensor | None

    def __init__(
        self,
        modules: Iterable[nn.Module],
        combine: str | Combine = "mean_probability",
        weights: Sequence[float] | Tensor | None = None,
        temperature: float | LogProbMap | None = None,
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(modules)
        if not len(self.networks):
            raise InputError("modules: expected at least one module, got none")
        self.combine = _combiner(combine)
        self.register_buffer("weights_M", self._checked_weights(weights))
        self.calibrate: LogProbMap | None = None
        if callable(temperature):
            self.calibrate, temperature = temperature, None
        self.register_buffer("temperature", _checked_temperature(temperature))

    @classmethod
    def from_weights(
        cls,
        module: nn.Module,
        weights_K: Iterable[Weights],
        combine: str | Combine = "mean_probability",
        weights: Sequence[float] | Tensor | None = None,
        temperature: float | LogProbMap | None = None,
    ) -> Self:
        """An ensemble of copies of one module, each with its own weights.

        Args:
            module: The architecture; it is copied and left as it is.
            weights_K: K >= 1 sets of named tensors that fit the module exactly.
            combine: As for the class.
            weights: As for the class.
            temperature: As for the class.

        Returns:
            An ensemble of K members.

        Raises:
            WeightsError: Names or shapes that do not fit the module.
            InputError: As for the class.

        Example:
            >>> net = nn.Linear(3, 2)
            >>> states = [nn.Linear(3, 2).state_dict() for _ in range(4)]
            >>> len(Ensemble.from_weights(net, states).networks)
            4
        """
        copies = []
        for tensors in weights_K:
            copy = deepcopy(module)
            load_into(copy, tensors)
            copies.append(copy)
        return cls(copies, combine, weights, temperature)

    def members(self, *args: Any, **kwargs: Any) -> Tensor:
        """The members' logits, before they are combined.

        Args:
            *args: Passed to every member.
            **kwargs: Passed to every member.

        Returns:
            Shape (M, N, C).

        Raises:
            ModelError: A member returns something else than logits (N, C), or members
                differ in shape.
        """
        outputs = [network(*args, **kwargs) for network in self.networks]
        for index, output in enumerate(outputs):
            _check_output(index, output, outputs[0])
        return torch.stack(outputs)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Combined and calibrated log-probabilities, shape (N, C)."""
        log_probs_NC = self.combine(self.members(*args, **kwargs), self.weights_M)
        if self.temperature is not None:
            return (log_probs_NC / self.temperature).log_softmax(dim=1)
        if self.calibrate is not None:
            return self.calibrate(log_probs_NC).log_softmax(dim=1)
        return log_probs_NC

    def _checked_weights(
        self, weights: Sequence[float] | Tensor | None
    ) -> Tensor | None:
        if weights is None:
            return None
        # any logits of M members will do: only their number is looked at
        return normalised(weights, torch.zeros(len(self.networks), 1, 2)).detach()


def _combiner(combine: str | Combine) -> Combine:
    # here and not above, as the table's module imports this one
    from dale.ensemble import COMBINERS

    if not isinstance(combine, str):
        return combine
    if combine not in COMBINERS:
        raise InputError(f"unknown combiner {combine!r}; {nearest(combine, COMBINERS)}")
    return cast(Combine, COMBINERS[combine].function)


def _checked_temperature(temperature: float | None) -> Tensor | None:
    if temperature is None:
        return None
    if not 0 < temperature < float("inf"):
        raise InputError(f"temperature: expected a number > 0, got {temperature}")
    return torch.tensor(float(temperature))


def _check_output(index: int, output: object, first: Tensor) -> None:
    if not isinstance(output, Tensor) or output.ndim != 2:
        shape = tuple(output.shape) if isinstance(output, Tensor) else None
        got = shape or f"a {type(output).__name__}"
        raise ModelError(f"member {index}: expected logits of shape (N, C), got {got}")
    if output.shape != first.shape:
        raise ModelError(
            f"member {index}: expected logits of shape {tuple(first.shape)} as from "
            f"member 0, got {tuple(output.shape)}"
        )
