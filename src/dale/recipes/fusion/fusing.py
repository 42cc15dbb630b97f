"""Members in, one member out: the checks before, the record after."""

from collections.abc import Mapping, Sequence
from typing import Any

from dale.errors import InputError, nearest
from dale.recipes.fusion.given import checked, own_name, shown
from dale.recipes.fusion.pot import SCORES, Pot
from dale.recipes.fusion.table import FUSIONS, Fusion
from dale.recipes.pooling import first_pool
from dale.recipes.workbench import Workbench
from dale.store import Member, finite
from dale.weights import layout_of


def fuse(
    bench: Workbench,
    method: str = "greedy_soup",
    *,
    group: str | None = None,
    labels: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    score: str = "accuracy",
    name: str | None = None,
    base: str | None = None,
    settings: Mapping[str, Any] | None = None,
    scan: tuple[str, Sequence[float]] | None = None,
) -> Member:
    """Fuse members of a run into one network and append it to the run.

    Normalisation statistics are re-estimated on the training examples, for every
    candidate that is scored as well as for the result. Statistics of the members, such
    as Fisher diagonals, are kept in the run's folder ``statistics`` and used again.

    Args:
        bench: The run.
        method: A name in `FUSIONS`.
        group: Whose members; by default the first strategy with several.
        labels: These members instead.
        weights: One for each member, for the weighted average.
        score: What is climbed on, on validation examples: a name in `SCORES`.
        name: Label of the new member.
        base: Label of the common ancestor, or of the member that is moved, for
            methods that take one. It is left out of the members.
        settings: Of the method, by name.
        scan: A setting, and the values of which the one with the best score is taken.

    Returns:
        The new member; its details hold settings, coefficients and decisions.

    Raises:
        InputError: An unknown method or setting, a value that does not fit, too few
            members, a missing or needless base, or weights that do not fit.
    """
    if method not in FUSIONS:
        raise InputError(f"unknown method {method!r}; {nearest(method, FUSIONS)}")
    if score not in SCORES:
        raise InputError(f"unknown score {score!r}; {nearest(score, SCORES)}")
    fusion = FUSIONS[method]
    given = dict(settings or {})
    scan = _scannable(method, fusion, scan, given)
    filled = ["coefficients"] if method == "weighted" else []
    own = checked(method, fusion, given, [*filled, *([scan[0]] if scan else [])])
    found = bench.members(None if labels else group or first_pool(bench), labels)
    origin = _origin(bench, method, fusion, base)
    members = [m for m in found if origin is None or m.label != origin.label]
    _check_count(method, fusion, members)
    own |= _weights(method, members, weights, own)
    careful = not fusion.row.needs_score
    pot = Pot(bench, members, origin, score, scan, careful)
    fused = fusion.run(pot, **own)
    result = fused.weights if fused.fresh else pot.refresh(fused.weights)
    measures = pot.measures(result)
    parents = fused.parents if origin is None else (origin.label, *fused.parents)
    kept = {"settings": {shown(n): value for n, value in own.items()}} if own else {}
    details = {"method": method, **kept, **fused.details}
    details |= {} if origin is None else {"base": origin.label}
    family = members[0].group
    with bench.run.lock():
        return bench.run.population.append(
            result,
            label=name or f"{method}-of-{family}",
            how=method,
            group=family,
            layout=layout_of(bench.model),
            parents=parents,
            scores={f"val_{key}": value for key, value in measures.items()},
            details=finite(details),
        )


def _scannable(
    method: str,
    fusion: Fusion,
    scan: tuple[str, Sequence[float]] | None,
    given: Mapping[str, Any],
) -> tuple[str, list[Any]] | None:
    if scan is None:
        return None
    name, values = scan
    if own_name(name) not in fusion.scans:
        known = [shown(n) for n in fusion.scans]
        hint = nearest(name, known) if known else "it has none that can be chosen"
        raise InputError(f"{method} cannot choose {name!r} by a score; {hint}")
    if name in given:
        raise InputError(f"{name} is both set and to be chosen by a score")
    if not values:
        raise InputError(f"{name}: no values to choose from")
    found = [checked(method, fusion, {name: v}, [*fusion.settings]) for v in values]
    return own_name(name), [one[own_name(name)] for one in found]


def _origin(
    bench: Workbench, method: str, fusion: Fusion, base: str | None
) -> Member | None:
    if base is None and fusion.row.needs_base:
        raise InputError(
            f"{method} needs a base: --base MEMBER, the common ancestor or the member "
            "that is moved"
        )
    if base is not None and fusion.row.base == "none":
        raise InputError(f"{method} takes no base")
    return None if base is None else bench.run.population.find(base)


def _check_count(method: str, fusion: Fusion, members: Sequence[Member]) -> None:
    fewest, most = fusion.row.models
    beside = "" if fusion.row.base == "none" else " beside the base"
    if fusion.row.base == "none":
        fewest = max(2, fewest)
    if len(members) < fewest:
        words = {1: "one member", 2: "two members"}.get(fewest, f"{fewest} members")
        raise InputError(f"{method} needs at least {words}{beside}; got {len(members)}")
    if most is not None and len(members) > most:
        words = {1: "one member", 2: "two members"}.get(most, f"{most} members")
        raise InputError(
            f"{method} takes at most {words}{beside}; got {len(members)}: choose them "
            "with --member"
        )


def _weights(
    method: str,
    members: Sequence[Member],
    weights: Sequence[float] | None,
    own: Mapping[str, Any],
) -> dict[str, Any]:
    found = {n: own[n] for n in ("coefficients", "importance") if own.get(n)}
    if weights is not None:
        if method != "weighted":
            raise InputError(
                "the method 'weighted' needs one weight for each member, and no other "
                f"method takes any; got the method {method!r}"
            )
        found = {"coefficients": [float(value) for value in weights]}
    elif method == "weighted" and not found:
        raise InputError(
            "the method 'weighted' needs one weight for each member, and no other "
            f"method takes any; got the method {method!r}"
        )
    for given in found.values():
        if len(given) != len(members):
            raise InputError(
                f"{len(given)} weights for {len(members)} members "
                f"({', '.join(m.label for m in members)}); expected one for each"
            )
    return found
