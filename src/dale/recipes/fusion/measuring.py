"""Fusions that look at data, or at statistics of data that the run keeps as files."""

from typing import Any, Literal

from dale.errors import InputError
from dale.merge import (
    adamerging,
    cpis,
    fisher_merge,
    import_layers,
    importance_merge,
    learned_soup,
    merge,
    regmean,
)
from dale.recipes.fusion.pot import Fused, Pot

By = Literal["model", "layer"]
_EXAMPLES = 1000


def by_fisher(
    pot: Pot,
    *,
    coefficients: list[float] | None = None,
    floor: float = 1e-6,
    examples: int = _EXAMPLES,
) -> Fused:
    """Mean weighted by Fisher information, element by element."""
    known = pot.statistics("fisher", examples)
    merged = fisher_merge(pot.weights_K, known, coefficients, floor=floor)
    return Fused(merged, pot.labels, _shares(pot, coefficients))


def by_regmean(
    pot: Pot,
    *,
    coefficients: list[float] | None = None,
    alpha: float = 0.9,
    examples: int = _EXAMPLES,
) -> Fused:
    """Linear layers whose outputs change least, in closed form."""
    known = pot.statistics("gram", examples)
    merged = regmean(pot.weights_K, known, coefficients, alpha=alpha)
    return Fused(merged, pot.labels, _shares(pot, coefficients))


def moving(
    pot: Pot,
    *,
    by: Literal["score", "fisher", "equal"] = "score",
    importance: list[float] | None = None,
    alpha: float = 0.1,
    rounds: int = 1,
    floor: float = 1e-6,
    examples: int = _EXAMPLES,
) -> Fused:
    """Moving average from the base, each member by its importance.

    Importances are scores that are not negative, such as accuracies, Fisher
    diagonals, or numbers that are given.

    Raises:
        InputError: A score is negative, as likelihoods are.
    """
    if by == "fisher" and importance is None:
        known = pot.statistics("fisher", examples)

        def make(**own: Any) -> Any:
            return importance_merge(
                pot.weights_K, known, pot.origin(), floor=floor, **own
            )

        return pot.chosen(make, {"alpha": alpha, "rounds": rounds})
    given = importance or (pot.alone if by == "score" else [1.0] * len(pot.labels))
    if importance is None and min(given) < 0:
        raise InputError("importances must be 0 or more; --score accuracy gives such")
    settings = {"importance": given, "alpha": alpha, "rounds": rounds}
    fused = pot.chosen(
        lambda **own: merge(pot.weights_K, "importance", base=pot.base, **own), settings
    )
    return Fused(
        fused.weights,
        fused.parents,
        {**fused.details, **_shares(pot, given)},
        fused.fresh,
    )


def imported(
    pot: Pot,
    *,
    layers: list[str],
    donor: str | None = None,
    into: str | None = None,
    strength: float = 1.0,
    alpha: float = 0.9,
    examples: int = _EXAMPLES,
) -> Fused:
    """Layers of one member, corrected towards the outputs of the others.

    By default the last member gives and the first receives.
    """
    merged = import_layers(
        pot.weights_K,
        pot.statistics("gram", examples),
        layers=layers,
        donor=pot.place(donor, len(pot.labels) - 1),
        into=pot.place(into, 0),
        strength=strength,
        alpha=alpha,
    )
    return Fused(merged, pot.labels)


def units(
    pot: Pot,
    *,
    into: str | None = None,
    share: float = 0.2,
    coefficients: list[float] | None = None,
    examples: int = _EXAMPLES,
) -> Fused:
    """The units that matter most, by the covariance of outputs.

    By default the first member receives them.
    """
    known, place = pot.statistics("covariance", examples), pot.place(into, 0)

    def make(**own: Any) -> Any:
        return cpis(pot.weights_K, known, coefficients, into=place, **own).weights

    fused = pot.chosen(make, {"share": share})
    best = float(fused.details.get("value", share))
    found = cpis(pot.weights_K, known, coefficients, into=place, share=best)
    units = {name: list(chosen) for name, chosen in found.units.items()}
    details = {**fused.details, "units": units}
    return Fused(fused.weights, fused.parents, details, fused.fresh)


def learned(
    pot: Pot,
    *,
    by: By = "layer",
    softmax: bool = True,
    temperature: bool = True,
    rate: float = 0.05,
    epochs: int = 5,
) -> Fused:
    """Shares by gradient on the validation examples, by layer or for all."""
    soup = learned_soup(
        pot.bench.model,
        pot.weights_K,
        pot.held_out,
        by=by,
        softmax=softmax,
        temperature=temperature,
        rate=rate,
        epochs=epochs,
    )
    details = _by_layer(pot, soup.shares)
    return Fused(soup.weights, pot.labels, details | {"losses": list(soup.losses)})


def confident(
    pot: Pot,
    *,
    by: By = "layer",
    start: float = 0.3,
    rate: float = 1e-3,
    epochs: int = 1,
) -> Fused:
    """Scales of task vectors by the entropy on validation inputs without labels."""
    found = adamerging(
        pot.bench.model,
        pot.weights_K,
        pot.origin(),
        pot.unlabelled,
        by=by,
        start=start,
        rate=rate,
        epochs=epochs,
    )
    details = _by_layer(pot, found.coefficients)
    details["entropies"] = list(found.entropies)
    return Fused(found.weights, pot.labels, details)


def _shares(pot: Pot, given: list[float] | None) -> dict[str, Any]:
    if given is None:
        return {}
    return {"coefficients": dict(zip(pot.labels, given, strict=True))}


def _by_layer(pot: Pot, found: dict[str, tuple[float, ...]]) -> dict[str, Any]:
    rows = {
        layer: dict(zip(pot.labels, shares, strict=True))
        for layer, shares in found.items()
    }
    return {"coefficients": rows[""] if [*rows] == [""] else rows}
