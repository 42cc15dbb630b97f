"""Which regime a run is in, and what that means for the strategy."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dale.errors import InputError

Regime = Literal["underfits", "balanced", "overfits"]

_HEADLINE = {
    "overfits": "The network fits its training examples far better than new ones.",
    "underfits": "The network errs on its training examples almost as on new ones.",
    "balanced": "The network is between under-fitting and over-fitting.",
}
_ADVICE = {
    "overfits": (
        "More updates on the same examples buy little, and what members get wrong "
        "differs: spend the budget on several members (snapshots or short cycles) and "
        "pool them. Augmentation or more examples would help a single network too."
    ),
    "underfits": (
        "The budget or the capacity is what limits it: one long run usually beats "
        "several short cycles. Train longer or take a larger network before "
        "splitting the budget."
    ),
    "balanced": (
        "One long run and snapshots should come close: compare them on validation "
        "data, and look at the calibrated likelihood as well as the error."
    ),
}


@dataclass(frozen=True)
class Verdict:
    """What the gap between training and validation says.

    Args:
        regime: Under-fitting, over-fitting, or between.
        headline: The finding in one sentence.
        reasons: The figures it rests on, in words.
        advice: What it means for the choice of strategy.
        figures: The figures themselves.
    """

    regime: Regime
    headline: str
    reasons: tuple[str, ...]
    advice: str
    figures: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def regime(
    train: Mapping[str, float], val: Mapping[str, float], examples: int
) -> Verdict:
    """Tell under-fitting from over-fitting by the training-validation gap.

    With ``r`` the error on training examples (not augmented, evaluation mode) over
    the error on validation examples: ``r < 1/2`` over-fits, ``r > 3/4`` under-fits.
    Half of the validation error is then variance that pooling can remove, or three
    quarters of it is error that the network cannot or did not yet fit. When the two
    errors are too close to zero to tell (fewer than 10 mistakes on validation), the
    same rule is applied to the negative log-likelihoods.

    Args:
        train: ``"error"`` and ``"nll"`` of one fully trained member on a probe of
            the training examples.
        val: The same on validation examples.
        examples: Number of validation examples.

    Returns:
        The verdict.

    Raises:
        InputError: A score is missing or not finite.

    Example:
        >>> train, val = {"error": 0.01, "nll": 0.04}, {"error": 0.11, "nll": 0.5}
        >>> regime(train, val, examples=1000).regime
        'overfits'
        >>> regime({"error": 0.10, "nll": 0.28}, val, examples=1000).regime
        'underfits'
    """
    for name, scores in (("train", train), ("val", val)):
        for score in ("error", "nll"):
            if not math.isfinite(scores.get(score, math.nan)):
                raise InputError(f"{name} scores lack a finite {score}: {dict(scores)}")
    mistakes = val["error"] * examples
    measure = "error" if mistakes >= 10 else "nll"
    ratio = train[measure] / val[measure] if val[measure] > 0 else 1.0
    found: Regime = "balanced"
    if ratio < 0.5:
        found = "overfits"
    elif ratio > 0.75:
        found = "underfits"
    return Verdict(
        regime=found,
        headline=_HEADLINE[found],
        reasons=_reasons(train, val, measure, ratio),
        advice=_ADVICE[found],
        figures={
            "train_error": train["error"],
            "val_error": val["error"],
            "train_nll": train["nll"],
            "val_nll": val["nll"],
            "ratio": ratio,
        },
    )


def _reasons(
    train: Mapping[str, float], val: Mapping[str, float], measure: str, ratio: float
) -> tuple[str, ...]:
    name = {"error": "error", "nll": "negative log-likelihood"}[measure]
    return (
        f"error {train['error']:.2%} on training examples, {val['error']:.2%} on "
        "validation",
        f"negative log-likelihood {train['nll']:.4f} against {val['nll']:.4f}",
        f"training {name} is {ratio:.2f} of the validation {name} "
        "(below 0.50 over-fits, above 0.75 under-fits)",
    )
