"""What calibrators of several numbers share: facts of the fit, files, and a way back.

Shapes: N examples, C classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import ClassVar, Self, TypeVar, cast

import torch
from torch import Tensor

from dale.calibrate.calibrator import Header, check_saved, gain_in_words
from dale.calibrate.scaling import Temperature
from dale.errors import InputError
from dale.metrics import blocks, check_shape, nll, nll_N

FLOOR = -100.0
"""Log-probabilities and log-odds are held within this distance of 0 where they are
multiplied: e^-100 is beyond what data can tell, and a masked class is -inf or -3e38."""

_GAIN = 1e-12  # nats; less is rounding


@dataclass(frozen=True)
class Facts:
    """How a fit went.

    Args:
        temperature: T of the temperature scaling that the map starts from; 1 for maps
            that need none.
        nll_before: Mean NLL of the fitting data as they were, in nats.
        nll_after: The same of what ``apply`` gives; never larger.
        n: Number of examples.
        fallback: The fitted map did not lower the NLL of the fitting data below that
            of ``temperature`` alone, which therefore is all that ``apply`` does.
    """

    temperature: float
    nll_before: float
    nll_after: float
    n: int
    fallback: bool


@dataclass(frozen=True, eq=False)
class Fitted(ABC):
    """Base of the calibrators that hold tensors. Not used by itself.

    A subclass names its row in `CALIBRATORS`, adds its tensors as fields, and says in
    ``_map`` what becomes of the logits. Two are equal if all that is saved is equal.

    Args:
        facts: How the fit went.
    """

    name: ClassVar[str]
    facts: Facts

    @abstractmethod
    def _map(self, logits_NC: Tensor) -> Tensor:
        """The fitted map of float64 logits."""

    def apply(self, logits_NC: Tensor) -> Tensor:
        """Calibrated logits, or the logits / T alone if the fit fell back to that.

        Args:
            logits_NC: Floating, shape (N, C); -inf stays -inf.

        Returns:
            Float64, shape (N, C).

        Raises:
            InputError: Wrong type or shape, or another number of classes than fitted.
        """
        check_shape(logits_NC, "logits_NC")
        if self.facts.fallback:
            return logits_NC.double() / self.facts.temperature
        return torch.cat([self._map(part) for part, _ in blocks(logits_NC)])

    def describe(self) -> str:
        """One line in words, with a warning where the fit fell back."""
        facts = self.facts
        text = f"{self.name} "
        text += gain_in_words(facts.n, facts.nll_before, facts.nll_after)
        if facts.fallback:
            kept = (
                "the logits are left as they are"
                if facts.temperature == 1.0
                else f"temperature {facts.temperature:.4g} alone is used"
            )
            text += f"; the fitted map lowered the NLL no further, so {kept}"
        return text

    def tensors(self) -> dict[str, Tensor]:
        """The learned numbers by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {key: x for key, x in values.items() if isinstance(x, Tensor)}

    def header(self) -> Header:
        """Its name and the facts of the fit."""
        return {"calibrator": self.name, **asdict(self.facts)}

    @classmethod
    def load(
        cls, tensors: Mapping[str, Tensor], header: Mapping[str, str | float | None]
    ) -> Self:
        """The inverse of ``tensors`` and ``header``."""
        names = tuple(field.name for field in fields(cls) if field.name != "facts")
        keys = [field.name for field in fields(Facts)]
        check_saved(tensors, header, cls.name, names, tuple(keys))
        t, before, after, n, fallback = (cast(float, header[key]) for key in keys)
        facts = Facts(t, before, after, int(n), bool(fallback))
        return cls(facts, *(tensors[name].double() for name in names))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Fitted) or self.header() != other.header():
            return False
        mine, theirs = self.tensors(), other.tensors()
        return all(torch.equal(mine[key], theirs[key]) for key in mine)

    def __hash__(self) -> int:
        return hash((self.name, self.facts))

    def _check_classes(self, logits_NC: Tensor, classes: int) -> None:
        if logits_NC.shape[1] != classes:
            raise InputError(
                f"{self.name} calibrator: expected logits of {classes} classes, as it "
                f"was fitted to, got {logits_NC.shape[1]}"
            )


F = TypeVar("F", bound=Fitted)


def settled(
    make: Callable[[Facts], F], base: Temperature, logits_NC: Tensor, targets_N: Tensor
) -> F:
    """The fitted calibrator with its facts, fallen back where it gained nothing.

    Args:
        make: Builds the calibrator around given facts.
        base: The temperature to fall back to, fitted to the same data.
        logits_NC: Checked logits.
        targets_N: Checked targets.

    Returns:
        The calibrator.
    """
    start = Facts(base.value, base.nll_before, base.nll_after, base.n, False)
    fitted = make(start)
    parts = [
        nll_N(fitted.apply(part), labels)
        for part, labels in blocks(logits_NC, targets_N)
    ]
    after = float(torch.cat(parts).mean())
    # at the low bound every map that sharpens without limit would seem to gain
    if base.at_bound != "low" and after < base.nll_after - _GAIN:
        return replace(fitted, facts=replace(start, nll_after=after))
    return replace(fitted, facts=replace(start, fallback=True))


def unchanged(logits_NC: Tensor, targets_N: Tensor) -> Temperature:
    """What maps without a temperature fall back to: the logits as they are."""
    before = nll(logits_NC, targets_N)
    return Temperature(1.0, before, before, None, len(targets_N))


def log_probs(logits_NC: Tensor, temperature: float) -> Tensor:
    """Log-probabilities of logits / T, none below `FLOOR`. Float64."""
    return (logits_NC.double() / temperature).log_softmax(dim=1).clamp(min=FLOOR)


def log_odds(logits_NC: Tensor, temperature: float) -> Tensor:
    """Log-odds ``log p_c - log(1 - p_c)`` of logits / T, within `FLOOR` of 0.

    A class above 1/2 is scored by the others together, so that nothing is lost where
    its probability rounds to 1.
    """
    z_NC = logits_NC.double() / temperature
    z_NC = z_NC - z_NC.amax(dim=1, keepdim=True)
    top_N1 = z_NC.argmax(dim=1, keepdim=True)
    others_N1 = z_NC.scatter(1, top_N1, -torch.inf).logsumexp(dim=1, keepdim=True)
    log_p_NC = z_NC.log_softmax(dim=1)
    # the most probable class is set apart: of the others none is above 1/2
    rest_NC = log_p_NC.scatter(1, top_N1, -torch.inf)
    odds_NC = (rest_NC - (-rest_NC.exp()).log1p()).scatter(1, top_N1, -others_N1)
    return odds_NC.clamp(min=FLOOR, max=-FLOOR)


def ruled_out(logits_NC: Tensor, calibrated_NC: Tensor) -> Tensor:
    """The calibrated logits with -inf wherever the logits were -inf."""
    return calibrated_NC.masked_fill(logits_NC == -torch.inf, -torch.inf)
