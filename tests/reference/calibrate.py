"""Calibrators as losses in NumPy for SciPy to minimise, or as loops."""

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import logsumexp
from torch import Tensor

from reference.metrics import edges, nll, rows_of


def nll_at(logits_NC: Tensor, targets_N: Tensor, temperature: float) -> float:
    return nll(logits_NC.double() / temperature, targets_N)


def temperature(logits_NC: Tensor, targets_N: Tensor) -> float:
    """Minimise over log T, without derivatives, in NumPy."""
    rows = np.array(rows_of(logits_NC))
    own = rows[np.arange(len(rows)), targets_N.numpy()]

    def loss(log_t: float) -> float:
        scale = np.exp(-log_t)
        return float(np.mean(logsumexp(rows * scale, axis=1) - own * scale))

    found = minimize_scalar(
        loss, bounds=(-9.0, 9.0), method="bounded", options={"xatol": 1e-12}
    )
    return float(np.exp(found.x))


def softmax(z_NC: np.ndarray) -> np.ndarray:
    return np.exp(z_NC - logsumexp(z_NC, axis=1, keepdims=True))


def log_probs(logits_NC: Tensor, temperature: float) -> np.ndarray:
    z_NC = np.array(rows_of(logits_NC)) / temperature
    return np.maximum(z_NC - logsumexp(z_NC, axis=1, keepdims=True), -100.0)


def log_odds(logits_NC: Tensor, temperature: float) -> np.ndarray:
    """Each logit less the log-sum-exp of the others: no probability is formed."""
    z_NC = np.array(rows_of(logits_NC)) / temperature
    others = [logsumexp(np.delete(z_NC, k, axis=1), axis=1) for k in range(len(z_NC.T))]
    return np.clip(z_NC - np.stack(others, axis=1), -100.0, 100.0)


def mean_loss(scores_NC: np.ndarray, targets_N: Tensor) -> float:
    own = scores_NC[np.arange(len(scores_NC)), targets_N.numpy()]
    return float(np.mean(logsumexp(scores_NC, axis=1) - own))


def bcts_loss(logits_NC, targets_N, temperature, bias, ridge=0.1) -> float:
    scores = np.array(rows_of(logits_NC)) / temperature + bias
    penalty = ridge / 2 / len(targets_N) * np.sum(np.square(bias))
    return mean_loss(scores, targets_N) + penalty


def vector_loss(logits_NC, targets_N, base, weight, bias, ridge=0.1) -> float:
    scores = log_probs(logits_NC, base) * weight + bias
    penalty = np.sum(np.square(weight - 1)) + np.sum(np.square(bias))
    return mean_loss(scores, targets_N) + ridge / 2 / len(targets_N) * penalty


def dirichlet_loss(
    logits_NC, targets_N, base, weight, bias, off_diagonal=100.0, ridge=0.1
) -> float:
    x_NC = log_probs(logits_NC, base)
    change = weight - np.eye(len(bias))
    diagonal = np.diag(change)
    off = change - np.diag(diagonal)
    shift = bias + change @ x_NC.mean(axis=0)
    penalty = off_diagonal * len(bias) * np.sum(off**2)
    penalty += ridge * (np.sum(diagonal**2) + np.sum(shift**2))
    scores = x_NC @ weight.T + bias
    return mean_loss(scores, targets_N) + penalty / 2 / len(targets_N)


def platt_loss(logits_NC, targets_N, base, k, weight, bias) -> float:
    """Cross-entropy to Platt's targets for class k."""
    is_k = targets_N.numpy() == k
    count = is_k.sum()
    low, high = 1 / (len(is_k) - count + 2), (count + 1) / (count + 2)
    soft = np.where(is_k, high, low)
    odds = weight * log_odds(logits_NC, base)[:, k] + bias
    return float(np.mean(np.logaddexp(0, odds) - soft * odds))


def beta_loss(logits_NC, targets_N, base, a, b, c, ridge=0.1) -> float:
    x_NC = log_probs(logits_NC, base)
    odds = a * x_NC[:, 1] - b * x_NC[:, 0] + c
    loss = np.mean(np.logaddexp(0, odds) - targets_N.numpy() * odds)
    penalty = (a - 1) ** 2 + (b - 1) ** 2 + c**2
    return float(loss + ridge / 2 / len(targets_N) * penalty)


def lowest(loss, start, bounds=None) -> float:
    """The lowest value that SciPy's L-BFGS-B finds with numerical derivatives."""
    options = {"maxiter": 500, "maxfun": 10**5, "ftol": 1e-15, "gtol": 1e-9}
    found = minimize(
        loss, np.array(start, float), method="L-BFGS-B", bounds=bounds, options=options
    )
    return float(found.fun)


def pooled(values: list[float], truths: list[bool]) -> list[float]:
    """Pool adjacent violators, from blocks of equal values."""
    blocks = []
    for value in sorted(set(values)):
        hits = [t for v, t in zip(values, truths, strict=True) if v == value]
        blocks.append([sum(hits), len(hits), [value]])
        while len(blocks) > 1 and (
            blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]
        ):
            hits, count, members = blocks.pop()
            blocks[-1] = [
                blocks[-1][0] + hits,
                blocks[-1][1] + count,
                blocks[-1][2] + members,
            ]
    level = {v: hits / count for hits, count, members in blocks for v in members}
    return [level[value] for value in values]


def isotonic(logits_NC: Tensor, targets_N: Tensor) -> np.ndarray:
    """Calibrated probabilities of the fitting data."""
    odds_NC, targets = log_odds(logits_NC, 1.0), targets_N.tolist()
    count, classes = odds_NC.shape
    columns = []
    for k in range(classes):
        truths = [target == k for target in targets]
        prior = (sum(truths) + 1) / (count + classes)
        curve = pooled(odds_NC[:, k].round(9).tolist(), truths)
        columns.append([(count * q + prior) / (count + 1) for q in curve])
    q_NC = np.array(columns).T
    return q_NC / q_NC.sum(axis=1, keepdims=True)


def histogram(
    logits_NC: Tensor, targets_N: Tensor, bins: int = 15, spacing: str = "mass"
) -> np.ndarray:
    """Calibrated probabilities of the fitting data."""
    probs_NC, targets = softmax(np.array(rows_of(logits_NC))), targets_N.tolist()
    columns = []
    for k in range(probs_NC.shape[1]):
        values = probs_NC[:, k].tolist()
        limits = [round(limit, 12) for limit in edges(values, bins, spacing)]
        place = [
            next(b for b in range(bins) if round(value, 12) <= limits[b + 1])
            for value in values
        ]
        column = []
        for own in place:
            inside = [i for i, other in enumerate(place) if other == own]
            hits = sum(targets[i] == k for i in inside)
            mean = sum(values[i] for i in inside) / len(inside)
            column.append((hits + mean) / (len(inside) + 1))
        columns.append(column)
    q_NC = np.array(columns).T
    return q_NC / q_NC.sum(axis=1, keepdims=True)
