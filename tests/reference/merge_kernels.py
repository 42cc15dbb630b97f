"""Slow twins of the kernels of merging, in NumPy and float64.

A twin has the name of its kernel and takes arrays; what a kernel draws at random is
given as ``draws``.
"""

from typing import Any

import numpy as np

from reference.merge_averages import (
    contribution,
    contribution_literal,
    expo,
    importance,
    subspace,
    wise_ft,
)
from reference.merge_spheres import (
    karcher,
    model_stock,
    multislerp,
    nuslerp,
    slerp,
)

__all__ = [
    "contribution",
    "contribution_literal",
    "expo",
    "importance",
    "karcher",
    "model_stock",
    "multislerp",
    "nuslerp",
    "slerp",
    "subspace",
    "wise_ft",
]

Array = np.ndarray


def _each(value: Any, count: int) -> list[float]:
    return [float(value)] * count if isinstance(value, int | float) else [*value]


def _added(base: Array, deltas: list[Array], weight: Any, o: dict[str, Any]) -> Array:
    weights = _each(weight, len(deltas))
    change = sum(w * d for w, d in zip(weights, deltas, strict=True))
    if o.get("normalize", False):
        change = change / sum(weights)
    return base + o.get("lambda_", 1.0) * change


def _elected(base: Array, deltas: list[Array], weight: Any, o: dict[str, Any]) -> Array:
    weights = _each(weight, len(deltas))
    result = base.copy()
    for place in np.ndindex(base.shape):
        votes = [w * d[place] for w, d in zip(weights, deltas, strict=True)]
        sign = 1 if sum(votes) >= 0 else -1
        agree = [k for k, vote in enumerate(votes) if vote * sign > 0]
        change = sum(votes[k] for k in agree)
        below = sum(weights[k] for k in agree)
        if o["normalize"] and below != 0:
            change /= below
        result[place] += o.get("lambda_", 1.0) * change
    return result


def _order(delta: Array) -> list[int]:
    """Places from the largest magnitude down, the first of equal ones first."""
    flat = np.abs(delta).ravel()
    return sorted(range(flat.size), key=lambda place: (-flat[place], place))


def _only(delta: Array, places: list[int]) -> Array:
    kept = np.zeros(delta.size)
    kept[places] = delta.ravel()[places]
    return kept.reshape(delta.shape)


def _kept(delta: Array, places: list[int], rescale: str) -> Array:
    kept = _only(delta, places)
    mass = np.abs(kept).sum()
    return kept * np.abs(delta).sum() / mass if rescale == "l1" and mass else kept


def _trim(delta: Array, density: float, rescale: str) -> Array:
    keep = max(1, int(density * delta.size)) if density else 0
    return _kept(delta, _order(delta)[:keep], rescale)


def _crumbs(delta: Array, density: float, gamma: float, rescale: str) -> Array:
    if density == 1:
        return delta
    keep, top = int(density * delta.size), int(gamma * delta.size)
    top = min(top, delta.size - keep)
    return _kept(delta, _order(delta)[top : top + keep], rescale)


def _thin(delta: Array, chance: Array, draws: Array, rescale: str) -> Array:
    if (chance == 1).all():
        return delta
    kept = np.where(draws < chance, delta, 0)
    if rescale == "inverse":
        return np.divide(kept, chance, out=np.zeros_like(kept), where=chance > 0)
    mass = np.abs(kept).sum()
    return kept * np.abs(delta).sum() / mass if rescale == "l1" and mass else kept


def _chances(delta: Array, density: float, epsilon: float) -> Array:
    if density in {0, 1}:
        return np.full(delta.shape, density)
    rows = delta.reshape(len(delta), -1) if delta.ndim > 1 else delta.reshape(1, -1)
    chance = np.full(rows.shape, density)
    for i, row in enumerate(np.abs(rows)):
        if row.size > 1:
            for rank, place in enumerate(sorted(range(row.size), key=lambda j: row[j])):
                chance[i, place] += epsilon * (2 * rank / (row.size - 1) - 1)
    return chance.reshape(delta.shape)


def _deltas(xs: list[Array], base: Array) -> list[Array]:
    return [x - base for x in xs]


def linear(xs: list[Array], *, weight: Any = 1.0, normalize: bool = True) -> Array:
    weights = _each(weight, len(xs))
    result = sum(w * x for w, x in zip(weights, xs, strict=True))
    return result / sum(weights) if normalize else result


def weighted(xs: list[Array], *, coefficients: Any) -> Array:
    return linear(xs, weight=coefficients)


def uniform(xs: list[Array], *, last: int = 0) -> Array:
    return np.mean(xs[-last:], axis=0)


def passthrough(xs: list[Array], *, scale: float = 1.0) -> Array:
    return scale * xs[0]


def task_arithmetic(xs: list[Array], base: Array, *, weight: Any = 1.0, **o: Any):
    return _added(base, _deltas(xs, base), weight, o)


def ties(xs, base, *, weight=1.0, density=1.0, rescale="none", **o: Any) -> Array:
    parts = zip(_deltas(xs, base), _each(density, len(xs)), strict=True)
    sparse = [_trim(delta, share, rescale) for delta, share in parts]
    return _elected(base, sparse, weight, {"normalize": True} | o)


def _dare(xs: list[Array], base: Array, draws: list[Array], density: Any, rescale: str):
    parts = zip(_deltas(xs, base), _each(density, len(xs)), draws, strict=True)
    return [_thin(d, np.full(d.shape, s), u, rescale) for d, s, u in parts]


