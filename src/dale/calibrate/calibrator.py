"""What every fitted calibrator is, and the one that changes nothing.

Shapes: N examples, C classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

from dale.errors import InputError
from dale.metrics import check_shape, checked

Header = dict[str, str | float | None]
_SUMS = 1e-2  # what the sum of rounded probabilities may be off by


class Calibrator(Protocol):
    """A fitted map from logits to logits: a frozen value.

    What was learned is saved as named tensors, what was found out about the fit as a
    flat header for JSON: ``cls.load(c.tensors(), c.header()) == c``. The header's
    ``"calibrator"`` is the name of its row in `CALIBRATORS`. The result of ``apply``
    is in float64 and is valid logits; methods that work on probabilities return
    log-probabilities.
    """

    def apply(self, logits_NC: Tensor) -> Tensor:
        """Calibrated logits of shape (N, C); the input is left as it is."""
        ...

    def describe(self) -> str:
        """One line in words: what was fitted, how it went, and what to distrust."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """The learned numbers by name; empty when there are none."""
        ...

    def header(self) -> Header:
        """What else is needed to load it or worth knowing about it."""
        ...

    @classmethod
    def load(
        cls, tensors: Mapping[str, Tensor], header: Mapping[str, str | float | None]
    ) -> Self:
        """The inverse of ``tensors`` and ``header``."""
        ...


@dataclass(frozen=True)
class Identity:
    """The calibrator that changes nothing: a baseline for every table.

    Example:
        >>> Identity().apply(torch.tensor([[1.0, 2.0]]))
        tensor([[1., 2.]], dtype=torch.float64)
    """

    def apply(self, logits_NC: Tensor) -> Tensor:
        """The logits themselves, in float64."""
        check_shape(logits_NC, "logits_NC")
        return logits_NC.double()

    def describe(self) -> str:
        """One line in words."""
        return "not calibrated"

    def tensors(self) -> dict[str, Tensor]:
        """No tensors."""
        return {}

    def header(self) -> Header:
        """Its name alone."""
        return {"calibrator": "none"}

    @classmethod
    def load(
        cls, tensors: Mapping[str, Tensor], header: Mapping[str, str | float | None]
    ) -> Self:
        """The inverse of ``tensors`` and ``header``."""
        check_saved(tensors, header, "none", (), ())
        return cls()


def fit_identity(logits_NC: Tensor, targets_N: Tensor) -> Identity:
    """Look at the data as every fit does, and learn nothing.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).

    Returns:
        The identity.

    Raises:
        InputError: Wrong types, shapes, labels, NaN, or probabilities.

    Example:
        >>> fit_identity(torch.zeros(2, 3), torch.tensor([0, 1]))
        Identity()
    """
    check_logits(checked(logits_NC, targets_N)[0])
    return Identity()


def check_logits(logits_NC: Tensor) -> None:
    """Refuse probabilities that were passed as logits.

    They are recognised when *every* row is non-negative and sums to 1 within 1e-2,
    as they do in half precision and after rounding to three digits; a set of true
    logits has no reason to look like that. Softmax of probabilities is nearly
    uniform, and a temperature fitted to them is meaningless.

    Args:
        logits_NC: Floating, shape (N, C), without NaN.

    Raises:
        InputError: Every row is a probability vector.

    Example:
        >>> check_logits(torch.tensor([[0.5, 0.5], [0.9, 0.2]]))
        >>> check_logits(torch.tensor([[0.5, 0.5], [0.9, 0.1]]))
        Traceback (most recent call last):
        ...
        dale.errors.InputError: logits_NC: expected logits, got probabilities (all 2 \
rows are >= 0 and sum to 1); pass logits or log-probabilities (the log of these)
    """
    # one row that is no probability vector answers for all: most often the first
    if _are_probabilities(logits_NC[:1]) and _are_probabilities(logits_NC):
        raise InputError(
            f"logits_NC: expected logits, got probabilities (all {len(logits_NC)} rows "
            "are >= 0 and sum to 1); pass logits or log-probabilities (the log of "
            "these)"
        )


def _are_probabilities(logits_NC: Tensor) -> bool:
    if bool((logits_NC < 0).any()):
        return False
    sums_N = logits_NC.sum(dim=1, dtype=torch.float64)
    return bool(((sums_N - 1).abs() <= _SUMS).all())


def checked_to_fit(logits_NC: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    """`checked`, and refuse probabilities and targets of probability 0.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).

    Returns:
        The pair of tensors, as `checked` gives them.

    Raises:
        InputError: Wrong types, shapes, labels, NaN; probabilities instead of logits;
            or a target with a logit of -inf.
    """
    logits_NC, targets_N = checked(logits_NC, targets_N)
    check_logits(logits_NC)
    check_possible(logits_NC, targets_N)
    return logits_NC, targets_N


def check_possible(logits_NC: Tensor, targets_N: Tensor) -> None:
    """Refuse a target whose logit is -inf: its NLL is infinite before and after.

    Args:
        logits_NC: Checked logits.
        targets_N: Checked targets.

    Raises:
        InputError: There is such a target; the first is named.
    """
    impossible_N = logits_NC.gather(1, targets_N[:, None])[:, 0] == -torch.inf
    if bool(impossible_N.any()):
        index = int(impossible_N.nonzero()[0])
        raise InputError(
            f"example {index}: expected a finite logit for its target "
            f"{int(targets_N[index])}, got -inf: its NLL is infinite at every "
            "temperature; smooth the probabilities first"
        )


def gain_in_words(count: int, before: float, after: float) -> str:
    """What every fit says of itself.

    Example:
        >>> gain_in_words(1, 0.75, 0.5), gain_in_words(2000, 1e300, 1.0)
        ('from 1 example: NLL 0.7500 -> 0.5000', \
'from 2,000 examples: NLL 1.0000e+300 -> 1.0000')
    """
    first, last = (f"{v:.4{'f' if v < 1e9 else 'e'}}" for v in (before, after))
    return f"from {count:,} example{'s' * (count != 1)}: NLL {first} -> {last}"


def check_number(name: str, value: float) -> None:
    """Refuse a strength that is not a positive finite number.

    Args:
        name: Of the setting.
        value: To be checked.

    Raises:
        InputError: It is not.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < float("inf"):
        raise InputError(f"{name}: expected a finite number > 0, got {value!r}")


def check_saved(
    tensors: Mapping[str, Tensor],
    header: Mapping[str, str | float | None],
    calibrator: str,
    tensor_names: tuple[str, ...],
    keys: tuple[str, ...],
) -> None:
    """Refuse to load what another calibrator wrote, or what is incomplete.

    Args:
        tensors: As read from a file.
        header: As read from a file.
        calibrator: The expected value of ``header["calibrator"]``.
        tensor_names: The expected names of the tensors, neither more nor fewer.
        keys: Further keys that the header must have.

    Raises:
        InputError: Something is missing, unexpected or of another calibrator.
    """
    found = header.get("calibrator")
    if found != calibrator:
        raise InputError(f"calibrator: expected {calibrator!r}, got {found!r}")
    if set(tensors) != set(tensor_names):
        raise InputError(
            f"{calibrator} calibrator: expected tensors {sorted(tensor_names)}, got "
            f"{sorted(tensors)}"
        )
    missing = sorted(set(keys) - set(header))
    if missing:
        raise InputError(f"{calibrator} calibrator: header lacks {', '.join(missing)}")
