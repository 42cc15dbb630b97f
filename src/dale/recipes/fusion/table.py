"""The ways to fuse members of a run: one row each."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, get_type_hints

from dale.merge import INFORMED, METHODS, Method
from dale.merge.engine import settings_of
from dale.recipes.fusion.averaging import (
    by_contribution,
    direct,
    greedy,
    in_subspace,
    subsets,
    suffixes,
    uniform,
    weighted,
)
from dale.recipes.fusion.measuring import (
    by_fisher,
    by_regmean,
    confident,
    imported,
    learned,
    moving,
    units,
)
from dale.recipes.fusion.pot import Fused


@dataclass(frozen=True)
class Fusion:
    """One way to fuse members of a run.

    Attributes:
        run: From a `Pot` and settings to a `Fused`.
        row: What is true of the method.
        settings: What may be set: type and default by name.
        scans: Settings that may be chosen by the score.
    """

    run: Callable[..., Fused]
    row: Method
    settings: dict[str, tuple[Any, Any]]
    scans: tuple[str, ...] = ()


_OWN: dict[str, tuple[Callable[..., Fused], tuple[str, ...]]] = {
    "uniform": (uniform, ()),
    "weighted": (weighted, ()),
    "greedy_soup": (greedy, ()),
    "random_subsets": (subsets, ()),
    "subspace": (in_subspace, ("rank", "variance")),
    "importance": (moving, ("alpha", "rounds")),
    "contribution": (by_contribution, ()),
    "fisher": (by_fisher, ()),
    "regmean": (by_regmean, ()),
    "import": (imported, ()),
    "cpis": (units, ("share",)),
    "learned_soup": (learned, ()),
    "adamerging": (confident, ()),
    "suffix": (suffixes, ()),
}
"""Methods that do more on a run than on weights alone."""

_ROWS = METHODS | INFORMED
_ROWS["suffix"] = Method(
    suffixes,
    "mean of the last few members, as many as score best",
    "Rakhlin, Shamir and Sridharan (2012), arXiv 1109.5647",
    scope="model",
    idempotent=True,
    streams=False,
    needs_score=True,
)


def _typed(
    hints: dict[str, Any], own: dict[str, inspect.Parameter]
) -> dict[str, tuple[Any, Any]]:
    return {name: (hints[name], own[name].default) for name in own}


def _settings(function: Callable[..., Fused]) -> dict[str, tuple[Any, Any]]:
    """Type and default of what is given by name."""
    found = inspect.signature(function).parameters
    own = {n: p for n, p in found.items() if p.kind == p.KEYWORD_ONLY}
    return _typed(get_type_hints(function), own)


def _plain(name: str, row: Method) -> Fusion:
    """A method of `dale.merge.METHODS` that members need nothing more for."""
    hints = get_type_hints(row.function)
    if row.measure is not None:
        hints |= get_type_hints(row.measure)
    known = settings_of(row)
    found = _typed(hints, known)
    if not row.deterministic:
        found["seed"] = (int, 0)
    numbers = tuple(n for n in known if _is_number(found[n][0]))
    return Fusion(partial(_direct, method=name), row, found, numbers)


def _direct(pot: Any, *, method: str, **settings: Any) -> Fused:
    return direct(pot, method, settings)


def _is_number(hint: Any) -> bool:
    kinds = getattr(hint, "__args__", (hint,))
    return bool({int, float} & {*kinds}) and bool not in kinds


def _made() -> dict[str, Fusion]:
    found = {}
    for name, row in _ROWS.items():
        if name in {"linear", "passthrough", "importance_fisher"}:
            continue  # uniform and weighted, show, importance by=fisher
        if name in _OWN:
            run, scans = _OWN[name]
            found[name] = Fusion(run, row, _settings(run), scans)
        else:
            found[name] = _plain(name, row)
    return found


FUSIONS: dict[str, Fusion] = _made()
"""By the name on the command line."""