def dare_linear(
    xs, base, draws, *, weight: Any = 1.0, density: Any = 1.0, rescale="l1", **o: Any
):
    return _added(base, _dare(xs, base, draws, density, rescale), weight, o)


def dare_ties(
    xs, base, draws, *, weight: Any = 1.0, density: Any = 1.0, rescale="l1", **o: Any
):
    thin = _dare(xs, base, draws, density, rescale)
    return _elected(base, thin, weight, {"normalize": False} | o)


def _della(xs, base, draws, density: Any, epsilon: float, rescale: str):
    parts = zip(_deltas(xs, base), _each(density, len(xs)), draws, strict=True)
    return [_thin(d, _chances(d, s, epsilon), u, rescale) for d, s, u in parts]


def della(
    xs, base, draws, *, weight=1.0, density=1.0, epsilon=0.15, rescale="l1", **o: Any
):
    thin = _della(xs, base, draws, density, epsilon, rescale)
    return _elected(base, thin, weight, {"normalize": True} | o)


def della_linear(
    xs, base, draws, *, weight=1.0, density=1.0, epsilon=0.15, rescale="l1", **o: Any
):
    thin = _della(xs, base, draws, density, epsilon, rescale)
    return _added(base, thin, weight, o)


def breadcrumbs(
    xs, base, *, weight=1.0, density=1.0, gamma=0.01, rescale="none", **o: Any
) -> Array:
    crumbs = [_crumbs(delta, density, gamma, rescale) for delta in _deltas(xs, base)]
    return _added(base, crumbs, weight, o)


def breadcrumbs_ties(
    xs, base, *, weight=1.0, density=1.0, gamma=0.01, rescale="none", **o: Any
) -> Array:
    crumbs = [_crumbs(delta, density, gamma, rescale) for delta in _deltas(xs, base)]
    return _elected(base, crumbs, weight, {"normalize": False} | o)


def sce(xs: list[Array], base: Array, *, select_topk: float = 1.0) -> Array:
    deltas = np.stack(_deltas(xs, base))
    if select_topk < 1:
        variance = deltas.var(axis=0)
        keep = _order(variance)[: int((variance != 0).sum() * select_topk)]
        deltas = np.stack([_only(delta, keep) for delta in deltas])
    energy = (deltas**2).reshape(len(xs), -1).sum(1)
    weights = energy / energy.sum() if energy.sum() else np.ones(len(xs))
    result = base.copy()
    for place in np.ndindex(base.shape):
        sign = 1 if sum(d[place] for d in deltas) >= 0 else -1
        agree = [k for k, d in enumerate(deltas) if d[place] * sign > 0]
        if agree:
            change = sum(weights[k] * deltas[k][place] for k in agree)
            result[place] += change / sum(weights[k] for k in agree)
    return result


def _ram(xs, base, epsilon: float, strengths: Any) -> Array:
    deltas = _deltas(xs, base)
    result = base.copy()
    for place in np.ndindex(base.shape):
        changed = [k for k, d in enumerate(deltas) if abs(d[place]) > epsilon]
        for k in changed:
            strength = strengths[k] if len(changed) == 1 else 1
            result[place] += strength * deltas[k][place] / len(changed)
    return result


def ram(xs: list[Array], base: Array, *, epsilon: float = 1e-5) -> Array:
    return _ram(xs, base, epsilon, [1] * len(xs))


def ramplus_tl(xs, base, *, r=0.1, alpha=0.2, epsilon=1e-5) -> Array:
    changed = np.stack([np.abs(delta) > epsilon for delta in _deltas(xs, base)])
    strengths = []
    for mine in changed:
        alone = (mine & (changed.sum(0) == 1)).sum()
        ratio = (mine.sum() - alone) / alone if alone else 0
        strengths.append(1 + r * min(max(ratio, 0), alpha))
    return _ram(xs, base, epsilon, strengths)


def nearswap(xs: list[Array], base: Array, *, t: float) -> Array:
    far = np.abs(xs[0] - base)
    share = np.minimum(1, np.divide(t, far, out=np.ones_like(far), where=far > 0))
    return (1 - share) * base + share * xs[0]


def arcee_fusion(xs: list[Array], base: Array) -> Array:
    x, rows = np.atleast_1d(xs[0]), np.atleast_1d(base)
    p, q = (np.exp(a) / np.exp(a).sum(-1, keepdims=True) + 1e-8 for a in (x, rows))
    importance = np.abs(x - rows) * (p * np.log(p / q)).sum(-1, keepdims=True)
    ranked = np.sort(importance.ravel())
    low, middle, high = (ranked[int(s * (ranked.size - 1))] for s in (0.25, 0.5, 0.75))
    chosen = importance >= middle + 1.5 * (high - low)
    return np.where(chosen, x, rows).reshape(base.shape)


def ties_global(models, base, *, density: Any = 0.2, weight: Any = 1.0, **o: Any):
    """Whole models: dictionaries of arrays."""
    names = [*base]
    joined = [np.concatenate([(m[n] - base[n]).ravel() for n in names]) for m in models]
    sparse = []
    for vector, share in zip(joined, _each(density, len(models)), strict=True):
        ranked = np.sort(np.abs(vector))[::-1]
        least = ranked[max(1, int(share * vector.size)) - 1]
        sparse.append(np.where(np.abs(vector) >= least, vector, 0))
    start = np.concatenate([base[name].ravel() for name in names])
    merged = _elected(start, sparse, weight, {"normalize": True} | o)
    ends = np.cumsum([base[name].size for name in names])[:-1]
    parts = zip(names, np.split(merged, ends), strict=True)
    return {name: part.reshape(base[name].shape) for name, part in parts}
