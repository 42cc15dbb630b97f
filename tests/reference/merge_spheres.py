"""Slow twins of spherical kernels, in NumPy and float64."""

import numpy as np

Array = np.ndarray


def _angle(a: Array, b: Array) -> float:
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(np.arccos(np.clip((a * b).sum() / size, -1, 1))) if size else np.pi / 2


def _arc(a: Array, b: Array, t: float, straight: float) -> Array:
    angle = _angle(a, b)
    if abs(np.cos(angle)) > straight:
        return (1 - t) * a + t * b
    return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)


def slerp(xs: list[Array], *, t: float) -> Array:
    return _arc(xs[0], xs[1], t, 0.9995)


def nuslerp(
    xs, base=None, *, weight=1.0, nuslerp_flatten=True, nuslerp_row_wise=False
) -> Array:
    first, second = weight if isinstance(weight, tuple) else (weight, weight)
    t = second / (first + second)
    origin = 0 if base is None else base
    a, b = xs[0] - origin, xs[1] - origin
    if nuslerp_flatten or a.ndim < 2:
        return origin + _arc(a, b, t, 1 - 1e-15)
    axis = 0 if nuslerp_row_wise else -1
    a, b = np.moveaxis(a, axis, -1), np.moveaxis(b, axis, -1)
    result = np.empty_like(a)
    for place in np.ndindex(a.shape[:-1]):
        result[place] = _arc(a[place], b[place], t, 1 - 1e-15)
    return origin + np.moveaxis(result, -1, axis)


def multislerp(xs, base=None, *, weight=1.0, normalize_weights=True, eps=1e-8) -> Array:
    origin = 0 if base is None else base
    weights = np.broadcast_to(weight, len(xs))
    weights = weights / weights.sum() if normalize_weights else weights
    sizes = [np.linalg.norm(x - origin) for x in xs]
    units = [(x - origin) / (s + eps) for x, s in zip(xs, sizes, strict=True)]
    mean = sum(w * u for w, u in zip(weights, units, strict=True))
    mean = mean / np.linalg.norm(mean)
    tangents = [unit - (unit * mean).sum() * mean for unit in units]
    step = sum(w * v for w, v in zip(weights, tangents, strict=True))
    angle = np.linalg.norm(step) + eps
    point = mean * np.cos(angle) + step * np.sin(angle) / angle
    return origin + (weights @ sizes) * point


def karcher(xs: list[Array], *, max_iter: int = 10, tol: float = 1e-5) -> Array:
    units = [x / np.linalg.norm(x) for x in xs]
    mean = sum(units) / np.linalg.norm(sum(units))
    for _ in range(max_iter):
        step = np.zeros_like(mean)
        for unit in units:
            angle = _angle(unit, mean)
            if angle > tol:
                away = unit - np.cos(angle) * mean
                step += angle / np.sin(angle) * away / len(units)
        size = np.linalg.norm(step)
        if size < tol:
            break
        mean = np.cos(size) * mean + np.sin(size) * step / size
    return np.mean([np.linalg.norm(x) for x in xs]) * mean


def model_stock(xs: list[Array], base: Array, *, filter_wise: bool = False) -> Array:
    if filter_wise and base.ndim > 1:
        rows = [model_stock([x[i] for x in xs], base[i]) for i in range(len(base))]
        return np.stack(rows)
    deltas = [x - base for x in xs]
    pairs = [
        np.cos(_angle(deltas[j], deltas[k])) for k in range(len(xs)) for j in range(k)
    ]
    cosine = np.mean(pairs)
    t = len(xs) * cosine / (1 + (len(xs) - 1) * cosine)
    return t * np.mean(xs, axis=0) + (1 - t) * base
