"""Slow twins of averages by importance, contribution and subspace, as they are read."""

from collections.abc import Sequence

import numpy as np

Array = np.ndarray
Each = float | Sequence[float]


def importance(
    x_K: Sequence[Array],
    base: Array,
    importance: Each = 1.0,
    alpha: float = 0.1,
    rounds: int = 1,
) -> Array:
    """Round by round."""
    a_K = np.broadcast_to(np.asarray(importance, float), (len(x_K),))
    w = base
    for _ in range(rounds):
        fresh = sum(a * x for a, x in zip(a_K, x_K, strict=True)) / a_K.sum()
        w = (1 - alpha) * w + alpha * fresh
    return w


def contribution(
    x_K: Sequence[Array], scores: Each = 0.0, temperature: float = 1.0
) -> Array:
    """Softmax, unit length, and the quotient of sums."""
    s_K = np.broadcast_to(np.asarray(scores, float), (len(x_K),)) / temperature
    P_K = np.exp(s_K - s_K.max())
    P_K = P_K / P_K.sum()
    unit_K = P_K / np.sqrt((P_K**2).sum())
    above = sum(p * x for p, x in zip(unit_K, x_K, strict=True))
    return np.asarray(above / unit_K.sum())


def contribution_literal(x_K: Sequence[Array], temperature: float = 1.0) -> Array:
    """The same with a softmax for every element."""
    x = np.stack(x_K)
    P = np.exp((x - x.max(0)) / temperature)
    P = P / P.sum(0)
    unit = P / np.sqrt((P**2).sum(0))
    return (unit * x).sum(0) / unit.sum(0)


def subspace(
    models: Sequence[dict[str, Array]],
    base: dict[str, Array],
    rank: int | None = None,
    variance: float = 0.9,
) -> dict[str, Array]:
    """With the D × D matrix of second moments, and the projection it gives."""
    flat = [np.concatenate([model[n].ravel() for n in base]) for model in models]
    origin = np.concatenate([base[n].ravel() for n in base])
    T = np.stack(flat, axis=1) - origin[:, None]
    values, vectors = np.linalg.eigh(T @ T.T)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    if rank is None:
        rank = 1
        while values[:rank].sum() < variance * values.sum():
            rank += 1
    U = vectors[:, : min(rank, len(models))]
    merged = origin + U @ (U.T @ T.mean(1))
    cuts = np.cumsum([base[n].size for n in base])[:-1]
    parts = np.split(merged, cuts)
    pairs = zip(base, parts, strict=True)
    return {name: part.reshape(base[name].shape) for name, part in pairs}


def wise_ft(x_K: Sequence[Array], base: Array, alpha: float = 0.5) -> Array:
    """A line from the base to the mean."""
    return (1 - alpha) * base + alpha * np.mean(x_K, axis=0)


def expo(x_K: Sequence[Array], base: Array, extrapolation: float = 0.1) -> Array:
    """The mean, and a part of the way once more."""
    mean = np.mean(x_K, axis=0)
    return mean + extrapolation * (mean - base)
