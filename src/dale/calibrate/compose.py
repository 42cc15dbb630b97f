"""Calibrators one after the other: a temperature, then a bias, then a prior.

Shapes: N examples, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from torch import Tensor

from dale.calibrate.calibrator import Calibrator, Header
from dale.calibrate.guard import Fit
from dale.errors import InputError
from dale.metrics import check_shape, checked

T = TypeVar("T")


@dataclass(frozen=True)
class Composed:
    """Fitted calibrators, applied from the first to the last.

    Args:
        parts: The calibrators; none changes nothing.

    Example:
        >>> import torch
        >>> from dale.calibrate import Temperature, given_shift
        >>> warm = Temperature(2.0, 0.9, 0.7, None, 100)
        >>> both = compose(warm, given_shift([0.5, 0.5], [0.8, 0.2]))
        >>> both.apply(torch.zeros(1, 2)).exp()
        tensor([[0.8000, 0.2000]], dtype=torch.float64)
    """

    parts: tuple[Calibrator, ...]

    def apply(self, logits_NC: Tensor) -> Tensor:
        """What the last part gives when each takes what the one before gave.

        Args:
            logits_NC: Floating, shape (N, C).

        Returns:
            Float64, shape (N, C).

        Raises:
            InputError: As the parts.
        """
        check_shape(logits_NC, "logits_NC")
        logits_NC = logits_NC.double()
        for part in self.parts:
            logits_NC = part.apply(logits_NC)
        return logits_NC

    def describe(self) -> str:
        """The parts in words, in order."""
        return ", then ".join(part.describe() for part in self.parts) or "nothing"

    def tensors(self) -> dict[str, Tensor]:
        """The tensors of all parts, each name behind the position of its part."""
        return {
            f"{place}.{name}": tensor
            for place, part in enumerate(self.parts)
            for name, tensor in part.tensors().items()
        }

    def header(self) -> Header:
        """The headers of all parts, each key behind the position of its part."""
        header: Header = {"calibrator": "composed", "parts": len(self.parts)}
        for place, part in enumerate(self.parts):
            header |= {f"{place}.{key}": x for key, x in part.header().items()}
        return header

    @classmethod
    def load(
        cls, tensors: Mapping[str, Tensor], header: Mapping[str, str | float | None]
    ) -> Self:
        """The inverse of ``tensors`` and ``header``."""
        # the table of what can be loaded holds this class too
        from dale.calibrate import load_calibrator

        if header.get("calibrator") != "composed" or "parts" not in header:
            raise InputError(
                "calibrator: expected 'composed' with its number of parts, got "
                f"{header.get('calibrator')!r}"
            )
        count = int(header["parts"] or 0)
        known = {f"{place}" for place in range(count)}
        stray = sorted(name for name in tensors if name.partition(".")[0] not in known)
        if stray:
            raise InputError(f"composed calibrator: unexpected tensors {stray}")
        return cls(
            tuple(
                load_calibrator(_under(place, tensors), _under(place, header))
                for place in range(count)
            )
        )


def compose(*parts: Calibrator) -> Composed:
    """Fitted calibrators as one, applied from the first to the last.

    Args:
        parts: The calibrators.

    Returns:
        Their composition.
    """
    return Composed(parts)


def fit_in_turn(logits_NC: Tensor, targets_N: Tensor, fits: Sequence[Fit]) -> Composed:
    """Fit one calibrator after the other, each to what the ones before give.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        fits: Fitting functions, such as `fit_temperature` and `fit_isotonic`.

    Returns:
        Their composition.

    Raises:
        InputError: As the fitting functions.

    Example:
        >>> import torch
        >>> from dale.calibrate import fit_temperature
        >>> logits = torch.tensor([[9.0, 0.0]]).repeat(4, 1)
        >>> targets = torch.tensor([0, 0, 0, 1])
        >>> twice = fit_in_turn(logits, targets, [fit_temperature, fit_temperature])
        >>> [round(part.value, 3) for part in twice.parts]
        [8.192, 1.0]
    """
    checked(logits_NC, targets_N)
    parts: list[Calibrator] = []
    for fit in fits:
        parts.append(fit(logits_NC, targets_N))
        logits_NC = parts[-1].apply(logits_NC)
    return Composed(tuple(parts))


def _under(place: int, values: Mapping[str, T]) -> dict[str, T]:
    start = f"{place}."
    return {
        key.removeprefix(start): value
        for key, value in values.items()
        if key.startswith(start)
    }
